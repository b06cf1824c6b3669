"""The pages of docs/migrating: both sides of their diffs, and what moves old conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from docs.blocks import ROOT, blocks

__all__ = ["CHAT", "PAGES", "echo", "move", "run", "sides"]

PAGES = ROOT / "docs" / "migrating"
CHAT = 7


def echo(messages: Sequence[dict[str, Any]]) -> str:
    """Answer with all that the model was told by people."""
    return " / ".join(str(one["content"]) for one in messages if one["role"] == "user")


async def ask_llm(messages: Sequence[dict[str, Any]]) -> str:
    return echo(messages)


def sides(page: str) -> tuple[str, str]:
    """Return the program before a diff, and the one after it."""
    (diff,) = [text for language, text in blocks(PAGES / f"{page}.md") if language == "diff"]

    def without(mark: str) -> str:
        return "\n".join(line[1:] for line in diff.splitlines() if line[:1] != mark)

    return without("+"), without("-")


def run(source: str, **given: Any) -> dict[str, Any]:
    """Return what a side of a diff defines."""
    namespace = {"ask_llm": ask_llm, "__name__": "bot", **given}
    exec(compile(source, "bot.py", "exec"), namespace)
    return namespace


def move(page: str, namespace: dict[str, Any]) -> Any:
    """Return the page's function that brings the old conversations along."""
    (text,) = [text for language, text in blocks(PAGES / f"{page}.md") if language == "python"]
    exec(compile(text, page, "exec"), namespace)
    return namespace["move"]
