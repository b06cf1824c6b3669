"""The readable text of a Telegram rich message, which consists of formatted blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from aiogram.types import (
    RichBlockList,
    RichBlockPreformatted,
    RichBlockTable,
    RichMessage,
    RichTextCode,
    RichTextMention,
    RichTextTextMention,
    RichTextUrl,
    TelegramObject,
)

from turnkeep.adapter import as_said, note

_MEDIA_TYPES = ("animation", "audio", "document", "photo", "video", "voice_note", "map")
_INNER = ("blocks", "items", "cells", "text", "summary", "caption", "credit")


def rich_text_of(message: RichMessage) -> str:
    """Return the text of all blocks, each on its own lines; media as short notes (`[photo]`)."""
    return "\n".join(_lines_of(message.blocks))


def mentions_in(message: RichMessage) -> Iterator[RichTextMention | RichTextTextMention]:
    """Yield the mentions of people and bots in a rich message."""
    return _mentions(message.blocks)


def _mentions(part: Any) -> Iterator[RichTextMention | RichTextTextMention]:
    if isinstance(part, (list, tuple)):
        for one in part:
            yield from _mentions(one)
    elif isinstance(part, (RichTextMention, RichTextTextMention)):
        yield part
    elif isinstance(part, TelegramObject):
        for name in _INNER:
            yield from _mentions(getattr(part, name, None))


def _lines_of(blocks: Iterable[Any]) -> list[str]:
    return [line for block in blocks for line in _block_lines(block) if line.strip()]


def _block_lines(block: Any) -> list[str]:
    match block:
        case RichBlockPreformatted():
            return [f"```{block.language or ''}", _plain_text(block.text), "```"]
        case RichBlockList():
            return [line for item in block.items for line in _item_lines(item)]
        case RichBlockTable():
            rows = [" | ".join(_plain_text(cell.text) for cell in row) for row in block.cells]
            return [*map(as_said, rows), as_said(_plain_text(block.caption))]
    kind = str(getattr(block, "type", "")).rpartition(".")[2].lower()
    lines = [note(kind.replace("_", " "))] if kind in _MEDIA_TYPES else []
    said = [_plain_text(getattr(block, name, None)) for name in ("summary", "text", "expression")]
    said += [_plain_text(one.text) for one in getattr(block, "buttons", ())]
    lines += map(as_said, said)
    lines += _lines_of(getattr(block, "blocks", ()))
    caption = getattr(block, "caption", None)
    return [
        *lines,
        as_said(_plain_text(getattr(caption, "text", caption))),
        as_said(_plain_text(getattr(block, "credit", None))),
    ]


def _item_lines(item: Any) -> list[str]:
    first, *rest = _lines_of(item.blocks) or [""]
    box = ("[x]" if item.is_checked else "[ ]") if item.has_checkbox else ""
    return [" ".join(filter(None, (item.label, box, first))), *rest]


def _plain_text(text: Any) -> str:
    """Return the text without its formatting.

    A rich text is a string, a list of rich texts, or one object that formats another rich text.
    """
    if text is None or isinstance(text, str):
        return text or ""
    if isinstance(text, (list, tuple)):
        return "".join(map(_plain_text, text))
    if isinstance(text, RichTextUrl):
        words = _plain_text(text.text)
        return words if words == text.url else f"[{words}]({text.url})"
    if isinstance(text, RichTextCode):
        return f"`{_plain_text(text.text)}`"
    for name in ("text", "expression", "alternative_text", "button"):
        if (inner := getattr(text, name, None)) is not None:
            return _plain_text(inner)
    return ""
