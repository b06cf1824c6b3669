"""How an answer reaches a Telegram chat: sent, edited as it grows, or shown as a draft."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramMigrateToChat,
    TelegramRetryAfter,
)
from aiogram.types import InaccessibleMessage, Message

from turnkeep.adapter import MessageGoneError, SlowDownError

from ._message import source_id

T = TypeVar("T")

Render = Callable[[str], dict[str, Any]]
"""From a piece of what the model said to fields of `sendMessage`, `text` among them."""

answering: Final[ContextVar[bool]] = ContextVar("answering", default=False)
"""Whether what is sent now is a part of an answer, which is recorded as what the model said."""


class TelegramOutlet:
    """Answers where a message came from. Telegram takes 4,096 characters at a time.

    The pace is what Telegram asks for: about a message a second in a private chat, and 20 a
    minute in a group (https://core.telegram.org/bots/faq). What the model says is sent as it is,
    unless `render` makes something else of it; where Telegram can't read that, it is sent as
    it is. Drafts are for private chats alone.
    """

    limit: int = 4096

    def __init__(
        self,
        message: Message | InaccessibleMessage,
        bot: Bot,
        *,
        drafts: bool = False,
        render: Render | None = None,
        migrated: Callable[[int, int], Awaitable[None]] | None = None,
    ) -> None:
        self._bot = bot
        self._message = message
        self.chat_id: int = message.chat.id
        self._render = render
        self._migrated = migrated
        self._sent: list[Message] = []
        private = message.chat.type == "private"
        self.pace: float = 1.0 if private else 3.0
        self.drafts: bool = drafts and private and "business_connection_id" not in self._where

    @property
    def _where(self) -> dict[str, Any]:
        """The place in the chat, apart from its id."""
        message = self._message
        if isinstance(message, InaccessibleMessage):  # of which Telegram tells the chat alone
            return {}
        direct = message.direct_messages_topic
        where = {
            "business_connection_id": message.business_connection_id,
            "message_thread_id": message.message_thread_id if message.is_topic_message else None,
            "direct_messages_topic_id": None if direct is None else direct.topic_id,
        }
        return {name: value for name, value in where.items() if value is not None}

    async def working(self) -> None:
        """Shows "typing"; an answer matters more than its sign."""
        where = {k: v for k, v in self._where.items() if k != "direct_messages_topic_id"}
        with suppress(TelegramAPIError):
            await self._bot.send_chat_action(self.chat_id, "typing", **where)

    async def send(self, text: str) -> str | None:
        """Sends a piece of the answer; see `turnkeep.adapter.Outlet`, as for the next ones."""

        async def send(fields: dict[str, Any]) -> Message:
            return await self._bot.send_message(self.chat_id, **fields, **self._where)

        try:
            sent = await self._rendered(text, send)
        except TelegramMigrateToChat as error:
            await self._move(error.migrate_to_chat_id)
            sent = await self._rendered(text, send)
        self._sent.append(sent)
        return source_id(sent)

    async def _move(self, chat_id: int) -> None:
        """The group has become a supergroup."""
        old, self.chat_id = self.chat_id, chat_id
        if self._migrated is not None:
            await self._migrated(old, chat_id)

    async def edit(self, number: int, text: str) -> None:
        sent = self._sent[number]

        async def edit(fields: dict[str, Any]) -> object:
            return await self._bot.edit_message_text(
                chat_id=sent.chat.id,
                message_id=sent.message_id,
                business_connection_id=self._where.get("business_connection_id"),
                **fields,
            )

        try:
            await self._rendered(text, edit)
        except TelegramBadRequest as error:
            if "not modified" in error.message:
                return
            if "not found" in error.message or "can't be edited" in error.message:
                raise MessageGoneError(str(error)) from error
            raise
        except TelegramMigrateToChat as error:  # what was sent stayed behind
            await self._move(error.migrate_to_chat_id)
            raise MessageGoneError(str(error)) from error

    async def draft(self, text: str) -> None:
        async def draft(fields: dict[str, Any]) -> bool:
            return await self._bot.send_message_draft(
                self.chat_id,
                self._message.message_id or 1,
                **fields,
                message_thread_id=self._where.get("message_thread_id"),
            )

        await self._rendered(text, draft)

    async def _rendered(self, text: str, call: Callable[[dict[str, Any]], Awaitable[T]]) -> T:
        plain = {"text": text, "parse_mode": None}
        async with _as_answer():
            if self._render is None:
                return await call(plain)
            try:
                return await call(self._render(text))
            except TelegramBadRequest as error:
                if "can't parse entities" not in error.message and "too long" not in error.message:
                    raise
            return await call(plain)


@asynccontextmanager
async def _as_answer() -> AsyncGenerator[None, None]:
    try:
        with uncaptured():
            yield
    except TelegramRetryAfter as error:
        raise SlowDownError(error.retry_after) from error


@contextmanager
def uncaptured() -> Generator[None, None, None]:
    """What is sent meanwhile is not captured."""
    token = answering.set(True)
    try:
        yield
    finally:
        answering.reset(token)
