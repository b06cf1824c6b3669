"""Which session a Telegram message belongs to, what its id is, and who wrote it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from aiogram import Bot
from aiogram.dispatcher.middlewares.user_context import EVENT_CONTEXT_KEY, EventContext
from aiogram.fsm.strategy import FSMStrategy
from aiogram.types import CallbackQuery, InaccessibleMessage, Message, Update

from turnkeep import Sender, SessionKey
from turnkeep.adapter import AccountScope

CHANNEL = "telegram"
PREFIX = f"{CHANNEL}:"

Event: TypeAlias = Message | CallbackQuery
"""What a user did that is recorded: a message, or a pressed button."""

MaybeInaccessible: TypeAlias = Message | InaccessibleMessage

ScopeName: TypeAlias = Literal["chat", "chat_topic", "user_in_chat", "user_in_topic", "global_user"]
ScopeFunction: TypeAlias = Callable[[Update, dict[str, Any]], SessionKey | str | None]
Scope: TypeAlias = ScopeName | FSMStrategy | ScopeFunction
"""Who shares a session, in the words of aiogram's `FSMStrategy`.

`"chat_topic"`: a chat, and each topic of one by itself. `"chat"`: a chat with all of its
topics. `"user_in_chat"` and `"user_in_topic"`: each user of those by himself.
`"global_user"`: a user, in whatever chat; its key, `telegram:user:42`, has no chat. Or a
function from the update and aiogram's data to a key, or None for no session.
"""


def scope_function(scope: Scope) -> ScopeFunction:
    """The function of a scope; raises `ValueError` where there is no such scope."""
    if callable(scope):
        return scope
    name = scope.name.lower() if isinstance(scope, FSMStrategy) else scope
    if name.upper() not in FSMStrategy.__members__:
        names = ", ".join(repr(one.lower()) for one in FSMStrategy.__members__)
        raise ValueError(f"scope is one of {names}, an FSMStrategy or a function, not {scope!r}")
    whole, by_user = name in ("chat", "user_in_chat", "global_user"), "user" in name

    def key_of(update: Update, data: dict[str, Any]) -> SessionKey | None:
        context: EventContext = data[EVENT_CONTEXT_KEY]
        user = user_of(update, context) if by_user else None
        message = message_of(update)
        if name == "global_user" and user is not None:
            return SessionKey(CHANNEL, business=context.business_connection_id, user=user)
        key = session_key(context, message)
        if key is None or (not whole and user is None):
            return key
        kept = {label: value for label, value in key.scopes if not whole or label != "topic"}
        return SessionKey(CHANNEL, key.chat_id, user=user, **kept)

    return key_of


def is_per_user(scope: Scope) -> bool:
    """Whether a user's session can't be told by the chat alone; False for your own function."""
    name = scope.name if isinstance(scope, FSMStrategy) else scope
    if callable(name):
        return isinstance(name, AccountScope) and name.is_per_user
    return "user" in name.lower()


def per_account(scope: Scope = "chat_topic") -> ScopeFunction:
    """A scope in which each bot has sessions of its own, for several bots over one store."""

    def account_of(_: Update, data: dict[str, Any]) -> int:
        bot: Bot = data["bot"]
        return bot.id

    return AccountScope(scope_function(scope), account_of, is_per_user=is_per_user(scope))


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


def user_of(update: Update, context: EventContext) -> int | None:
    """Whose update it is, for scopes per user; None for a channel's own."""
    if context.chat is not None and context.chat.type == "private":
        return context.chat.id  # in a business chat its owner writes too
    message = message_of(update)
    if message is not None and update.callback_query is None and message.sender_chat is not None:
        # The user beside it is a placeholder, the same for all anonymous administrators.
        return None if message.sender_chat.type == "channel" else message.sender_chat.id
    return None if context.user is None else context.user.id


def about_of(update: Update) -> MaybeInaccessible | None:
    """The message that an update is about: a new one, an edited one, a pressed button's.

    Of a button's message that is old, or gone, Telegram tells the chat alone.
    """
    event = update.event
    about = event.message if isinstance(event, CallbackQuery) else event
    return about if isinstance(about, (Message, InaccessibleMessage)) else None


def message_of(update: Update) -> Message | None:
    """The message that an update is about, if Telegram tells it."""
    about = about_of(update)
    return about if isinstance(about, Message) else None


def source_id(message: Message) -> str | None:
    """The message's id among all of Telegram's, `chat:message`; None if it has none.

    Link a reply to what it was sent as: `await reply.link(source_id(sent))`. A
    `message_id` of 0 is Telegram's word for a message that can't be named later.
    """
    return source_id_at(message.chat.id, message.message_id) if message.message_id else None


def source_id_at(chat_id: int | str | None, message_id: int) -> str:
    """The source id of a message that Telegram names by its ids alone."""
    return f"{chat_id}:{message_id}"


def sender_of(event: Event) -> Sender | None:
    """Who wrote the message or pressed the button, or None if no user did.

    A bot is no user, and neither is Telegram itself. A message on behalf of a chat (a channel,
    an anonymous administrator) is that chat's; the user that Telegram puts on it is a
    placeholder.
    """
    if isinstance(event, Message):
        if event.sender_chat is not None:
            return Sender(str(event.sender_chat.id), event.sender_chat.full_name)
        # What a bot writes in the name of a business account has the account's owner as its user.
        if event.sender_business_bot is not None:
            return None
    user = event.from_user
    if user is None or user.is_bot:
        return None
    return Sender(str(user.id), user.full_name)


def is_command(message: Message) -> bool:
    """Whether the message begins with a bot command, as Telegram itself marks it."""
    entities = message.entities or message.caption_entities or ()
    return any(entity.type == "bot_command" and entity.offset == 0 for entity in entities)


async def is_addressed(event: Event, bot: Bot) -> bool:
    """Whether it is said to the bot: in a private chat, a mention, a reply, a pressed button."""
    if isinstance(event, CallbackQuery) or event.chat.type == "private":
        return True
    reply = event.reply_to_message
    if reply is not None and reply.from_user is not None and reply.from_user.id == bot.id:
        return True
    text = event.text or event.caption or ""
    for entity in event.entities or event.caption_entities or ():
        if entity.type == "text_mention" and entity.user is not None and entity.user.id == bot.id:
            return True
        if entity.type in ("mention", "bot_command"):
            said = entity.extract_from(text).casefold()
            me = await bot.me()  # asked for once, and kept by aiogram
            if said.endswith(f"@{(me.username or '').casefold()}"):
                return True
    return False
