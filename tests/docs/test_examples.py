"""What `examples/README.md` and the Dockerfiles say of the examples holds, as far as it can be
seen without an engine that builds images."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
README = (EXAMPLES / "README.md").read_text()
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
DOCKERFILES = sorted(EXAMPLES.glob("docker/*.Dockerfile"))
IN_A_TERMINAL = {"console_bot", "long_memory_bot"}

Instructions = list[tuple[str, str]]

each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
ENGINES = {"postgresql", "redis", "sqlite"}
"""Extras that no bot imports: TURNKEEP_STORE chooses one."""
each_image = pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: path.stem)


def instructions(file: Path) -> Instructions:
    """The instructions of a Dockerfile, in their order, without comments."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest) for name, _, rest in (x.partition(" ") for x in joined.splitlines() if x)]


def only(file: Path, name: str) -> str:
    (found,) = [rest for instruction, rest in instructions(file) if instruction == name]
    return found


def copies(file: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """What is copied from the checkout, each with where it comes to stand."""
    for name, rest in instructions(file):
        if name == "COPY":
            *sources, target = rest.split()
            for source in sources:
                inside = PurePosixPath(target)
                yield source, inside / PurePosixPath(source).name if target[-1] == "/" else inside


def section(stem: str) -> str:
    """The part of the README that shows how this example is run."""
    (found,) = [part for part in README.split("\n## ") if f"python examples/{stem}.py" in part]
    return found


def variables(text: str) -> set[str]:
    """The environment variables in the tables of a text."""
    return set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE))


def imports(script: Path) -> set[str]:
    """The packages that a script imports, wherever in it, without the standard library's."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


@each_image
def test_each_bot_keeps_its_start_up_out_of_the_garbage_collector(file: Path) -> None:
    tree = ast.parse((EXAMPLES / f"{file.stem}.py").read_text())
    calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert calls.count("gc.freeze()") == 1


def test_each_example_but_those_in_a_terminal_has_a_dockerfile() -> None:
    assert {file.stem for file in DOCKERFILES} == {s.stem for s in SCRIPTS} - IN_A_TERMINAL


@each_script
def test_the_readme_lists_each_example_and_shows_how_to_run_it(script: Path) -> None:
    assert f"| [{script.name}]({script.name}) |" in README
    assert f"python {script.relative_to(ROOT)}\n" in section(script.stem)


@each_script
def test_the_readme_and_the_example_itself_tell_of_each_variable_that_it_reads(
    script: Path,
) -> None:
    source = script.read_text()
    read = set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', source))
    read.add("OPENAI_BASE_URL")  # OpenAI's client reads that itself
    (common,) = [
        part for part in README.split("\n## ") if part.startswith("Environment variables of all")
    ]
    assert variables(common) <= read
    assert read <= variables(common) | variables(section(script.stem))
    told = ast.get_docstring(ast.parse(source)) or ""
    assert not {name for name in read if name not in told}


@each_image
def test_the_readme_tells_of_no_variable_that_is_not_read(file: Path) -> None:
    source = (EXAMPLES / f"{file.stem}.py").read_text()
    assert all(f'"{name}"' in source for name in variables(section(file.stem)))


@each_image
def test_the_readme_and_the_dockerfile_say_alike_how_it_is_built_and_run(file: Path) -> None:
    commands = [line for line in section(file.stem).splitlines() if line.startswith("docker ")]
    assert [f"#   {line}" for line in commands] == [
        line for line in file.read_text().splitlines() if line.startswith("#   docker")
    ]
    build, run = map(shlex.split, commands)
    assert build[build.index("-f") + 1] == str(file.relative_to(ROOT))
    assert build[-1] == ".", "the checkout is what is built from"
    assert build[build.index("-t") + 1] == run[-1]
    assert run[run.index("-v") + 1] == f"{file.stem}:{only(file, 'VOLUME')}"


@each_image
def test_what_a_dockerfile_copies_is_there_and_what_it_starts_is_copied(file: Path) -> None:
    copied = dict(copies(file))
    assert all((ROOT / source).exists() for source in copied)
    python, script = json.loads(only(file, "CMD"))
    assert python == "python"
    assert copied[f"examples/{file.stem}.py"] == PurePosixPath(script)


@each_image
def test_a_dockerfile_installs_what_the_package_needs_and_the_bot_imports(file: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (pip,) = [rest for name, rest in instructions(file) if "pip install" in rest]
    package, *others = shlex.split(pip.partition("--no-cache-dir ")[2])
    found = re.fullmatch(r"/src\[([\w,]+)\]", package)
    assert found is not None
    extras = found[1].split(",")
    assert set(extras) <= project["project"]["optional-dependencies"].keys()
    build = project["tool"]["hatch"]["build"]
    needed = {"pyproject.toml", "README.md", *project["project"]["license-files"]}
    needed.add(build["hooks"]["custom"]["path"])
    needed |= {str(PurePosixPath(one).parent) for one in build["targets"]["wheel"]["packages"]}
    assert needed == {source for source, target in copies(file) if target.parts[1] == "src"}
    frameworks = set(extras) - ENGINES
    ours = {"turnkeep", *(f"turnkeep_{extra}" for extra in frameworks)}
    assert imports(EXAMPLES / f"{file.stem}.py") == ours | {*frameworks, *others}


@each_image
def test_a_dockerfile_says_what_the_same_is_with_a_released_turnkeep(file: Path) -> None:
    (pip,) = [rest for name, rest in instructions(file) if "pip install" in rest]
    assert f"# RUN {pip.replace('/src[', 'turnkeep[')}\n" in file.read_text()


@each_image
def test_the_bot_in_a_container_is_not_root_and_owns_the_volume_of_its_store(file: Path) -> None:
    steps = instructions(file)
    user, volume = only(file, "USER"), only(file, "VOLUME")
    name, _, store = only(file, "ENV").partition("=")
    assert name == "TURNKEEP_STORE"
    assert PurePosixPath(volume) in PurePosixPath(store).parents
    (made,) = [rest for instruction, rest in steps if "useradd" in rest]
    assert user != "root"
    assert re.search(rf"useradd --uid [1-9]\d* {user}\b", made)
    assert f"mkdir -p {store} " in made
    assert f"chown -R {user} {volume}" in made
    order = [instruction for instruction, _ in steps]
    assert order.index("USER") < order.index("CMD")
    assert "RUN" not in order[order.index("USER") :], "what comes after it is not root's to do"
    assert "chown" not in "".join(rest for _, rest in steps[order.index("VOLUME") :])


def test_the_image_behind_a_webhook_lets_out_the_port_that_the_readme_maps() -> None:
    file = EXAMPLES / "docker" / "webhook_bot.Dockerfile"
    port = only(file, "EXPOSE")
    assert f"-p {port}:{port} " in section("webhook_bot")
    assert f'"PORT", "{port}"' in (EXAMPLES / "webhook_bot.py").read_text()


def test_every_link_of_the_readme_leads_somewhere() -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ")).lower().replace(" ", "-")
        for line in README.splitlines()
        if line.startswith("#")
    }
    for path, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", README):
        assert (EXAMPLES / path).exists(), path
        assert not anchor or anchor in headings, anchor


def test_the_replicas_of_compose_share_a_database_and_a_secret_and_use_names_that_are_there() -> (
    None
):
    compose = (EXAMPLES / "docker" / "compose.yaml").read_text()
    assert "replicas: 2" in compose
    assert "TURNKEEP_STORE: postgresql://" in compose
    assert "/src[aiogram,postgresql]" in (EXAMPLES / "docker/webhook_bot.Dockerfile").read_text()
    (bot,) = re.findall(r"^  bot:\n(.*?)^  postgres:", compose, re.MULTILINE | re.DOTALL)
    names = re.findall(r"^      ([A-Z_]+):", bot, re.MULTILINE)
    example = (EXAMPLES / "webhook_bot.py").read_text()
    assert "WEBHOOK_SECRET" in names
    assert [name for name in names if name not in example] == []
    assert set(re.findall(r"\$\{([A-Z_]+):\?", compose)) == {
        *("DOMAIN", "TELEGRAM_TOKEN", "WEBHOOK_SECRET", "POSTGRES_PASSWORD")
    }
