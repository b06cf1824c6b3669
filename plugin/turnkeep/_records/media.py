"""References to pictures, voice and files. Their bytes are never stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from .._errors import InvalidTurnError
from .text import one_line

__all__ = ["Media"]

MAX_MEDIA_BYTES: Final = 4096
_MAX_DETAIL: Final = 200
_LOOKED_AT: Final = 4_000
"""The characters of a text that its 200 are taken from: a quoted message may be of any length."""


class Media(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="media"):
    """A reference to a medium that the platform keeps: one part of a turn's content.

    `kind` is one word, such as `photo`, `voice`, `audio`, `video`, `file`, `sticker` or
    `location`. `file_id` is the platform's id, and `url` a web address; each is empty if there is
    none. `size` is in bytes. `about` is a short description: a sticker's emoji, or a place's
    coordinates. `repeated` is True for a medium of the message that this one replies to. The
    encoded reference has at most 4 KiB. An album is several references in one content.

    >>> Media("file", file_id="BQAC", file_name="report.pdf", size=81_920).text
    '[file: report.pdf]'
    """

    kind: str
    file_id: str = ""
    file_name: str | None = None
    size: int | None = None
    mime_type: str | None = None
    url: str = ""
    about: str | None = None
    repeated: bool = False

    def __repr__(self) -> str:
        """Return its kind alone: an address, a name and a place are for nobody else to read."""
        return f"<{type(self).__name__} {self.kind!r}>"

    @property
    def text(self) -> str:
        """The short text for a window, such as `[file: a.pdf]`; brackets in names are replaced."""
        kind, detail = (_inside(text) for text in (self.kind, self.about or self.file_name or ""))
        kind = f"{kind or 'media'} replied to" if self.repeated else kind or "media"
        return f"[{kind}: {detail}]" if detail else f"[{kind}]"

    def as_part(self) -> dict[str, Any]:
        """Return the content part to store: `{"type": "media", "kind": …}`."""
        return cast("dict[str, Any]", msgspec.to_builtins(self))


def _converted(part: Mapping[str, Any]) -> Media:
    given = {name: value for name, value in part.items() if value is not None}
    return msgspec.convert(given, Media)


def _inside(text: str) -> str:
    seen = one_line(text[:_LOOKED_AT])
    return seen.replace("[", "(").replace("]", ")")[:_MAX_DETAIL].strip()


def media_of(part: Mapping[str, Any]) -> Media | None:
    """Return the medium that a stored content part refers to, or None for another part."""
    if part.get("type") != "media":
        return None
    try:
        return _converted(part)
    except (
        msgspec.ValidationError
    ):  # written by another program, or damaged: shown as an attachment
        return None


def checked_media(part: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a checked media part; raise `InvalidTurnError` if it is no small reference."""
    try:
        media = _converted(part)
    except msgspec.ValidationError as error:
        raise InvalidTurnError(f"{where}a medium that can't be stored: {error}") from None
    size = len(msgspec.json.encode(media))
    if not media.kind.strip():
        raise InvalidTurnError(f"{where}a medium needs a kind, such as 'photo'")
    if size > MAX_MEDIA_BYTES or media.url[:5].lower() == "data:":
        raise InvalidTurnError(
            f"{where}a medium is kept as a small reference, of at most {MAX_MEDIA_BYTES:,} bytes "
            f"and without its data: give its file_id or its web address (it has {size:,} bytes)"
        )
    return media.as_part()


def data_of(part: Mapping[str, Any]) -> tuple[Media, str] | None:
    """Return a reference for a part that has data, and that in base64; None for any other."""
    match part:
        case {"type": "image_url", "image_url": {"url": str(url)} | str(url)} if (
            url[:5].lower() == "data:"
        ):
            return Media("image", size=_decoded_size(url), mime_type=_mime_of(url)), _encoded(url)
        case {"type": "input_audio", "input_audio": {"data": str(data), **rest}} if data:
            kind = rest.get("format")
            mime = f"audio/{kind}" if isinstance(kind, str) else None
            return Media("audio", size=_decoded_size(data), mime_type=mime), data
        case {"type": "file", "file": {"file_data": str(data), **rest}} if data:
            name = rest.get("filename")
            media = Media(
                "file",
                file_name=name if isinstance(name, str) else None,
                size=_decoded_size(data),
                mime_type=_mime_of(data),
            )
            return media, _encoded(data)
    return None


def _encoded(data: str) -> str:
    return data.partition(",")[2] or data


def _decoded_size(data: str) -> int:
    encoded = data.partition(",")[2] or data
    return len(encoded.rstrip("=")) * 3 // 4


def _mime_of(url: str) -> str | None:
    head, comma, _ = url.partition(",")
    return (head[5:].partition(";")[0][:100] or None) if comma else None
