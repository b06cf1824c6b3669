"""Markdown that ends too early, because the model is still writing."""

from __future__ import annotations

import re
from typing import Final

from ._blocks import code_parts
from ._split import close_fence

__all__ = ["close_marks"]

_HALF_LINK: Final = re.compile(r"!?\[([^\[\]\n]*)(?:\]\([^()\s]*)?$")
_LAST_MARKS: Final = re.compile(r"(?<!\\)[*~`]{1,3}$")
_MARK: Final = re.compile(r"\\.|`+|\*{1,3}|~~")


def close_marks(text: str, limit: int) -> str:
    """Return the text with what is open at its end closed, if that has at most `limit` characters.

    These are a code block, and in the last paragraph: code, bold, italic and struck words. The
    address of a link that has not come to its end is left out.

    >>> close_marks("This is **imp", 100)
    'This is **imp**'
    """
    closed = close_fence(text)
    if closed == text:
        content, block = [*code_parts(text)][-1]
        paragraph = content.rpartition("\n\n")[2]
        if block is None and paragraph and text.endswith(paragraph):
            closed = text[: len(text) - len(paragraph)] + _close_words(paragraph)
    return closed if closed.strip() and len(closed) <= limit else text


def _close_words(paragraph: str) -> str:
    if not any(mark[0] == "`" for mark in _open_marks(paragraph)):
        paragraph = _HALF_LINK.sub(r"\1", paragraph)
    begin = paragraph.rpartition("\n")[2].lstrip(" >")
    marks = _LAST_MARKS.search(paragraph)
    open_before = _open_marks(paragraph if marks is None else paragraph[: marks.start()])
    if marks is not None and begin != marks[0] and open_before[-1:] != [marks[0]]:
        paragraph = paragraph[: marks.start()].rstrip()
    still_open = _open_marks(paragraph)
    if not still_open:
        return paragraph
    return paragraph.rstrip() + "".join(reversed(still_open))


def _open_marks(paragraph: str) -> list[str]:
    """Return the marks that are open at the end, in their order."""
    still_open: list[str] = []
    for found in _MARK.finditer(paragraph):
        mark = found[0]
        before, after = paragraph[: found.start()][-1:], paragraph[found.end() :][:1]
        if still_open and still_open[-1][0] == "`":
            if mark == still_open[-1]:
                still_open.pop()
        elif mark[0] == "\\":
            continue
        elif mark in still_open and before.strip():
            del still_open[still_open.index(mark) :]
        elif after.strip() and (mark[0] == "`" or not before.isalnum()):
            still_open.append(mark)
    return still_open
