"""A rich message of Telegram's (blocks of formatted text) as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiogram.types import (
    RichBlockList,
    RichBlockPreformatted,
    RichBlockTable,
    RichMessage,
    RichTextCode,
    RichTextUrl,
)

from turnkeep.adapter import note

_MEDIA = ("animation", "audio", "document", "photo", "video", "voice_note", "map")


def rich_text_of(message: RichMessage) -> str:
    """The text of all blocks, each on lines of its own; media as short notes (`[photo]`)."""
    return "\n".join(_lines(message.blocks))


def _lines(blocks: Iterable[Any]) -> list[str]:
    return [line for block in blocks for line in _block(block) if line.strip()]


def _block(block: Any) -> list[str]:
    match block:
        case RichBlockPreformatted():
            return [f"```{block.language or ''}", _text(block.text), "```"]
        case RichBlockList():
            return [line for item in block.items for line in _item(item)]
        case RichBlockTable():
            rows = [" | ".join(_text(cell.text) for cell in row) for row in block.cells]
            return [*rows, _text(block.caption)]
    medium = str(getattr(block, "type", ""))
    kind = medium.rpartition(".")[2].lower().replace("_", " ")
    lines = [note(kind)] if kind.replace(" ", "_") in _MEDIA else []
    lines += [_text(getattr(block, name, None)) for name in ("summary", "text", "expression")]
    lines += [_text(one.text) for one in getattr(block, "buttons", ())]
    lines += _lines(getattr(block, "blocks", ()))
    caption = getattr(block, "caption", None)
    return [*lines, _text(getattr(caption, "text", caption)), _text(getattr(block, "credit", None))]


def _item(item: Any) -> list[str]:
    first, *rest = _lines(item.blocks) or [""]
    return [f"{item.label} {first}".strip(), *rest]


def _text(text: Any) -> str:
    """A rich text is plain text, a list of rich texts, or a mark around one."""
    if text is None or isinstance(text, str):
        return text or ""
    if isinstance(text, (list, tuple)):
        return "".join(map(_text, text))
    if isinstance(text, RichTextUrl):
        words = _text(text.text)
        return words if words == text.url else f"[{words}]({text.url})"
    if isinstance(text, RichTextCode):
        return f"`{_text(text.text)}`"
    for name in ("text", "expression", "alternative_text", "button"):
        if (inner := getattr(text, name, None)) is not None:
            return _text(inner)
    return ""
