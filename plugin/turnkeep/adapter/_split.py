"""The parts of a long answer, each short enough for a message; code blocks stay code blocks."""

from __future__ import annotations

import unicodedata
from typing import Final

from ._blocks import Block, fence_after, lines_of, tidy, without

__all__ = ["close_fence", "split_text"]

_ROOM_TO_CLOSE: Final = 1 + 32
_BREAKS: Final = ("\n\n", "\n", ". ", "! ", "? ", "。", " ")
_JOINERS: Final = frozenset("\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16}")


def split_text(text: str, limit: int) -> list[str]:
    """Return the text in pieces of at most `limit` characters (code points), none of them blank.

    The cuts are between paragraphs, or else lines, sentences or words. No cut is inside of a
    character that consists of several code points. A code block or a table is cut only if it
    is longer than a piece, and then between lines: code is closed and opened again, and a table
    gets its head again. While a text grows, all but its last two pieces stay the same. `limit` is
    100 or more.

    >>> split_text("Hello. " * 30, 100)[0][-13:]
    'Hello. Hello.'
    """
    if limit < 100:
        raise ValueError(f"limit is a whole number of characters, 100 or more, not {limit!r}")
    if len(text) <= limit:
        return [text] if text.strip() else []
    text = tidy(text).lstrip("\n")
    pieces: list[str] = []
    head = ""
    while len(head) + len(text) > limit:
        cut = _cut(text, limit - len(head) - _ROOM_TO_CLOSE)
        whole = head + text
        block, begin, end, at = _block_at(whole, len(head) + cut, limit)
        is_next = end - begin <= limit or begin > limit // 2
        if block is not None and is_next and whole[:begin].strip():
            at, block = begin, None
        elif block is not None and end <= limit:
            at, block = end, None
        if at > len(head):
            cut = at - len(head)
        if block is not None and block.is_code:
            cut = _line_end(whole, begin, len(head), len(head) + cut) - len(head)
        body, text = text[:cut], text[cut:].lstrip("\n")
        if body.strip():
            pieces.append(head + body.rstrip() + ("" if block is None else _end_of(block)))
        head, text = ("", _begin(text)) if block is None else _go_on(block, text)
        if len(head) > limit // 2 and block is not None and not block.is_code:
            head = ""
    if text.strip():
        pieces.append(head + text)
    return pieces


def close_fence(text: str) -> str:
    """Return the text with a code block that is open at its end closed."""
    block = fence_after(text)
    return text if block is None else f"{text}{_end_of(block)}"


def _end_of(block: Block) -> str:
    if not block.is_code:
        return ""
    end = block.prefix + block.mark
    return "\n" + (end if len(end) < _ROOM_TO_CLOSE else block.mark[: _ROOM_TO_CLOSE - 1])


def _block_at(text: str, at: int, limit: int) -> tuple[Block | None, int, int, int]:
    """Return the block around a place, where it begins and ends, and a better place for a cut.

    The end is looked for as far as `limit` characters go. The better place is the beginning of
    the line, where the line is a row of a table or a fence.
    """
    begin = offset = 0
    block: Block | None = None
    seen = text.find("\n", at + limit)  # whole lines: the end of one may say that it opens no block
    for line in lines_of(text if seen < 0 else text[:seen]):
        end = offset + len(line.text)
        if block is not None:
            if line.block is None or line.part == "open":
                return block, begin, offset, at
            if line.part == "close" or end - begin > limit:
                return block, begin, end, at
        elif at <= end:
            is_before = line.part == "open" and at == offset
            is_behind = line.part == "close" and at == end
            if line.block is None or is_before or is_behind:
                return None, at, at, at
            block = line.block
            begin = offset if line.part == "open" else begin
            if line.part == "close" or not block.is_code:
                at = offset
            if line.part == "close":
                return block, begin, end, at
        elif line.part == "open":
            begin = offset
        offset = end + 1
    return block, begin, offset, at


def _begin(text: str) -> str:
    """Return the text of the next piece, whose first code block is not indented."""
    first, _, rest = text.partition("\n")
    block = next(lines_of(first)).block
    if block is None or not block.is_code or not first.startswith(block.prefix):
        return text.lstrip(" ") if block is None else text
    head, rest = _go_on(block, rest)
    return f"{first[len(block.prefix) :]}\n{rest}" if head else text


def _go_on(block: Block, rest: str) -> tuple[str, str]:
    """Return the head that opens the block in the next piece, and the rest of the text.

    What remains of a block in a list or in a quote goes on outside of it.
    """
    head = f"{block.mark[: _ROOM_TO_CLOSE - 1]}{block.info}\n" if block.is_code else block.info
    opening = head.count("\n")
    first, _, others = rest.partition("\n")
    line = [*lines_of(head + first)][opening]
    if line.block is None or line.part:
        return "", (others if line.part == "close" else rest).lstrip("\n")
    if not block.prefix:
        return head, rest
    texts: list[str] = []
    lines = [*lines_of(head + rest)][opening:]
    for place, line in enumerate(lines):
        if line.block is None or line.part == "open":
            return head, "\n".join(texts + [one.text for one in lines[place:]])
        texts.append(without(block.prefix, line.text))
        if line.part == "close":
            return head, "\n".join(texts + [one.text for one in lines[place + 1 :]])
    return head, "\n".join(texts)


def _cut(text: str, room: int) -> int:
    """Return the best place for a cut in the second half of a piece."""
    for mark in _BREAKS:
        blank = len(mark) - len(mark.rstrip())  # it is not shown at the end of a piece
        at = text.rfind(mark, room // 2, room + blank)
        if at > 0:
            return at + len(mark)
    return _between_characters(text, room)


def _line_end(text: str, begin: int, first: int, at: int) -> int:
    """Return the end of the last whole line of code before a place; without one, the place.

    The block's fence is at `begin`, and the piece's own text begins at `first`.
    """
    first = max(first, text.find("\n", begin) + 1)
    end = text.rfind("\n", first, at)
    return end + 1 if end > first else at


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
