"""The parts of a long answer, each short enough for a message; code blocks stay code blocks."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["close_fence", "split_text"]

_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([^\s`]{0,32})")
_ROOM_TO_CLOSE: Final = 1 + 32
_BREAKS: Final = ("\n\n", "\n", ". ", "! ", "? ", "。", " ")
_JOINERS: Final = frozenset("\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16}")


def split_text(text: str, limit: int) -> list[str]:
    """Return the text in pieces of at most `limit` characters (code points), none of them blank.

    The cuts are between paragraphs, or else lines, sentences or words. No cut is inside of a
    character that consists of several code points. A code block that is cut is closed, and
    opened again in the next piece. While a text grows, its finished pieces stay the same.
    `limit` is 100 or more.

    >>> split_text("Hello. " * 30, 100)[0][-13:]
    'Hello. Hello.'
    """
    if limit < 100:
        raise ValueError(f"limit is a whole number of characters, 100 or more, not {limit!r}")
    pieces: list[str] = []
    head = ""
    while len(head) + len(text) > limit:
        room = limit - len(head) - _ROOM_TO_CLOSE
        cut = _cut(text, room)
        body, text = text[:cut], text[cut:].lstrip("\n")
        fence = _open_fence(head + body)
        piece = head + body.rstrip()
        if body.strip():
            pieces.append(piece if fence is None else f"{piece}\n{fence[0]}")
        head = "" if fence is None else f"{fence[0]}{fence[1]}\n"
        if fence is None:
            text = text.lstrip(" ")
    if text.strip():
        pieces.append(head + text)
    return pieces


def close_fence(text: str) -> str:
    """Return the text with a code block that is open at its end closed."""
    fence = _open_fence(text)
    return text if fence is None else f"{text}\n{fence[0]}"


def _cut(text: str, room: int) -> int:
    """Return the best place for a cut in the second half of a piece."""
    for mark in _BREAKS:
        at = text.rfind(mark, room // 2, room)
        if at > 0:
            return _before_a_fence_line(text, at + len(mark))
    return _before_a_fence_line(text, _between_characters(text, room))


def _before_a_fence_line(text: str, at: int) -> int:
    """Return the cut, moved before a line that opens or closes a code block."""
    begin = text.rfind("\n", 0, at) + 1
    return begin if 0 < begin < at and _FENCE.match(text, begin) else at


def _between_characters(text: str, at: int) -> int:
    for place in range(at, max(at - 32, 1), -1):
        behind = text[place]
        if text[place - 1] != "\N{ZERO WIDTH JOINER}" and not (
            behind in _JOINERS
            or unicodedata.category(behind)[0] == "M"
            or "\N{EMOJI MODIFIER FITZPATRICK TYPE-1-2}"
            <= behind
            <= "\N{EMOJI MODIFIER FITZPATRICK TYPE-6}"
        ):
            return place
    return at


def _open_fence(text: str) -> tuple[str, str] | None:
    """Return the fence that is open at the end of the text, and its language; or None."""
    fence: tuple[str, str] | None = None
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if found is None:
            continue
        if fence is None:
            fence = found[1][: _ROOM_TO_CLOSE - 1], found[2]
        elif found[1].startswith(fence[0]) and not line[found.end(1) :].strip():
            fence = None
    return fence
