"""Content parts of any API's format, as the chat-completions format that is stored."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from .._errors import InvalidTurnError
from .media import Media, checked_media, data_of

__all__ = ["InlineMedia", "checked_parts", "is_part"]

InlineMedia: TypeAlias = Literal["error", "keep"] | Callable[[bytes, str | None], Media]
"""The rule for parts that hold the bytes of a medium, see `SessionStore`."""

_KNOWN: Final = ("text", "refusal", "image_url", "input_audio", "file", "media")
_AUDIO: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_DETAILS: Final = ("low", "high")
_OF_ANSWERS: Final = ("annotations", "citations", "logprobs", "parsed")
"""Fields of a text that a model has said; no API takes them in a chat-completions part."""
_THOUGHTS: Final = ("thinking", "redacted_thinking", "reasoning")
"""Parts that windows leave out."""


def checked_parts(
    role: str, parts: Sequence[dict[str, Any]], where: str, inline: InlineMedia
) -> list[dict[str, Any]]:
    """Return the parts to store; raise `InvalidTurnError` for those that no model could get.

    By default the bytes of a medium are an error: the caller has the platform's reference. In a
    tool's result a reference replaces them, so that no answer is lost.
    """
    return [_checked(role, _converted(part), where, inline) for part in parts]


def _checked(role: str, part: dict[str, Any], where: str, inline: InlineMedia) -> dict[str, Any]:
    kind = part["type"]
    if kind == "media":
        return checked_media(part, where)
    found = data_of(part)
    if found is not None:
        media, encoded = found
        if inline == "keep":
            return part
        if inline != "error":
            return checked_media(_made(inline, encoded, media, where).as_part(), where)
        if media.mime_type == "text/plain" and (text := _text(encoded)) is not None:
            return {"type": "text", "text": text}
        if role == "tool":
            return media.as_part()
        raise InvalidTurnError(
            f"{where}a part of type {kind!r} holds the data itself, which is not stored: append "
            "Media(kind, file_id=…), and give get_history(media=…) a function that fetches it for "
            "the model; or give SessionStore(inline_media=…) a function that puts bytes somewhere "
            "and returns such a Media, or 'keep'"
        )
    if kind not in _KNOWN and kind not in _THOUGHTS:
        raise InvalidTurnError(
            f"{where}no model gets a content part of type {kind!r}: use one of "
            f"{', '.join(_KNOWN)}, or give a whole answer of a model to reply.add() or extend()"
        )
    return part


def _made(
    inline: Callable[[bytes, str | None], Media], encoded: str, media: Media, where: str
) -> Media:
    try:
        data = base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        data = b""
    made: object = inline(data, media.mime_type)
    if not isinstance(made, Media):
        raise InvalidTurnError(f"{where}inline_media returns a Media, not {type(made).__name__}")
    return made


def _text(encoded: str) -> str | None:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def is_part(part: Mapping[str, Any]) -> bool:
    """Return True for a content part of any API's format that can be stored as one.

    The key of its type tells it from a tool's own data.
    """
    made = _converted(part)
    kind = made.get("type")
    return isinstance(kind, str) and kind in _KNOWN and (kind in made or kind == "media")


def _image(url: str, detail: object = None) -> dict[str, Any]:
    more = {"detail": detail} if detail in _DETAILS else {}
    return {"type": "image_url", "image_url": {"url": url, **more}}


def _file(data: str, name: object) -> dict[str, Any]:
    named = {"filename": name} if isinstance(name, str) and name else {}
    return {"type": "file", "file": {**named, "file_data": data}}


def _converted(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of another format as a chat-completions one.

    The formats are the Responses API's, Anthropic's, and that of an MCP server's results.
    """
    match part:
        case {"type": "text" | "input_text" | "output_text", "text": str()}:
            kept = {key: value for key, value in part.items() if key not in _OF_ANSWERS}
            return {**kept, "type": "text"}
        case {"type": "input_image", "image_url": str(url) | {"url": str(url)}}:
            return _image(url, part.get("detail"))
        case {"type": "image_url", "image_url": str(url)}:
            return _image(url, part.get("detail"))
        case {"type": "input_file", "file_data": str(data)}:
            return _file(data, part.get("filename"))
        case {"type": "input_file", "file_id": str(id)}:
            return {"type": "file", "file": {"file_id": id}}
        case {"type": "image" | "document", "source": {"type": "base64"} as source}:
            url = f"data:{source.get('media_type')};base64,{source.get('data')}"
            return _image(url) if part["type"] == "image" else _file(url, part.get("title"))
        case {"type": "image", "source": {"type": "url", "url": str(url)}}:
            return _image(url)
        case {"type": "document", "source": {"type": "text", "data": str(text)}}:
            return {"type": "text", "text": text}
        case {"type": "image", "data": str(data), "mimeType": str(mime)}:
            return _image(f"data:{mime};base64,{data}")
        case {"type": "audio", "data": str(data), "mimeType": str(mime)}:
            sound = {"data": data, "format": _AUDIO.get(mime, mime.rpartition("/")[2])}
            return {"type": "input_audio", "input_audio": sound}
    return dict(part)
