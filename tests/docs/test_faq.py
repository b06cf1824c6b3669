"""The messages that docs/faq.md explains are those of the code, word by word."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

import pytest

from docs.blocks import ROOT, blocks

FAQ: Final = ROOT / "docs" / "faq.md"
FOLDERS: Final = ("plugin", "adapters", ".ci")
MESSAGES: Final = [text.strip() for language, text in blocks(FAQ) if language == "none"]
LITERAL: Final = 20
"""A message of the code with fewer letters of its own would match anything."""
INSERTED: Final = re.compile(r"%(?:\.\d+)?[sdgr]")


def spoken(node: ast.expr) -> str | None:
    """Return a text of the code, with `…` for what is inserted; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return INSERTED.sub("…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(spoken(part) or "…" for part in node.values)
    return None


def texts(tree: ast.AST) -> Iterator[str]:
    """Return the texts of a module, each whole, without the parts of those that are composed."""
    for node in ast.iter_child_nodes(tree):
        text = spoken(node) if isinstance(node, ast.expr) else None
        if text is not None:
            yield text
        else:
            yield from texts(node)


@cache
def patterns() -> list[re.Pattern[str]]:
    """Return what the code can say, with anything in the place of what it inserts."""
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    said = {text for path in paths for text in texts(ast.parse(path.read_text()))}
    return [
        re.compile(".*".join(map(re.escape, text.split("…"))), re.DOTALL)
        for text in said
        if len(text.replace("…", "")) >= LITERAL
    ]


def is_said(message: str) -> bool:
    """Return True if the code says this; a caller may put the session in front of it."""
    return any(one.fullmatch(message) or one.fullmatch(message.lstrip("…")) for one in patterns())


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message[:50])
def test_each_message_of_the_page_is_one_of_the_code(message: str) -> None:
    assert is_said(message), message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message[:50])
def test_a_message_with_another_word_is_none_of_the_code(message: str) -> None:
    """So the test above can fail: each word of the page is compared, if it is the code's own."""
    words = [word for word in message.split() if "…" not in word]
    for word in words:
        changed = message.replace(word, f"{word}x", 1)
        if not is_said(changed):
            return
    raise AssertionError(f"no word of {message!r} matters")
