"""The documents do what they say: their blocks run, in order, and print what stands behind."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


async def ask_llm(messages: Sequence[dict[str, Any]]) -> AsyncIterator[str]:
    """What the documents leave to the reader: a model that streams."""
    assert messages[-1]["role"] == "user"
    yield "Hel"
    yield "lo!"


def blocks(document: Path) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in BLOCK.finditer(document.read_text())]


def commands(document: Path, mark: str) -> str:
    _, _, behind = document.read_text().partition(f"<!-- {mark} -->\n")
    found = BLOCK.match(behind)
    assert found is not None, f"{document.name} has no block marked {mark!r}"
    return found[2].strip()


async def run(code: CodeType, namespace: dict[str, Any]) -> None:
    result = eval(code, namespace)
    if inspect.iscoroutine(result):
        await result


def run_document(document: Path) -> dict[str, Any]:
    """Runs the blocks of a document in one namespace and compares what they print."""
    namespace: dict[str, Any] = {"ask_llm": ask_llm, "__name__": "document"}

    async def all_blocks() -> None:
        printed = ""
        for language, text in blocks(document):
            if language == "python":
                flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                code = compile(text, document.name, "exec", flags=flags)
                with contextlib.redirect_stdout(io.StringIO()) as output:
                    await run(code, namespace)
                printed = output.getvalue()
            elif language == "text":
                assert printed == text, f"{document.name}: the block above prints {printed!r}"

    asyncio.run(all_blocks())
    return namespace


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_python_block_runs_and_prints_what_stands_behind_it(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_document(document)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_first_command_of_the_readme_installs_and_starts_a_bot_that_remembers(
    tmp_path: Path,
) -> None:
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\0")
    names = [name for name in files if name] or [
        str(path.relative_to(ROOT))
        for top in ("pyproject.toml", "README.md", "LICENSE", "plugin", "adapters", "examples")
        for path in [ROOT / top, *(ROOT / top).rglob("*")]
        if path.is_file() and "__pycache__" not in path.parts
    ]
    for name in names:
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command = commands(ROOT / "README.md", "main command")
    # The README's python3 is whatever the reader has; here it is the one that runs the tests.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")

    def start(said: str) -> str:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            input=said,
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path), **pip_settings()},
        ).stdout

    assert "You said: My name is Ada." in start("My name is Ada.\n")
    assert "The first was: My name is Ada." in start("What is my name?\n")
    assert "My name is Ada." in (tmp_path / "sessions/console/me.jsonl").read_text()


def pip_settings() -> dict[str, str]:
    """Where this machine's pip finds packages: the environment's part of it."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
