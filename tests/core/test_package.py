"""The package as a whole: what importing it loads, its public names, its examples."""

from __future__ import annotations

import ast
import doctest
import inspect
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from textwrap import dedent
from types import ModuleType

import pytest

import turnkeep

MODULES = sorted({"turnkeep", *(m.name for m in walk_packages(turnkeep.__path__, "turnkeep."))})
FRAMEWORKS = {
    "openai_agents": ("agents", "openai-agents"),
    "pydantic_ai": ("pydantic_ai", "pydantic-ai"),
    "langchain": ("langchain_core", "langchain"),
    "nanobot": ("nanobot", "nanobot"),
}
"""Each module of `turnkeep.interop` with the package that it imports, and its extra."""

PUBLIC = [name for name in turnkeep.__all__ if inspect.isclass(getattr(turnkeep, name))]


def source(name: str) -> str:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text()


def fresh(code: str) -> str:
    """What the code prints in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_importing_turnkeep_loads_no_framework_and_no_driver() -> None:
    # What was there before is not turnkeep's: coverage, where it measures, brings sqlite3.
    loaded = fresh(
        "import sys; before = {*sys.modules}; import turnkeep; print(*({*sys.modules} - before))"
    )
    frameworks = {"aiogram", "discord", "openai", "pydantic", "aiohttp", "pytest", "hypothesis"}
    drivers = {"sqlite3", "_sqlite3", "apsw", "redis", "asyncpg", "psycopg", "filelock", "trio"}
    adapters = {"turnkeep_aiogram", "turnkeep_discord"}
    packages = {name.partition(".")[0] for name in loaded.split()}
    assert "turnkeep" in packages
    assert not packages & (frameworks | drivers | adapters)


def test_importing_turnkeep_loads_no_storage() -> None:
    loaded = fresh("import turnkeep, sys; print(*sys.modules)").split()
    protocol = {"base", "_change", "_leases", "_results"}
    beside = {name.split(".")[2] for name in loaded if name.startswith("turnkeep.storage.")}
    assert beside == {*protocol, "paths"}


def test_a_store_in_memory_loads_no_other_storage() -> None:
    code = "import turnkeep, sys; turnkeep.SessionStore('memory:'); print(*sys.modules)"
    assert "turnkeep.storage.jsonl" not in fresh(code).split()


def test_all_is_sorted_and_holds_every_public_name() -> None:
    public = {
        name
        for name, value in vars(turnkeep).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(turnkeep.__all__) == public
    assert len(set(turnkeep.__all__)) == len(turnkeep.__all__)


@pytest.mark.parametrize("name", turnkeep.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert getattr(turnkeep, name).__doc__


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_member_is_documented(name: str) -> None:
    cls = getattr(turnkeep, name)
    undocumented = [
        member
        for base in inspect.getmro(cls)
        if base.__module__.startswith("turnkeep.")
        for member, value in vars(base).items()
        if not member.startswith("_")
        if inspect.isfunction(value) or isinstance(value, (property, classmethod))
        if not (value.__func__ if isinstance(value, classmethod) else value).__doc__
    ]
    assert undocumented == []


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_why_it_exists(name: str) -> None:
    assert ast.get_docstring(ast.parse(source(name)))


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_framework_that_is_not_installed_names_the_extra_to_install(name: str) -> None:
    package, extra = FRAMEWORKS[name]
    printed = fresh(
        f"""
        import sys
        sys.modules["{package}"] = None
        try:
            import turnkeep.interop.{name}
        except ImportError as error:
            print(error)
        """
    )
    assert f"pip install 'turnkeep[{extra}]'" in printed


@pytest.mark.parametrize("name", [name for name in MODULES if ">>>" in source(name)])
def test_the_examples_in_docstrings_run(name: str) -> None:
    failed, attempted = doctest.testmod(import_module(name))
    assert (failed, attempted > 0) == (0, True)


def test_there_are_examples_in_docstrings() -> None:
    assert ">>>" in (turnkeep.__doc__ or "")
    assert ">>>" in (turnkeep.SessionKey.__doc__ or "")
