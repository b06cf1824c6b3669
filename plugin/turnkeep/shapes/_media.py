"""Pictures, sounds and files: data URLs, base64, and their chat-completions parts."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from ._common import Part, mapping_or_empty

_MIME: Final = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_WEB_URL: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f]+")
_MIME_ALIASES: Final = {
    "image/jpg": "image/jpeg",
    "audio/mpeg": "audio/mp3",
    "audio/x-wav": "audio/wav",
}


def audio_of(part: Part) -> Data | None:
    """Return the data of an `input_audio` part: base64, and a format such as `wav` or `mp3`."""
    audio = mapping_or_empty(part.get("input_audio"))
    kind, data = audio.get("format"), audio.get("data")
    if not isinstance(kind, str) or not isinstance(data, str):
        return None
    return data_of(f"audio/{kind}", data)


def file_of(part: Part) -> tuple[str | None, Data | None]:
    """Return the name and data of a `file` part; `file_data` is a data URL or a PDF's base64."""
    file = mapping_or_empty(part.get("file"))
    name, data = file.get("filename"), file.get("file_data")
    found = None
    if isinstance(data, str):
        found = data_url(data)
        if found is None and data.startswith("JVBERi0"):  # base64 of "%PDF-"
            found = data_of("application/pdf", data)
    return name if isinstance(name, str) and name.strip() else None, found


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes in standard base64, and their media type in lower case."""

    mime: str
    base64: str

    @property
    def url(self) -> str:
        return f"data:{self.mime};base64,{self.base64}"

    @property
    def raw(self) -> bytes:
        return base64.b64decode(self.base64)


def data_of(mime: str, encoded: str) -> Data | None:
    """Return the data, or None if the type or the base64 is not one that the APIs take."""
    mime = mime.strip().lower()
    mime = _MIME_ALIASES.get(mime, mime)
    if len(encoded) % 4 or not _BASE64.fullmatch(encoded) or not _MIME.fullmatch(mime):
        return None
    return Data(mime, encoded)


def data_url(url: str) -> Data | None:
    """Return the data of `data:image/png;base64,…` (RFC 2397), or None for any other URL."""
    if url[:5].lower() != "data:":
        return None
    head, _, encoded = url[5:].partition(",")
    mime, *parameters = head.split(";")
    if not parameters or parameters[-1].strip().lower() != "base64":
        return None
    return data_of(mime, encoded)


def is_web_url(url: str) -> bool:
    """Return True for an `http` or `https` URL without spaces or control characters."""
    return _WEB_URL.fullmatch(url) is not None


def bytes_of(value: object) -> bytes | None:
    """Return the bytes, which may be given in base64 of either alphabet."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        return None
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
