"""Words of a text, as every storage with a search compares them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

__all__ = ["SNIPPET", "snippet", "words"]

SNIPPET: Final = 80
"""The characters of a hit's snippet, without the `…` where it is cut."""

_WORD: Final = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Return the words of a text in order, without case: runs of letters, digits and `_`."""
    return _WORD.findall(text.casefold())


def snippet(text: str, found: Collection[str]) -> str:
    """Return the piece of the text around the first of these words, on one line.

    `found` holds words as `words` returns them. The piece begins and ends between words where it
    can, and with `…` where the text goes on.
    """
    at = next((one.start() for one in _WORD.finditer(text) if one[0].casefold() in found), 0)
    start = max(0, at - SNIPPET // 3)
    end = min(len(text), start + SNIPPET)
    start = max(0, end - SNIPPET)
    if start:
        start += _first_gap(text[start:at])
    if end < len(text):
        end -= _first_gap(text[end - 1 : at + SNIPPET // 3 : -1])
    piece = " ".join(text[start:end].split())
    return f"{'…' * (start > 0)}{piece}{'…' * (end < len(text))}"


def _first_gap(piece: str) -> int:
    return next((index for index, character in enumerate(piece) if character.isspace()), 0)
