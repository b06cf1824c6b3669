"""The content of a Discord message in the history: readable text, and references to media."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import discord

from turnkeep import Media
from turnkeep.adapter import Content, Quoted, as_content, as_said, list_media, note, reply_note

from ._message import author_id, source_id
from ._readable import readable


def text_of(message: discord.Message) -> str:
    """Return the message's text as people read it: `@Ada`, `#general`, `:wave:`, dates for times.

    The text of a message made of components (Components V2) is the text in them.
    """
    text = message.content or "\n".join(_component_texts(message.components))
    return readable(text, message)


Hides: TypeAlias = Callable[[discord.Message], bool]
"""A function of a message that another one replies to: may nothing of it be repeated?"""


def hides_nothing(_: discord.Message) -> bool:
    """Hide no message."""
    return False


def content_of(message: discord.Message, hides: Hides = hides_nothing) -> Content:
    """Return a message as it is recorded: text, or text and `Media`; empty if it has neither.

    A line with the message that it replies to precedes the text, and forwarded text follows it.
    Of a message that `hides` names, neither text nor author is repeated.
    """
    media = [*_attachments(message), *_stickers(message.stickers)]
    if message.poll is not None:
        options = (answer.text for answer in message.poll.answers)
        media.append(list_media("poll", message.poll.question, options))
    lines = [as_said(text_of(message))]
    for snapshot in message.message_snapshots:
        text = snapshot.content or "\n".join(_component_texts(snapshot.components))
        lines += [note("forwarded"), as_said(readable(text, message))]
        media += [*_attachments(snapshot), *_stickers(snapshot.stickers)]
    if not media and not any(line.strip() for line in lines):
        return ""
    if reply := _reply_line(message, hides):
        lines.insert(0, reply)
    return as_content(lines, media)


def quoted_of(message: discord.Message, hides: Hides = hides_nothing) -> Quoted | None:
    """Return the message that the first line of this one repeats; None without such a line."""
    original = _original_of(message)
    if original is None or hides(original):
        return None
    return Quoted(source_id(original), str(author_id(original)))


def _original_of(message: discord.Message) -> discord.Message | None:
    """Return the message that this one replies to, or None if Discord did not send it along."""
    reference = message.reference
    if reference is None or reference.type is discord.MessageReferenceType.forward:
        return None
    original = reference.resolved or reference.cached_message
    return original if isinstance(original, discord.Message) else None


def _reply_line(message: discord.Message, hides: Hides) -> str:
    original = _original_of(message)
    if original is None:
        return ""
    if hides(original):
        return reply_note(None, "")
    said = text_of(original) or " ".join(media.text for media in _attachments(original))
    return reply_note(original.author.display_name, said)


def _attachments(message: discord.Message | discord.MessageSnapshot) -> list[Media]:
    return [
        Media(
            _kind(attachment),
            file_id=str(attachment.id),
            file_name=None if attachment.is_voice_message() else attachment.filename,
            size=attachment.size,
            mime_type=attachment.content_type,
            url=attachment.url,
        )
        for attachment in message.attachments
    ]


def _kind(attachment: discord.Attachment) -> str:
    if attachment.is_voice_message():
        return "voice"
    kind = (attachment.content_type or "").partition("/")[0]
    return {"image": "photo", "video": "video", "audio": "audio"}.get(kind, "file")


def _stickers(stickers: Iterable[discord.StickerItem]) -> list[Media]:
    return [Media("sticker", file_id=str(one.id), about=one.name) for one in stickers]


def _component_texts(components: Iterable[Any]) -> list[str]:
    parts = all_components(components)
    return [part.content for part in parts if isinstance(part, discord.TextDisplay)]


def all_components(components: Iterable[Any]) -> Iterable[Any]:
    """Yield the components and those inside them, in the order in which they are shown."""
    for part in components:
        yield part
        inner = [*getattr(part, "children", ())]
        if (accessory := getattr(part, "accessory", None)) is not None:
            inner.append(accessory)
        yield from all_components(inner)
