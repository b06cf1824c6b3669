"""The content of a Telegram message in the history: readable text, and references to media."""

from __future__ import annotations

from aiogram.types import (
    CallbackQuery,
    Chat,
    InlineKeyboardMarkup,
    Message,
    MessageOriginChannel,
    MessageOriginChat,
    MessageOriginUser,
    User,
)
from aiogram.types.message_origin_union import MessageOriginUnion
from aiogram.utils.text_decorations import TextDecoration

from turnkeep import Media
from turnkeep.adapter import (
    Content,
    Quoted,
    as_content,
    as_repeated,
    as_said,
    note,
    reply_note,
)

from ._commands import without_command
from ._media import media_of, media_text
from ._message import replied_to, source_id, source_id_at
from ._rich import rich_text_of
from ._services import Hides, hides_nothing, service_lines


class _Readable(TextDecoration):
    """Turns formatted text into readable text; links keep their address, and code its backticks."""

    def link(self, value: str, link: str) -> str:
        # A mention of a person without a user name is a link too; only the name is readable.
        return value if link.startswith("tg://user") or link == value else f"[{value}]({link})"

    def code(self, value: str) -> str:
        return f"`{value}`"

    def pre(self, value: str) -> str:
        return f"```\n{value}\n```"

    def pre_language(self, value: str, language: str) -> str:
        return f"```{language}\n{value}\n```"

    def custom_emoji(self, value: str, custom_emoji_id: str) -> str:  # noqa: ARG002
        return value

    def date_time(self, value: str, *_: object, **__: object) -> str:
        return value

    def quote(self, value: str) -> str:
        return value

    bold = italic = underline = strikethrough = spoiler = quote
    blockquote = expandable_blockquote = quote


_READABLE = _Readable()


def text_of(message: Message) -> str:
    """Return the message's text, or its caption, as people read it; empty if it has neither.

    The address of a link follows its words, and code is between backticks.
    """
    if message.rich_message is not None:
        return rich_text_of(message.rich_message)
    text = message.text or message.caption or ""
    entities = message.entities or message.caption_entities
    if not entities:
        return text
    try:
        return _READABLE.unparse(text, entities)
    except UnicodeError:  # one of them ends inside of a character, or the text is half of one
        return text


def content_of(message: Message, hides: Hides = hides_nothing) -> Content:
    """Return a message as it is recorded: text, or text and `Media`; empty if it has neither.

    Two lines may precede the text: one with the message that it replies to or quotes, and one
    with the person or chat that it was forwarded from. The media of a message that it replies to
    precede its own. Of messages that `hides` names, neither text nor author is repeated.
    """
    origin = message.forward_origin
    if origin is not None and hides(_origin_id(origin), None):
        return note("forwarded")
    text = text_of(message)
    if message.rich_message is None:  # the notes about its media are ours
        text = as_said(text)
    said, media = [text, *service_lines(message, hides)], media_of(message)
    if not media and not any(said):
        return ""
    lines = [_reply_line(message, hides), _forward_line(message), *said]
    return as_content(lines, [*_replied_media(message, hides), *media])


def asked_of(message: Message, hides: Hides = hides_nothing) -> Content:
    """Return what a command asks, `/ask what is it?`: the words and the medium beside it.

    A command without either that replies to a message asks about that message.
    """
    asked = without_command(message)
    return content_of(asked, hides) or as_content(
        [_reply_line(asked, hides)], _replied_media(asked, hides)
    )


def button_of(query: CallbackQuery) -> str:
    """Return a pressed button as it is recorded: its label, as `[button: Yes]`."""
    message = query.message
    markup = message.reply_markup if isinstance(message, Message) else None
    label = query.data or query.game_short_name or ""
    if isinstance(markup, InlineKeyboardMarkup):
        buttons = [button for row in markup.inline_keyboard for button in row]
        texts = [one.text for one in buttons if query.data and one.callback_data == query.data]
        label = texts[0] if texts else label
    return note("button", label)


def quoted_of(message: Message, hides: Hides = hides_nothing) -> Quoted | None:
    """Return the message that the first line of this one repeats; None without such a line."""
    if not _reply_line(message) or (answered := _answered(message)) is None:
        return None
    if _hides_answered(message, hides):
        return None
    author, source = answered
    return Quoted(source, None if author is None else str(author))


def _answered(message: Message) -> tuple[int | None, str | None] | None:
    """Return the author and the source id of the message that this one replies to, or None."""
    reply, elsewhere = replied_to(message), message.external_reply
    if reply is not None:
        source = source_id(reply)
        if message.business_connection_id is not None:
            source = source_id_at(reply.chat.id, reply.message_id, message.business_connection_id)
        author: Chat | User | None = reply.sender_chat or reply.from_user
        return None if author is None else author.id, source
    if elsewhere is None:
        return None
    chat, number = elsewhere.chat, elsewhere.message_id
    source = source_id_at(chat.id, number) if chat is not None and number else None
    return _origin_id(elsewhere.origin), source


def _repeats(message: Message) -> bool:
    """Return whether a message replies to another one or to a story, or quotes something."""
    return (
        message.reply_to_message is not None
        or message.external_reply is not None
        or message.reply_to_story is not None
        or message.quote is not None
    )


def _hides_answered(message: Message, hides: Hides) -> bool:
    answered, reply = _answered(message), replied_to(message)
    origin = None if reply is None else reply.forward_origin
    if origin is not None and hides(_origin_id(origin), None):
        return True
    elsewhere, story = message.external_reply, message.reply_to_story
    chats = (None if one is None else one.chat for one in (elsewhere, story))
    if any(chat is not None and hides(chat.id, None) for chat in chats):
        return True
    return answered is not None and hides(*answered)


def _reply_line(message: Message, hides: Hides = hides_nothing) -> str:
    if not _repeats(message):
        return ""
    if _hides_answered(message, hides):
        return reply_note(None, "")
    quoted = message.quote.text if message.quote is not None else None
    reply = replied_to(message)
    if reply is not None:
        said = quoted or _part_of(message, reply) or text_of(reply) or media_text(reply)
        return reply_note(_author_name(reply), said or "\n".join(service_lines(reply, hides)))
    if message.external_reply is not None:
        elsewhere = message.external_reply
        return reply_note(_origin_name(elsewhere.origin), quoted or media_text(elsewhere))
    if message.reply_to_story is not None:
        return reply_note(message.reply_to_story.chat.full_name, Media("story").text)
    return note("quote", quoted) if quoted else ""


def _part_of(message: Message, reply: Message) -> str:
    """Return the task or the option that a message replies to, or nothing."""
    if message.reply_to_checklist_task_id is not None and reply.checklist is not None:
        texts = {task.id: task.text for task in reply.checklist.tasks}
        return Media("checklist task", about=texts.get(message.reply_to_checklist_task_id)).text
    if message.reply_to_poll_option_id is not None and reply.poll is not None:
        options = {option.persistent_id: option.text for option in reply.poll.options}
        return Media("poll option", about=options.get(message.reply_to_poll_option_id)).text
    return ""


def _replied_media(message: Message, hides: Hides) -> list[Media]:
    """Return the files of the message that this one replies to, here or in another chat."""
    reply = replied_to(message) or message.external_reply
    if reply is None or _hides_answered(message, hides):
        return []
    return as_repeated(one for one in media_of(reply) if one.file_id is not None)


def _forward_line(message: Message) -> str:
    origin = message.forward_origin
    return "" if origin is None else note("forwarded from", _origin_name(origin))


def _author_name(message: Message) -> str | None:
    author: Chat | User | None = message.sender_chat or message.from_user
    return None if author is None else author.full_name


def _origin_id(origin: MessageOriginUnion) -> int | None:
    match origin:
        case MessageOriginUser():
            return origin.sender_user.id
        case MessageOriginChat():
            return origin.sender_chat.id
        case MessageOriginChannel():
            return origin.chat.id
    return None


def _origin_name(origin: MessageOriginUnion) -> str:
    match origin:
        case MessageOriginUser():
            return origin.sender_user.full_name
        case MessageOriginChat():
            return origin.sender_chat.full_name
        case MessageOriginChannel():
            return origin.chat.full_name
    return origin.sender_user_name
