"""The session, the id and the sender of a Telegram message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from aiogram import Bot
from aiogram.dispatcher.middlewares.user_context import EVENT_CONTEXT_KEY, EventContext
from aiogram.fsm.strategy import FSMStrategy
from aiogram.types import CallbackQuery, Chat, InaccessibleMessage, Message, Update

from turnkeep import Sender, SessionKey
from turnkeep.adapter import AccountScope

CHANNEL = "telegram"
PREFIX = f"{CHANNEL}:"

_CHAIN: Final = "reply_chain"

Event: TypeAlias = Message | CallbackQuery
"""An action of a user that can be recorded: a message, or a pressed button."""

MaybeInaccessible: TypeAlias = Message | InaccessibleMessage

ScopeName: TypeAlias = Literal[
    "chat", "chat_topic", "user_in_chat", "user_in_topic", "global_user", "reply_chain"
]
ScopeFunction: TypeAlias = Callable[[Update, dict[str, Any]], SessionKey | str | None]
Scope: TypeAlias = ScopeName | FSMStrategy | ScopeFunction
"""The users and topics that share a session, in the words of aiogram's `FSMStrategy`.

- `"chat_topic"`: each chat has a session, and so has each topic of a chat.
- `"chat"`: each chat has one session, with all of its topics.
- `"user_in_chat"`: each user has one session per chat.
- `"user_in_topic"`: each user has one session per topic, and one per chat without topics.
- `"global_user"`: each user has one session for all chats; its key, `telegram:user:42`, names
  no chat.
- `"reply_chain"`: as `"chat_topic"`, but in groups a window is the chain of replies up to the
  message in hand.
- a function of the update and aiogram's data returns the key, or None for no session.
"""


def scope_function(scope: Scope) -> ScopeFunction:
    """Return the function of a scope; raises `ValueError` for an unknown scope."""
    if callable(scope):
        return scope
    name = scope.name.lower() if isinstance(scope, FSMStrategy) else scope
    name = "chat_topic" if name == _CHAIN else name
    if name.upper() not in FSMStrategy.__members__:
        names = ", ".join(repr(one.lower()) for one in FSMStrategy.__members__)
        raise ValueError(
            f"scope is one of {names}, {_CHAIN!r}, an FSMStrategy or a function, not {scope!r}"
        )
    drops_topic, by_user = name in ("chat", "user_in_chat", "global_user"), "user" in name

    def key_of(update: Update, data: dict[str, Any]) -> SessionKey | None:
        context: EventContext = data[EVENT_CONTEXT_KEY]
        user = user_of(update, context) if by_user else None
        message = message_of(update)
        if name == "global_user" and user is not None:
            return SessionKey(CHANNEL, business=context.business_connection_id, user=user)
        key = session_key(context, message)
        if key is None or (not drops_topic and user is None):
            return key
        kept = {label: value for label, value in key.scopes if not drops_topic or label != "topic"}
        return SessionKey(CHANNEL, key.chat_id, user=user, **kept)

    return key_of


def is_per_user(scope: Scope) -> bool:
    """Return whether the session depends on the user; False for your own function."""
    name = scope.name if isinstance(scope, FSMStrategy) else scope
    if callable(name):
        return isinstance(name, AccountScope) and name.is_per_user
    return "user" in name.lower()


def is_chained(scope: Scope) -> bool:
    """Return whether windows are chains of replies."""
    return scope.is_chained if isinstance(scope, AccountScope) else scope == _CHAIN


def per_account(scope: Scope = "chat_topic") -> ScopeFunction:
    """Return a scope in which each bot has its own sessions, for several bots over one store."""

    def account_of(_: Update, data: dict[str, Any]) -> int:
        bot: Bot = data["bot"]
        return bot.id

    return AccountScope(
        scope_function(scope),
        account_of,
        is_per_user=is_per_user(scope),
        is_chained=is_chained(scope),
    )


def session_key(context: EventContext, message: Message | None = None) -> SessionKey | None:
    """Return the session of an update: its chat, and its topic; None if it has no chat.

    `context` is aiogram's own (`data["event_context"]`), and `message` is the message that the
    update is about. The topic is the context's: in a group without topics, reply chains carry
    a thread id too, and the context leaves it out. A business connection is part of the key:
    its chats have the same ids as the bot's own.
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


def user_of(update: Update, context: EventContext) -> int | None:
    """Return the user of an update, for scopes per user; None for a post of a channel."""
    if context.chat is not None and context.chat.type == "private":
        return context.chat.id  # not the sender: in a business chat, its owner writes too
    message = message_of(update)
    if message is not None and update.callback_query is None and message.sender_chat is not None:
        # The user of such a message is a placeholder, the same for all anonymous administrators,
        # and for all who write as a channel. A post of a channel is nobody's own.
        return None if message.chat.type == "channel" else message.sender_chat.id
    return None if context.user is None else context.user.id


def subject_of(update: Update) -> MaybeInaccessible | None:
    """Return the message that an update is about: a new or edited one, or a pressed button's.

    If a button's message is old or deleted, Telegram sends its chat and its id only.
    """
    event = update.event
    subject = event.message if isinstance(event, CallbackQuery) else event
    return subject if isinstance(subject, (Message, InaccessibleMessage)) else None


def message_of(update: Update) -> Message | None:
    """Return the message that an update is about, if Telegram sent all of it."""
    subject = subject_of(update)
    return subject if isinstance(subject, Message) else None


def source_id(message: Message) -> str | None:
    """Return the message's unique id, `chat:message`, or None if it has none.

    Link a reply to the message that you sent it as: `await reply.link(source_id(sent))`.
    Ephemeral messages and those of a business chat are numbered by themselves, and their ids
    say so. Telegram gives a message that can't be named later the `message_id` 0.
    """
    if message.ephemeral_message_id is not None:
        # The number may return when the message is gone (`Message.ephemeral_message_id`).
        when = int(message.date.timestamp())
        return f"ephemeral:{message.chat.id}:{message.ephemeral_message_id}:{when}"
    if not message.message_id:
        return None
    return source_id_at(message.chat.id, message.message_id, message.business_connection_id)


def source_id_at(chat_id: int | str | None, message_id: int, business: str | None = None) -> str:
    """Return the source id that belongs to the ids of a chat and a message.

    A `business` connection is part of it: its chats have the same ids as the bot's own, and
    whoever owns it says what was deleted there.
    """
    return f"{chat_id}:{message_id}" if business is None else f"{business}:{chat_id}:{message_id}"


def message_at(source: str) -> Message:
    """Return the message with this source id: its place, and nothing of its content."""
    *head, chat, number = source.split(":")
    fields: dict[str, Any] = {"business_connection_id": head[0] if head else None}
    if head and head[0] == "ephemeral":
        chat, number = head[1], chat
        fields = {"ephemeral_message_id": int(number)}
        number = "0"
    place = Chat.model_construct(id=int(chat), type="")
    return Message.model_construct(message_id=int(number), chat=place, **fields)


def replied_to(message: Message) -> Message | None:
    """Return the message that this one replies to, or None.

    In a topic, each message that replies to nothing "replies" to the notice that the topic was
    created.
    """
    reply = message.reply_to_message
    return None if reply is None or reply.forum_topic_created is not None else reply


def is_of_own_inline_mode(message: Message) -> bool:
    """Return whether somebody chose the message from the results of this bot's inline mode."""
    return (
        message.via_bot is not None
        and message.bot is not None
        and message.via_bot.id == message.bot.id
    )


def is_ephemeral(message: MaybeInaccessible) -> bool:
    """Return whether only the bot and one person of a group see the message."""
    if isinstance(message, Message):
        return message.ephemeral_message_id is not None
    return not message.message_id  # it had no other number


def listener_of(update: Update, bot_id: int) -> int | None:
    """Return the one person who sees an ephemeral message, or None if it does not tell."""
    if update.callback_query is not None:
        return update.callback_query.from_user.id
    message = message_of(update)
    if message is None:
        return None
    sender = message.from_user
    if sender is not None and sender.id != bot_id:
        return sender.id
    return receiver_of(message)


def receiver_of(message: Message) -> int | None:
    """Return the person to whom the bot sent an ephemeral message; None for any other message."""
    if message.ephemeral_message_id is None or message.receiver_user is None:
        return None
    return message.receiver_user.id


class Place(NamedTuple):
    """A place in a chat: messages of two places are never in one conversation by themselves."""

    topic: int | None
    direct: int | None
    business: str | None
    listener: int | None
    """The one person who sees what is said there."""


def place_of(message: MaybeInaccessible, listener: int | None) -> Place:
    """Return the place of a message; `listener` is the one person who sees it, if it is one."""
    if isinstance(message, InaccessibleMessage):  # Telegram sends nothing but its chat and id
        return Place(None, None, None, listener)
    direct = message.direct_messages_topic
    return Place(
        message.message_thread_id if message.is_topic_message else None,
        None if direct is None else direct.topic_id,
        message.business_connection_id,
        listener,
    )


def sender_of(event: Event) -> Sender | None:
    """Return the user who wrote the message or pressed the button, or None.

    Neither a bot nor Telegram itself counts as a user: not for a channel's post that Telegram
    forwards into its discussion group, nor for a result of the bot's own inline mode. A message on
    behalf of a chat (a channel, an anonymous administrator) has that chat as its sender: its user
    is a placeholder.
    """
    if isinstance(event, Message):
        if event.is_automatic_forward or is_of_own_inline_mode(event):
            return None
        if event.sender_chat is not None:
            return Sender(str(event.sender_chat.id), event.sender_chat.full_name)
        # A bot wrote it for a business account; its user is the account's owner.
        if event.sender_business_bot is not None:
            return None
    user = event.from_user
    if user is None or user.is_bot:
        return None
    return Sender(str(user.id), user.full_name)
