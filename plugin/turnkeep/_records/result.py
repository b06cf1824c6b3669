"""A tool's result on its way in: text and content parts stay, other values become JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .._errors import InvalidTurnError
from .media import Media, media_of
from .text import json_text

__all__ = ["dumped", "result_content"]

_PART_KEYS: Final = {
    "text": "text",
    "refusal": "refusal",
    "image_url": "image_url",
    "input_audio": "input_audio",
    "file": "file",
    "image": "source",
    "document": "source",
    "input_text": "text",
    "output_text": "text",
    "input_image": "image_url",
    "input_file": "file_data",
}
"""The types of content parts, and the key that tells each from data of a tool's own."""


def dumped(value: object) -> object:
    """Return the fields of a client's message object, a pydantic model, or else the value."""
    dump = getattr(value, "model_dump", None)
    return dump(exclude_none=True) if callable(dump) else value


def result_content(content: object, where: str) -> object:
    """Return a tool's result as text or content parts; other values become JSON text."""
    if content is None:
        return ""
    if isinstance(content, (str, Media)):
        return content
    if isinstance(content, (list, tuple)):
        parts = [dumped(part) for part in content]
        if any(not isinstance(part, str) for part in parts) and all(map(_is_part, parts)):
            return parts
    if isinstance(content, bytes):
        raise InvalidTurnError(f"{where}the content of a tool turn is bytes: decode it first")
    try:
        return json_text(dumped(content))
    except ValueError as error:
        raise InvalidTurnError(
            f"{where}the content of a tool turn can't be stored, {error}: convert it to text first"
        ) from None


def _is_part(part: object) -> bool:
    if isinstance(part, Mapping):
        kind = part.get("type")
        known = isinstance(kind, str) and _PART_KEYS.get(kind) in part
        return known or media_of(part) is not None
    return isinstance(part, (str, Media))
