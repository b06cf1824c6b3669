"""The content of a Discord message in the history: readable text, and references to media."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import discord

from turnkeep import Media
from turnkeep.adapter import (
    Content,
    Quoted,
    as_content,
    as_repeated,
    as_said,
    list_media,
    note,
    reply_note,
)

from ._components import all_components, component_media, kind_of
from ._embeds import embed_lines, embed_media
from ._message import author_id, original_of, source_id
from ._readable import readable


def text_of(message: discord.Message) -> str:
    """Return the message's text as people read it: `@Ada`, `#general`, `:wave:`, dates for times.

    The text of a message made of components (Components V2) is the text in them. The text of
    embeds follows that of the message; see `turnkeep_discord._embeds`.
    """
    return "\n".join(line for line in _texts(message, message) if line)


def _texts(part: discord.Message | discord.MessageSnapshot, message: discord.Message) -> list[str]:
    """Return the texts of a message, or of one that it forwards."""
    text = part.content or "\n".join(_component_texts(_components(part)))
    lines = [text, *embed_lines(_embeds(part), part.content)]
    return [readable(line, message) for line in lines]


def _components(part: discord.Message | discord.MessageSnapshot) -> Sequence[Any]:
    """Return the components of a message. Discord may leave them out where there are none.

    discord.py's message then has no such attribute
    (https://discord.com/developers/docs/resources/message: "Sent if the message contains
    components").
    """
    return getattr(part, "components", ())


def _embeds(part: discord.Message | discord.MessageSnapshot) -> list[discord.Embed]:
    """Return the embeds that somebody wrote. Those of a person are previews of links."""
    if isinstance(part, discord.Message) and not part.author.bot and part.webhook_id is None:
        return []
    return part.embeds


Hides: TypeAlias = Callable[[discord.Message | discord.MessageReference], bool]
"""A function of a message that another one replies to, or of a reference to one that it forwards:
may nothing of it be repeated?
"""


def hides_nothing(_: object) -> bool:
    """Hide no message."""
    return False


def content_of(
    message: discord.Message, hides: Hides = hides_nothing, *, title: str = ""
) -> Content:
    """Return a message as it is recorded: text, or text and `Media`; empty if it has neither.

    A line with the message that it replies to precedes the text, and forwarded text follows it.
    The media of the message that it replies to precede its own. Of a message that `hides` names,
    neither text nor author is repeated. The `title` of a thread that the message begins precedes
    its text; that of a forum post is known.
    """
    lines, media = _lines(message, hides), media_of(message, hides)
    if not media and not any(line.strip() for line in lines):
        return ""
    above = [_reply_line(message, hides), title or post_line(message)]
    return as_content([*above, *lines], [*_replied_media(message, hides), *media])


def asked_about(message: discord.Message, hides: Hides = hides_nothing) -> Content:
    """Return the message that a command without words replies to, and its media."""
    return as_content([_reply_line(message, hides)], _replied_media(message, hides))


def post_line(message: discord.Message) -> str:
    """Return a line with the title of the forum post that the message begins, or nothing."""
    thread = message.channel
    begins = isinstance(thread, discord.Thread) and thread.id == message.id
    return note("post", thread.name) if begins and isinstance(thread, discord.Thread) else ""


def _lines(message: discord.Message, hides: Hides) -> list[str]:
    """Return the lines that the message says, without what it replies to."""
    lines = [as_said(line) for line in _texts(message, message)]
    if _forwards_hidden(message, hides):
        lines.append(note("forwarded"))
    for snapshot in _snapshots(message, hides):
        lines += [note("forwarded"), *(as_said(line) for line in _texts(snapshot, message))]
    return lines


def _snapshots(message: discord.Message, hides: Hides) -> list[discord.MessageSnapshot]:
    return [] if _forwards_hidden(message, hides) else message.message_snapshots


def _forwards_hidden(message: discord.Message, hides: Hides) -> bool:
    reference = message.reference
    is_forward = reference is not None and reference.type is discord.MessageReferenceType.forward
    return is_forward and reference is not None and hides(reference)


def media_of(message: discord.Message, hides: Hides = hides_nothing) -> list[Media]:
    """Return the media of a message, and of those that it forwards."""
    media: list[Media] = []
    parts: list[discord.Message | discord.MessageSnapshot] = [message, *_snapshots(message, hides)]
    for part in parts:
        media += [*_attachments(part), *_stickers(part.stickers)]
        media += embed_media(_embeds(part), part.content)
        media += component_media(_components(part), {one.id for one in part.attachments})
    if message.poll is not None:
        options = (answer.text for answer in message.poll.answers)
        media.append(list_media("poll", message.poll.question, options))
    return media


def about(original: discord.Message, hides: Hides = hides_nothing) -> Content:
    """Return a line about a message, and its media, as in a reply to it."""
    return as_content([_line_about(original, hides)], _media_about(original, hides))


def quoted_of(message: discord.Message, hides: Hides = hides_nothing) -> Quoted | None:
    """Return the message that the first line of this one repeats; None without such a line."""
    original = original_of(message)
    return None if original is None else quoted(original, hides)


def quoted(original: discord.Message, hides: Hides = hides_nothing) -> Quoted | None:
    """Return a message that a line repeats, unless that says nothing of it."""
    return None if hides(original) else Quoted(source_id(original), str(author_id(original)))


def _reply_line(message: discord.Message, hides: Hides) -> str:
    original = original_of(message)
    return "" if original is None else _line_about(original, hides)


def _line_about(original: discord.Message, hides: Hides) -> str:
    if hides(original):
        return reply_note(None, "")
    said = "\n".join(_lines(original, hides)).strip("\n")
    said = said or " ".join(media.text for media in media_of(original, hides))
    return reply_note(original.author.display_name, said)


def _replied_media(message: discord.Message, hides: Hides) -> list[Media]:
    """Return the files and pictures of the message that this one replies to."""
    original = original_of(message)
    return [] if original is None else _media_about(original, hides)


def _media_about(original: discord.Message, hides: Hides) -> list[Media]:
    if hides(original):
        return []
    return as_repeated(one for one in media_of(original, hides) if one.file_id or one.url)


def _attachments(message: discord.Message | discord.MessageSnapshot) -> list[Media]:
    return [
        Media(
            "voice" if attachment.is_voice_message() else kind_of(attachment.content_type),
            file_id=str(attachment.id),
            file_name=None if attachment.is_voice_message() else attachment.filename,
            size=attachment.size,
            mime_type=attachment.content_type,
            url=attachment.url,
        )
        for attachment in message.attachments
    ]


def _stickers(stickers: Iterable[discord.StickerItem]) -> list[Media]:
    return [Media("sticker", file_id=str(one.id), about=one.name) for one in stickers]


def _component_texts(components: Iterable[Any]) -> list[str]:
    parts = all_components(components)
    return [part.content for part in parts if isinstance(part, discord.TextDisplay)]
