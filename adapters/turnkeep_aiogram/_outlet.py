"""The way of an answer into a Telegram chat: sent, edited as it grows, or shown as a draft."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from functools import cached_property
from typing import Any, Final, TypeVar
from weakref import WeakSet

from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNotFound,
    TelegramRetryAfter,
)
from aiogram.methods import EditMessageText, SendMessageDraft
from aiogram.types import (
    InaccessibleMessage,
    InlineKeyboardMarkup,
    InputRichMessage,
    LinkPreviewOptions,
    Message,
    ReplyParameters,
)

from turnkeep.adapter import (
    AnswerOptions,
    Looks,
    MessageGoneError,
    SlowDownError,
    UnreachableError,
)

from ._keyboards import keyboard
from ._mentions import Unmentioned
from ._message import Place, message_at, place_of, source_id
from ._patience import patiently

T = TypeVar("T")

logger: Final = logging.getLogger("turnkeep")

Rich = Callable[[str], InputRichMessage | None]
"""A function from a piece of the model's text to a rich message, or None for an ordinary one."""

Render = Callable[[str], dict[str, Any]]
"""A function from a piece of the model's text to fields of `sendMessage`, `text` among them.

Each field is used where Telegram allows it: `disable_notification` when a piece is sent, and a
reply keyboard too, the others also when the piece is edited or shown as a draft. The chat, the
topic and the message are the answer's own.
"""

_PLACE: Final = frozenset(
    {
        "business_connection_id",
        "chat_id",
        "direct_messages_topic_id",
        "draft_id",
        "inline_message_id",
        "message_id",
        "message_thread_id",
    }
)
_DRAFTED: Final = frozenset(SendMessageDraft.model_fields) | {"rich_message"}
_UNFORMATTED: Final = ("can't parse", "entit", "too long", "url")
"""Words of refusals for which the unchanged text is sent."""
_NOT_CONTENT: Final = ("not modified", "message to edit not found", "can't be edited")
_OLDER_SERVER: Final = ("method not found", "message text is empty")
"""The refusals of rich messages by a Bot API server that does not know them."""
_FORMAT: Final = frozenset({"entities", "parse_mode", "text"})
_OPTIONS: Final = AnswerOptions()
_LOOKS: Final = Looks()
_NO_PREVIEW: Final = LinkPreviewOptions(is_disabled=True)

# The words of tdlib/telegram-bot-api (Client.cpp), tdlib/td, and Telegram's own servers for
# chats and topics that take no messages (any more); beside them, each 403.
_UNREACHABLE: Final = (
    "chat not found",
    "message thread not found",
    "TOPIC_CLOSED",
    "TOPIC_DELETED",
    "direct messages topic not found",
    "business connection not found",
    "BUSINESS_PEER_INVALID",
    "PEER_ID_INVALID",
    "CHAT_WRITE_FORBIDDEN",
    "CHAT_RESTRICTED",
    "group chat was deactivated",
    "not enough rights to send",
    "have no rights to send",
    "need administrator rights",
)

_without_rich: Final[WeakSet[BaseSession]] = WeakSet()
"""The clients of Bot API servers without rich messages."""

is_uncaptured: Final[ContextVar[bool]] = ContextVar("is_uncaptured", default=False)
"""True while the bot sends messages that capture leaves alone, such as parts of an answer."""


class TelegramOutlet:
    """Sends answers to the chat and topic of a message.

    - A message has at most 4,096 characters.
    - The pace is Telegram's limit: about one message a second in a private chat, and 20 a minute
      in a group (https://core.telegram.org/bots/faq).
    - The model's text is sent unchanged, or as `render` formats it. If Telegram can't parse the
      formatted text, the unchanged text is sent. A piece for which `rich` returns a rich message
      is sent as that, unless the server refuses it.
    - Telegram's servers would fetch the first link of a message for its preview. They are told
      not to, unless `options.link_previews` or a field of `render` says otherwise.
    - In a group, `@name` and links to people mention whoever asked, whom the question mentions,
      and nobody else.
    - Drafts work in private chats only. Telegram removes one after 30 seconds
      (https://core.telegram.org/bots/api#sendmessagedraft), and "typing" after five
      (https://core.telegram.org/bots/api#sendchataction); both are renewed before.
    """

    limit: int = 4096
    sign_seconds: float = 4.0
    draft_seconds: float = 20.0
    edited: frozenset[str] = frozenset(EditMessageText.model_fields)
    """The fields that an edit can have."""

    def __init__(
        self,
        message: Message | InaccessibleMessage,
        bot: Bot,
        *,
        drafts: bool = False,
        render: Render | None = None,
        rich: Rich | None = None,
        migrated: Callable[[int, int], Awaitable[None]] | None = None,
        options: AnswerOptions | None = None,
    ) -> None:
        self.options: AnswerOptions = options or _OPTIONS
        self.looks: Looks = _LOOKS
        self._bot = bot
        self._message = message
        self.chat_id: int = message.chat.id
        self.place: Place = place_of(message, None)
        self._render = render
        self._rich = rich
        self._on_migration = migrated
        self._sent: list[Message] = []
        private = message.chat.type == "private"
        self.pace: float = 1.0 if private else 3.0
        self.drafts: bool = drafts and private and "business_connection_id" not in self._target

    @cached_property
    def _unmentioned(self) -> Unmentioned:
        return Unmentioned(self._message)

    @property
    def _target(self) -> dict[str, Any]:
        """The fields of `sendMessage` that name the place in the chat, without the chat's id."""
        message = self._message
        if isinstance(message, InaccessibleMessage):  # Telegram sends nothing but its chat and id
            return {}
        direct = message.direct_messages_topic
        fields = {
            "business_connection_id": message.business_connection_id,
            "message_thread_id": message.message_thread_id if message.is_topic_message else None,
            "direct_messages_topic_id": None if direct is None else direct.topic_id,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def begin(self, name: str, sent: Sequence[str]) -> None:  # noqa: ARG002 (Discord's)
        """Edit the messages that an earlier try has sent; see `turnkeep.adapter.Outlet`."""
        self._sent = [message_at(one) for one in sent]

    def buttons(self, *, done: bool) -> Any:
        """Return the keyboard under the answer; see `turnkeep.adapter.Outlet`."""
        if not done and self.drafts:
            return None
        return keyboard(self.looks, done=done)

    @property
    def draft_name(self) -> str | None:
        """The name of the draft, if its user may stop it; see `draft_name_of`."""
        if not (self.drafts and self.looks.can_stop):
            return None
        return draft_name_of(self.chat_id, self._draft_id)

    @property
    def _draft_id(self) -> int:
        return self._message.message_id or 1

    async def working(self) -> None:
        """Show "typing"."""
        fields = {k: v for k, v in self._target.items() if k != "direct_messages_topic_id"}
        with suppress(TelegramAPIError):  # the answer matters more than this sign
            await self._bot.send_chat_action(self.chat_id, "typing", **fields)

    async def send(self, text: str, buttons: Any = None) -> str | None:
        """Send a piece of the answer and return its source id; see `turnkeep.adapter.Outlet`."""
        below = {} if buttons is None else {"reply_markup": buttons}

        async def send(fields: dict[str, Any]) -> Message:
            fields = {**fields, **below, **self._reply, **self._target}
            if "rich_message" in fields:
                return await self._bot.send_rich_message(self.chat_id, **fields)
            return await self._bot.send_message(self.chat_id, **fields)

        try:
            sent = await patiently(lambda: self._call_rendered(text, send), is_sent=True)
        except TelegramMigrateToChat as error:
            await self._follow_migration(error.migrate_to_chat_id)
            sent = await self._call_rendered(text, send)
        self._sent.append(sent)
        return source_id(sent)

    @property
    def _reply(self) -> dict[str, Any]:
        """The field that makes the first message a reply to the question, in a group."""
        question = self.looks.reply_to
        if question is None or self._sent or self._message.chat.type == "private":
            return {}
        *_, chat, number = ("", *question.split(":"))
        if chat != str(self.chat_id):  # a pressed button, or a group that has become another
            return {}
        to = ReplyParameters(message_id=int(number), allow_sending_without_reply=True)
        return {"reply_parameters": to}

    async def _follow_migration(self, chat_id: int) -> None:
        """Go on in the supergroup that the group has become."""
        old, self.chat_id = self.chat_id, chat_id
        if self._on_migration is not None:
            await self._on_migration(old, chat_id)

    async def edit(self, number: int, text: str, buttons: Any = None) -> None:
        """Change the `number`th sent message; see `turnkeep.adapter.Outlet`."""
        sent = self._sent[number]

        async def edit(fields: dict[str, Any]) -> object:
            fields = {name: value for name, value in fields.items() if name in self.edited}
            if buttons is not None:
                fields["reply_markup"] = buttons
            if not isinstance(fields.get("reply_markup"), InlineKeyboardMarkup):
                fields.pop("reply_markup", None)
            return await self._edit_text(sent, fields)

        try:
            await patiently(lambda: self._call_rendered(text, edit))
        except TelegramBadRequest as error:
            if "not modified" in error.message:
                return
            if "not found" in error.message or "can't be edited" in error.message:
                raise MessageGoneError(str(error)) from error
            raise
        except TelegramMigrateToChat as error:  # the sent messages stay in the old group
            await self._follow_migration(error.migrate_to_chat_id)
            raise MessageGoneError(str(error)) from error

    async def _edit_text(self, sent: Message, fields: dict[str, Any]) -> object:
        return await self._bot.edit_message_text(
            chat_id=sent.chat.id,
            message_id=sent.message_id,
            business_connection_id=self._target.get("business_connection_id"),
            **fields,
        )

    async def remove(self, number: int) -> None:
        """Delete a sent message; see `turnkeep.adapter.Outlet`."""
        async with _as_part_of_an_answer():
            await self._delete(self._sent[number])

    async def erase(self, source_id: str) -> None:
        """Delete a message of an earlier answer; see `turnkeep.adapter.Outlet`."""
        with suppress(TelegramAPIError), uncaptured():  # Telegram deletes nothing after 48 hours
            await self._delete(message_at(source_id))

    async def _delete(self, sent: Message) -> None:
        connection = sent.business_connection_id
        if connection is not None:
            await self._bot.delete_business_messages(connection, [sent.message_id])
        else:
            await self._bot.delete_message(sent.chat.id, sent.message_id)

    async def draft(self, text: str) -> None:
        """Show an unfinished piece of the answer; see `turnkeep.adapter.Outlet`."""

        async def draft(fields: dict[str, Any]) -> bool:
            fields = {name: value for name, value in fields.items() if name in _DRAFTED}
            fields["message_thread_id"] = self._target.get("message_thread_id")
            if self.looks.can_stop:
                fields |= {"can_stop": True, "keep_on_stop": True}
            if "rich_message" in fields:
                return await self._bot.send_rich_message_draft(
                    self.chat_id, self._draft_id, **fields
                )
            return await self._bot.send_message_draft(self.chat_id, self._draft_id, **fields)

        await self._call_rendered(text, draft)

    async def _call_rendered(self, text: str, call: Callable[[dict[str, Any]], Awaitable[T]]) -> T:
        """Call with the formatted text, and with the plain text if Telegram refuses the first."""
        plain = self._unmentioned.text({"text": text, "parse_mode": None, **self._previews})
        async with _as_part_of_an_answer():
            rich = (
                None
                if self._rich is None or self._bot.session in _without_rich
                else self._rich(text)
            )
            if rich is not None:
                try:
                    return await call({"rich_message": self._unmentioned.rich(rich)})
                except (TelegramNotFound, TelegramBadRequest) as error:
                    if any(words in error.message for words in (*_UNREACHABLE, *_NOT_CONTENT)):
                        raise
                    if any(words in error.message for words in _OLDER_SERVER):
                        _without_rich.add(self._bot.session)
                    logger.info("a piece is sent without rich formatting: %s", error)
            if self._render is None:
                return await call(plain)
            rendered = {k: v for k, v in self._render(text).items() if k not in _PLACE}
            fields = self._unmentioned.text(self._previews | rendered)
            try:
                return await call(fields)
            except TelegramBadRequest as error:
                if not any(words in error.message.lower() for words in _UNFORMATTED):
                    raise
            return await call(plain | {k: v for k, v in fields.items() if k not in _FORMAT})

    @property
    def _previews(self) -> dict[str, Any]:
        return {} if self.options.link_previews else {"link_preview_options": _NO_PREVIEW}


def draft_name_of(chat_id: int, draft_id: int) -> str:
    """Return the name of a draft, under which its answer can be stopped."""
    return f"draft:{chat_id}:{draft_id}"


@asynccontextmanager
async def _as_part_of_an_answer() -> AsyncGenerator[None, None]:
    try:
        with uncaptured():
            yield
    except TelegramRetryAfter as error:
        raise SlowDownError(error.retry_after) from error
    except TelegramForbiddenError as error:
        raise UnreachableError(str(error)) from error
    except TelegramBadRequest as error:
        if not any(words in error.message for words in _UNREACHABLE):
            raise
        raise UnreachableError(str(error)) from error


@contextmanager
def uncaptured() -> Generator[None, None, None]:
    """Hide all messages that are sent inside the block from capture."""
    token = is_uncaptured.set(True)
    try:
        yield
    finally:
        is_uncaptured.reset(token)
