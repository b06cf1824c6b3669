"""The content of a turn that an adapter makes of a platform's message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from msgspec import json, structs, to_builtins

from .._records.clean import clean_json
from .._records.media import MAX_MEDIA_BYTES, Media

__all__ = ["Content", "as_content", "as_repeated", "cut_to_fit", "list_media"]

Content: TypeAlias = str | list[str | Media]
"""Text, or text and `Media`; empty if the message has neither."""

_MAX_ABOUT: Final = 1000
_MAX_NAME: Final = 200
_MAX_KIND: Final = 32
_MAX_REFERENCE: Final = 2000
_OTHER_FIELDS: Final = 2048
"""The bytes of a turn that its content leaves to names, ids and times."""


def as_content(lines: Iterable[str], media: Sequence[Media] = ()) -> Content:
    """Return the lines that are not empty as one text, followed by the media.

    >>> as_content(["[reply to Ada: see you at 8]", "", "Fine."])
    '[reply to Ada: see you at 8]\\nFine.'
    """
    text = "\n".join(line for line in lines if line)
    return [*([text] if text else []), *map(fitted, media)] if media else text


def as_repeated(media: Iterable[Media]) -> list[Media]:
    """Return the media of a message as those of one that replies to it."""
    return [structs.replace(one, repeated=True) for one in media]


def fitted(media: Media) -> Media:
    """Return a medium that can be stored: what is too long in it is cut, or left out.

    A name has the size that whoever sends it gives it. An error for it would make the platform
    deliver the message again and again.

    >>> len(fitted(Media("file", file_name="é" * 9_000)).file_name)
    200
    """
    cut = Media(
        media.kind[:_MAX_KIND],
        file_id=_within(media.file_id, _MAX_REFERENCE),
        file_name=None if media.file_name is None else _cut_name(media.file_name),
        size=media.size,
        mime_type=None if media.mime_type is None else media.mime_type[:_MAX_NAME],
        url=_within(media.url, _MAX_REFERENCE),
        about=None if media.about is None else media.about[:_MAX_ABOUT],
        repeated=media.repeated,
    )
    for about in (cut.about, (cut.about or "")[:_MAX_NAME] or None, None):
        cut = structs.replace(cut, about=about)
        if _size(cut) <= MAX_MEDIA_BYTES:
            return cut
    return Media(cut.kind, size=media.size, repeated=media.repeated)


def cut_to_fit(content: object, max_bytes: int) -> object:
    """Return a content of which a turn of `max_bytes` can be made: as it is, or with less in it.

    An error would make the platform deliver the message again and again.

    >>> len(cut_to_fit("word " * 1_000, 2_000)) < 2_000
    True
    """
    most = max(max_bytes - _OTHER_FIELDS, max_bytes // 2)
    while content and _size(content) > most:
        content = _shortened(content)
    return content


def _size(content: object) -> int:
    """Return the bytes of a content as JSON, with U+FFFD in the place of lone surrogates."""
    try:
        return len(json.encode(content, enc_hook=str))
    except UnicodeEncodeError:
        plain = to_builtins(content, enc_hook=str)
        return len(json.encode(clean_json(plain, "the content")))


def _shortened(content: object) -> object:
    """Return a content with less text in it; without text, with one part less."""
    if isinstance(content, str):
        return content[: len(content) * 2 // 3].rstrip()
    if not isinstance(content, list):
        return None
    if isinstance(content[0], str) and len(content[0]) > _MAX_NAME:
        return [_shortened(content[0]), *content[1:]]
    return content[:-1]


def _within(reference: str, most: int) -> str:
    """Return a reference, or "" if it is too long: cut, it would refer to nothing."""
    return reference if len(reference) <= most else ""


def _cut_name(name: str) -> str:
    """Return the name with at most 200 characters; the ending, which says what it is, stays."""
    if len(name) <= _MAX_NAME:
        return name
    ending = name[name.rfind(".") :][:16] if "." in name[-16:] else ""
    return name[: _MAX_NAME - len(ending)] + ending


def list_media(kind: str, title: str, entries: Iterable[str]) -> Media:
    """Return a poll or a checklist as `Media`: its title and its entries in one short text.

    >>> list_media("poll", "Tea?", ["Yes", "No"]).text
    '[poll: Tea? Yes / No]'
    """
    return Media(kind, about=f"{title} {' / '.join(entries)}"[:_MAX_ABOUT])
