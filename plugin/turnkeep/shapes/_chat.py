"""Chat-completions messages, with what a server's model says beside text and calls.

Servers of this API add fields of their own to an answer, and want them back: DeepSeek's
`reasoning_content`, OpenRouter's `reasoning_details`, Gemini's `extra_content`, Mistral's parts
of type `thinking`. They go back to this shape as they came, and nowhere else.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from ._common import Message, text_part
from ._items import (
    Pieces,
    arranged,
    items_of,
    media_notes,
    restored,
    thawed,
)

SHAPE: Final = "openai"
NO_TEXT: Final = "(no text)"
"""Stands for an answer that only the model of another API can read."""


def to_chat(message: Mapping[str, Any]) -> Message:
    """Return a message of this API from one that may hold items; it is a copy."""
    made = copy.deepcopy({key: message[key] for key in message if key not in ("shape", "items")})
    items = items_of(message, SHAPE)
    if items is not None:
        _restore(made, items)
    elif "items" in message and made["role"] == "assistant":
        notes = [str(part["text"]) for part in media_notes(message)]
        content = made.get("content")
        said = content.strip() if isinstance(content, str) else content
        if not said and not made.get("tool_calls"):
            made["content"] = "\n".join(notes) or NO_TEXT
    return made


def _restore(made: Message, items: list[Mapping[str, Any]]) -> None:
    content = made.get("content")
    parts = [text_part(content)] if isinstance(content, str) else content or []
    placed = [item for item in items if "part" in item or "item" in item]
    if placed:
        made["content"] = arranged(placed, Pieces(parts))
    for item in items:
        index = item.get("call")
        calls = made.get("tool_calls") or []
        if isinstance(index, int) and 0 <= index < len(calls):
            calls[index] = restored(item, calls[index])
        if isinstance(item.get("fields"), Mapping):
            made |= thawed(item["fields"])
    if not (made.get("content") or made.get("tool_calls") or "audio" in made):
        made["content"] = NO_TEXT
