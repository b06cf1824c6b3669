"""The embeds of a Discord message as text and media: the frames in which bots and webhooks write.

A person can't write one. Under a person's message there are only previews of links, which say
nothing of what the person said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import discord

from turnkeep import Media


def embed_lines(embeds: Sequence[discord.Embed], content: str) -> list[str]:
    """Return the texts of embeds, from the top to the bottom; previews of links are left out."""
    return [line for embed in _written(embeds, content) for line in _lines(embed) if line]


def embed_media(embeds: Sequence[discord.Embed], content: str) -> list[Media]:
    """Return the pictures in embeds."""
    shown = (
        (embed.get(name) or {}).get("url")
        for embed in _written(embeds, content)
        for name in ("image", "thumbnail")
    )
    return [Media("photo", url=url) for url in shown if url]


def _written(embeds: Sequence[discord.Embed], content: str) -> Iterator[dict[str, Any]]:
    """Yield the embeds as JSON; any field may be null, on which discord.py's own reads fail."""
    for embed in embeds:
        is_preview = embed.url is not None and embed.url in content
        if embed.type == "rich" and not is_preview:
            yield {**embed.to_dict()}


def _lines(embed: dict[str, Any]) -> Iterator[str]:
    yield (embed.get("author") or {}).get("name") or ""
    title, url = embed.get("title") or "", embed.get("url")
    yield f"[{title}]({url})" if title and url else title
    yield embed.get("description") or ""
    for field in embed.get("fields") or ():
        yield f"{field.get('name')}: {field.get('value')}"
    yield (embed.get("footer") or {}).get("text") or ""
