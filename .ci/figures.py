#!/usr/bin/env python3
"""Print the figures of the house beside their limits, and fail if one is passed.

With `--all` it also prints what each figure counts. The code is only read; the two verbs at the
end run on a JSONL store.
"""

from __future__ import annotations

import ast
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

import turnkeep

ROOT = Path(__file__).parent.parent
FOLDERS = (ROOT / "plugin", ROOT / "adapters")
QUESTIONS = ("What", "Whether", "Who", "Where", "Which", "How")
PUBLIC_ALL_THE_SAME = {"_asdict", "_fields", "_make", "_replace"}  # of a named tuple
INLINED = {"<listcomp>", "<setcomp>", "<dictcomp>"}  # part of their function since Python 3.12
CORE = ("turnkeep._", "turnkeep.storage._", "turnkeep.storage.base")


class Figure(NamedTuple):
    """A figure, and the most that it may be."""

    name: str
    value: float
    limit: float
    remarks: Sequence[str] = ()


def private_accesses(trees: dict[Path, ast.Module]) -> Iterator[Figure]:
    """Count the attributes with one underscore that are taken from another object."""
    found: list[str] = []
    through: list[str] = []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or not is_private(node):
                continue
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id in ("self", "cls"):
                continue
            if ast.unparse(owner) == "super()":
                continue
            where = f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
            found.append(where)
            if any(map(is_private, ast.walk(owner))):
                through.append(where)
    lines = sum(1 for path in trees for line in path.read_text().splitlines() if line.strip())
    per_thousand = round(1000 * len(found) / lines, 2)
    yield Figure("private accesses per 1,000 lines", per_thousand, 1.5, found)
    yield Figure("private accesses through a second one", len(through), 0, through)


def is_private(node: ast.AST) -> bool:
    """Return whether this is an attribute that begins with one underscore."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and node.attr not in PUBLIC_ALL_THE_SAME
    )


def imports(trees: dict[Path, ast.Module]) -> Iterator[Figure]:
    """Look for circles of imports, those for type checking included, and count the floors."""
    modules = {module_name(path): tree for path, tree in trees.items()}
    graph = {name: {*imported_by(name, modules)} - {name} for name in modules}
    circles: list[str] = []
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circles.append(" > ".join(error.args[1]))
    yield Figure("import circles", len(circles), 0, circles)
    if not circles:
        core = longest_chain(graph, lambda name: name.startswith(CORE))
        house = longest_chain(graph, in_the_house)
        yield Figure("floors of the core (longest chain of imports)", len(core), 13, core)
        yield Figure("floors with what adapters share", len(house), 20, house)


def module_name(path: Path) -> str:
    """Return the name that a file is imported by; a package's folder gives its name."""
    folder = next(folder for folder in FOLDERS if path.is_relative_to(folder))
    return ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


def imported_by(name: str, modules: dict[str, ast.Module]) -> Iterator[str]:
    """Iterate over the modules that one imports, wherever in its file it does."""
    is_package = any(other.startswith(f"{name}.") for other in modules)
    for node in ast.walk(modules[name]):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name in modules)
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            base = parts[: len(parts) - node.level + is_package] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for one in node.names:
                target = f"{source}.{one.name}"
                target = target if target in modules else source
                if target in modules:
                    yield target


def in_the_house(name: str) -> bool:
    """Return True for the core and what adapters share; storages and their suite stand beside."""
    storages = ("jsonl", "memory", "postgresql", "redis", "sqlite")
    beside = (*(f"turnkeep.storage.{one}" for one in storages), "turnkeep.testing")
    return name.startswith("turnkeep.") and not name.startswith(beside)


def longest_chain(graph: dict[str, set[str]], counts: Callable[[str], bool]) -> list[str]:
    """Return the longest chain of modules, each of which imports the next one."""
    chains: dict[str, list[str]] = {}
    for name in TopologicalSorter(graph).static_order():
        if counts(name):
            below = [chains[one] for one in graph[name] if counts(one)]
            chains[name] = [name, *max(below, key=len, default=[])]
    return max(chains.values(), key=len)


def docstrings(trees: dict[Path, ast.Module]) -> Iterator[Figure]:
    """Return the share of docstrings, those of attributes too, that begin with a question."""
    openings: list[str] = []
    count = 0
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(text := node.value.value, str)
            ):
                count += 1
                if text.split(maxsplit=1)[0].rstrip(",:").removesuffix("'s") in QUESTIONS:
                    line = text.strip().splitlines()[0]
                    openings.append(f"{path.relative_to(ROOT)}:{node.lineno}: {line}")
    share = round(100 * len(openings) / count, 1)
    yield Figure("docstrings that begin with a question, in %", share, 2, openings)


async def verbs() -> list[Figure]:
    """Count the functions and modules of turnkeep that a warm verb runs, on the loop's thread."""
    numbers = iter(range(1000))
    with tempfile.TemporaryDirectory() as folder:
        async with turnkeep.SessionStore(folder) as store:
            session = store.session("telegram:1")

            async def receive() -> None:
                sender = turnkeep.Sender("7", "Ada")
                await session.receive("Hello.", source_id=f"1:{next(numbers)}", sender=sender)

            async def reply() -> None:
                message = await session.receive("Hello.", source_id=f"1:{next(numbers)}")
                reply = message.reply()

                async def say() -> None:
                    async with reply:
                        reply.add_text("Good day.")

                found.append(await functions_of(say))

            found: list[set[CodeType]] = []
            for _ in range(3):
                await receive()
                await reply()
            return [
                *of_verb("a warm receive", await functions_of(receive), 20, 10),
                *of_verb("a warm reply", found[-1], 40, 15),
            ]


async def functions_of(verb: Callable[[], Awaitable[None]]) -> set[CodeType]:
    """Return the functions of turnkeep that run while the verb does."""
    package = str(Path(turnkeep.__file__).parent)
    called: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(package) and code.co_name not in INLINED:
            called.add(code)

    sys.setprofile(note)
    try:
        await verb()
    finally:
        sys.setprofile(None)
    return called


def of_verb(name: str, called: set[CodeType], functions: int, modules: int) -> Iterator[Figure]:
    """Return the two figures of one verb."""
    lines = sorted(f"{Path(one.co_filename).name}: {one.co_qualname}" for one in called)
    files = sorted({one.co_filename for one in called})
    yield Figure(f"functions of {name}", len(called), functions, lines)
    yield Figure(f"modules of {name}", len(files), modules, [Path(one).name for one in files])


def main() -> int:
    """Print the table; return 1 where a limit is passed."""
    paths = sorted(path for folder in FOLDERS for path in folder.rglob("*.py"))
    trees = {path: ast.parse(path.read_text(), str(path)) for path in paths}
    figures = [*private_accesses(trees), *imports(trees), *docstrings(trees), *asyncio.run(verbs())]
    width = max(len(figure.name) for figure in figures)
    print(f"{'figure':{width}}  {'value':>6}  {'limit':>6}")
    for figure in figures:
        passed = figure.value > figure.limit
        over = "  over the limit" if passed else ""
        print(f"{figure.name:{width}}  {figure.value:>6g}  {figure.limit:>6g}{over}")
        for remark in figure.remarks if passed or "--all" in sys.argv else ():
            print(f"    {remark}")
    return int(any(figure.value > figure.limit for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
