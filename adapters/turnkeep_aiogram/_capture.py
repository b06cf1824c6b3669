"""What the bot sends by itself, recorded as what it said: an option."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final

import anyio
from aiogram import Bot
from aiogram.client.session.middlewares.base import NextRequestMiddlewareType
from aiogram.methods import DeleteMessage, DeleteMessages, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import Message

from turnkeep.adapter import ChatSession, record_as_sent

from ._content import content_of, text_of
from ._message import source_id, source_id_at
from ._outlet import TelegramOutlet, answering
from ._requests import RequestMiddleware


class Sent:
    """What was sent while one update is handled; recorded at its end, as it then stands.

    So a placeholder that is edited into an answer is one turn, and one that is deleted is none.
    """

    def __init__(self, session: ChatSession) -> None:
        self.session = session
        self._messages: dict[str, Message] = {}
        self._is_recorded = False

    async def take(self, source: str, message: Message, *, is_edit: bool) -> bool:
        """Takes what was sent or edited; False where it is none of this update's.

        What is sent, or edited, while a reply is open is a part of what that says.
        """
        outlet = self.session.outlet
        here = isinstance(outlet, TelegramOutlet) and outlet.chat_id == message.chat.id
        if self._is_recorded or not here:  # by a task that outlives the handler; elsewhere
            return False
        reply = self.session.open_reply
        if reply is not None:
            self._messages.pop(source, None)
            await reply.link(source)
        elif is_edit and source not in self._messages:
            return False
        else:
            self._messages[source] = message
        return True

    def drop(self, source: str) -> None:
        """It was deleted."""
        self._messages.pop(source, None)

    async def record(self) -> None:
        """Records each, or links it to the reply that it is a part of."""
        self._is_recorded = True
        for source, message in list(self._messages.items()):
            content = content_of(message)
            reply = self.session.reply_of(text_of(message))
            await record_as_sent(self.session, content, source_id=source, reply=reply)


_sending: Final[ContextVar[Sent | None]] = ContextVar("sending", default=None)


class Capture(RequestMiddleware):
    """A middleware of a bot's requests that sees each message that is sent or edited."""

    def __init__(
        self,
        record: Callable[[Message], Awaitable[object]],
        edited: Callable[[Message], Awaitable[object]],
    ) -> None:
        super().__init__()
        self._record = record
        self._edited = edited

    @asynccontextmanager
    async def handling(self, session: ChatSession) -> AsyncGenerator[None, None]:
        """What is sent meanwhile is recorded at its end."""
        sent = Sent(session)
        token = _sending.set(sent)
        try:
            yield
        finally:
            _sending.reset(token)
            with anyio.CancelScope(shield=True):
                await sent.record()

    def answers(self, session: ChatSession) -> None:
        """What is sent in this update answers the message that this session is bound to."""
        if (sent := _sending.get()) is not None:
            sent.session = session

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Any:
        result = await make_request(bot, method)
        if answering.get():
            return result
        sent = _sending.get()
        if sent is not None and isinstance(method, (DeleteMessage, DeleteMessages)):
            numbers = (
                [method.message_id] if isinstance(method, DeleteMessage) else method.message_ids
            )
            for number in numbers:
                sent.drop(source_id_at(method.chat_id, number))
        messages = result if isinstance(result, list) else [result]
        is_edit = method.__api_method__.startswith("edit")
        for message in messages:
            if isinstance(message, Message):
                await self._see(message, sent, is_edit)
        return result

    async def _see(self, message: Message, sent: Sent | None, is_edit: bool) -> None:
        source = source_id(message)
        if source is None:
            return
        if sent is None or not await sent.take(source, message, is_edit=is_edit):
            await (self._edited if is_edit else self._record)(message)
