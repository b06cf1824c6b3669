"""What a Telegram message is to turnkeep: whose session, from whom, and what it says."""

from __future__ import annotations

from aiogram.dispatcher.middlewares.user_context import EventContext
from aiogram.types import Message

from turnkeep import Sender, SessionKey

CHANNEL = "telegram"


def session_key(context: EventContext, message: Message | None = None) -> SessionKey | None:
    """The session of an update: its chat, and its topic; None if it has no chat.

    `context` is what aiogram resolved (`data["event_context"]`), and `message` the one that
    the update is about. The context names a thread for real topics only: reply chains in
    plain groups carry a thread id too. A business connection is part of the key, since its
    chats share their ids with the bot's own.
    """
    if context.chat is None:
        return None
    direct = None if message is None else message.direct_messages_topic
    return SessionKey(
        CHANNEL,
        context.chat.id,
        topic=context.thread_id,
        direct=None if direct is None else direct.topic_id,
        business=context.business_connection_id,
    )


def source_id(message: Message) -> str | None:
    """The message's id among all of Telegram's, `chat:message`; None if it has none.

    Link a reply to what it was sent as: `await reply.link(source_id(sent))`. A
    `message_id` of 0 is Telegram's word for a message that can't be named later.
    """
    return f"{message.chat.id}:{message.message_id}" if message.message_id else None


def sender_of(message: Message) -> Sender | None:
    """Who wrote the message, or None if no user did: a bot, or Telegram itself.

    A message on behalf of a chat (a channel, an anonymous administrator) is that chat's; the
    user that Telegram puts on it is a placeholder.
    """
    if message.sender_chat is not None:
        return Sender(str(message.sender_chat.id), message.sender_chat.full_name)
    user = message.from_user
    # What a bot writes in the name of a business account has the account's owner as its user.
    if user is None or user.is_bot or message.sender_business_bot is not None:
        return None
    return Sender(str(user.id), user.full_name)


def text_of(message: Message) -> str:
    """The message's text, or its caption; empty if it has neither."""
    return message.text or message.caption or ""


def is_command(message: Message) -> bool:
    """Whether the message begins with a bot command, as Telegram itself marks it."""
    entities = message.entities or message.caption_entities or ()
    return any(entity.type == "bot_command" and entity.offset == 0 for entity in entities)
