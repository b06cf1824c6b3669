"""What a Discord message leaves in the history: readable text, and references to media."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import discord

from turnkeep import Media
from turnkeep.adapter import Content, Quoted, as_content, list_media, note, reply_note

from ._message import source_id
from ._readable import readable


def text_of(message: discord.Message) -> str:
    """The message's text as people read it: `@Ada`, `#general`, `:wave:`, a time as a date.

    Of a message that is made of components (Components V2) it is the texts in them.
    """
    text = message.content or "\n".join(_texts(message.components))
    return readable(text, message)


def content_of(message: discord.Message) -> Content:
    """What is recorded of a message: text, or text and `Media`; empty if there is nothing.

    In front of the text stands what it replies to, and behind it what it forwards.
    """
    said = text_of(message)
    media = [*_attachments(message), *_stickers(message.stickers)]
    if message.poll is not None:
        options = (answer.text for answer in message.poll.answers)
        media.append(list_media("poll", message.poll.question, options))
    lines = [said]
    for snapshot in message.message_snapshots:
        text = snapshot.content or "\n".join(_texts(snapshot.components))
        lines += [note("forwarded"), readable(text, message)]
        media += [*_attachments(snapshot), *_stickers(snapshot.stickers)]
    if not media and not any(line.strip() for line in lines):
        return ""
    if reply := _reply(message):
        lines.insert(0, reply)
    return as_content(lines, media)


def quoted_of(message: discord.Message) -> Quoted | None:
    """The message whose text stands in this one's first line; None if there is no such line."""
    answered = _answered(message)
    if answered is None:
        return None
    return Quoted(source_id(answered), str(answered.author.id))


def _answered(message: discord.Message) -> discord.Message | None:
    reference = message.reference
    if reference is None or reference.type is discord.MessageReferenceType.forward:
        return None
    answered = reference.resolved or reference.cached_message
    # Else it is deleted, or was not sent along.
    return answered if isinstance(answered, discord.Message) else None


def _reply(message: discord.Message) -> str:
    answered = _answered(message)
    if answered is None:
        return ""
    said = text_of(answered) or " ".join(media.text for media in _attachments(answered))
    return reply_note(answered.author.display_name, said)


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


def _texts(components: Iterable[Any]) -> list[str]:
    parts = all_components(components)
    return [part.content for part in parts if isinstance(part, discord.TextDisplay)]


def all_components(components: Iterable[Any]) -> Iterable[Any]:
    """The components and those in them, in the order in which they are shown."""
    for part in components:
        yield part
        inner = [*getattr(part, "children", ())]
        if (accessory := getattr(part, "accessory", None)) is not None:
            inner.append(accessory)
        yield from all_components(inner)
