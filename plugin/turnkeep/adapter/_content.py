"""The content of a turn that an adapter makes of a platform's message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from .._records.media import Media

__all__ = ["Content", "as_content", "list_media"]

Content: TypeAlias = str | list[str | Media]
"""Text, or text and `Media`; empty if the message has neither."""

_MAX_ABOUT: Final = 1000


def as_content(lines: Iterable[str], media: Sequence[Media] = ()) -> Content:
    """Return the lines that are not empty as one text, followed by the media.

    >>> as_content(["[reply to Ada: see you at 8]", "", "Fine."])
    '[reply to Ada: see you at 8]\\nFine.'
    """
    text = "\n".join(line for line in lines if line)
    return [*([text] if text else []), *media] if media else text


def list_media(kind: str, title: str, entries: Iterable[str]) -> Media:
    """Return a poll or a checklist as `Media`: its title and its entries in one short text.

    >>> list_media("poll", "Tea?", ["Yes", "No"]).text
    '[poll: Tea? Yes / No]'
    """
    return Media(kind, about=f"{title} {' / '.join(entries)}"[:_MAX_ABOUT])
