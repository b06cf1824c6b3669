"""The components of a Discord message, of which it may consist as a whole (Components V2)."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any

import discord

from turnkeep import Media


def all_components(components: Iterable[Any]) -> Iterable[Any]:
    """Yield the components and those inside them, in the order in which they are shown."""
    for part in components:
        yield part
        inner = [*getattr(part, "children", ())]
        if (accessory := getattr(part, "accessory", None)) is not None:
            inner.append(accessory)
        yield from all_components(inner)


def component_media(components: Iterable[Any], attached: Container[int]) -> Iterator[Media]:
    """Yield the pictures and files in components, but for those that are `attached`, by their ids.

    Most have nothing but a web address.
    """
    for medium, about, name in _shown(components):
        if medium.attachment_id is None or medium.attachment_id not in attached:
            yield Media(
                kind_of(medium.content_type or ("image/" if name is None else "")),
                file_id="" if medium.attachment_id is None else str(medium.attachment_id),
                file_name=name,
                mime_type=medium.content_type,
                url=medium.url,
                about=about,
            )


def _shown(
    components: Iterable[Any],
) -> Iterator[tuple[discord.UnfurledMediaItem, str | None, str | None]]:
    """Yield the media, each with its description and, for a file, its name."""
    for part in all_components(components):
        if isinstance(part, discord.MediaGalleryComponent):
            yield from ((one.media, one.description, None) for one in part.items)
        elif isinstance(part, discord.ThumbnailComponent):
            yield part.media, part.description, None
        elif isinstance(part, discord.FileComponent):
            yield part.media, None, part.name or ""


def kind_of(content_type: str | None) -> str:
    """Return the kind of a file."""
    kind = (content_type or "").partition("/")[0]
    return {"image": "photo", "video": "video", "audio": "audio"}.get(kind, "file")
