"""The documents do what they say: their blocks run, in order, and print what stands behind."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from docs.blocks import README, ROOT, TUTORIAL, blocks

ELSEWHERE = ROOT / "docs" / "frameworks.md"
"""It runs where the frameworks are, in tests/interop."""

DOCUMENTS = [README, *sorted(ROOT.glob("docs/**/*.md"))]
RECIPES = sorted({*ROOT.glob("docs/*.md")} - {TUTORIAL, ELSEWHERE})
"""Pages whose blocks follow one another in one program; the others show whole bots and diffs."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


async def ask_llm(messages: Sequence[dict[str, Any]]) -> AsyncIterator[str]:
    """What the documents leave to the reader: a model that streams."""
    assert messages[-1]["role"] == "user"
    yield "Hel"
    yield "lo!"


async def run(code: CodeType, namespace: dict[str, Any]) -> None:
    result = eval(code, namespace)
    if inspect.iscoroutine(result):
        await result


def run_document(document: Path, first: int | None = None) -> dict[str, Any]:
    """Runs the first blocks of a document, or all, in one namespace; compares what they print."""
    namespace: dict[str, Any] = {"ask_llm": ask_llm, "__name__": "document"}

    async def all_blocks() -> None:
        printed, left = "", first
        for language, text in blocks(document):
            if language == "python":
                if left is not None and (left := left - 1) < 0:
                    return
                flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                code = compile(text, document.name, "exec", flags=flags)
                with contextlib.redirect_stdout(io.StringIO()) as output:
                    await run(code, namespace)
                printed = output.getvalue()
            elif language == "text":
                assert printed == text, f"{document.name}: the block above prints {printed!r}"

    asyncio.run(all_blocks())
    return namespace


@pytest.mark.parametrize("document", RECIPES, ids=name_of)
def test_every_python_block_runs_and_prints_what_stands_behind_it(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_document(document)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"
