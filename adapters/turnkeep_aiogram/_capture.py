"""What the bot sends by itself, recorded as what it said: an option."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

from aiogram import Bot
from aiogram.client.session.middlewares.base import (
    BaseRequestMiddleware,
    NextRequestMiddlewareType,
)
from aiogram.methods import DeleteMessage, TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import Message

from turnkeep.adapter import ChatSession

from ._content import Content, content_of
from ._message import source_id
from ._outlet import answering


class Sent:
    """What was sent while one update is handled; recorded at its end, as it then stands.

    So a placeholder that is edited into an answer is one turn, and one that is deleted is none.
    """

    def __init__(self, session: ChatSession) -> None:
        self.session = session
        self._contents: dict[str, Content] = {}

    def put(self, source: str, content: Content, *, is_edit: bool) -> bool:
        """Notes it; False for an edit of something that was sent before."""
        if is_edit and source not in self._contents:
            return False
        self._contents[source] = content
        return True

    def drop(self, source: str) -> None:
        self._contents.pop(source, None)

    async def record(self) -> None:
        """Records what is not yet a part of a reply, which its source id tells."""
        contents, self._contents = self._contents, {}
        for source, content in contents.items():
            if content:
                await self.session.append("assistant", content, source_id=source)


sending: Final[ContextVar[Sent | None]] = ContextVar("sending", default=None)


class Capture(BaseRequestMiddleware):
    """A middleware of a bot's requests that sees each message that is sent or edited."""

    def __init__(
        self,
        record: Callable[[Message], Awaitable[object]],
        edited: Callable[[Message], Awaitable[object]],
    ) -> None:
        self._record = record
        self._edited = edited

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Any:
        result = await make_request(bot, method)
        if answering.get():
            return result
        sent = sending.get()
        if isinstance(method, DeleteMessage) and sent is not None:
            sent.drop(f"{method.chat_id}:{method.message_id}")
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
        if sent is not None:
            reply = sent.session.open_reply
            if reply is not None and not is_edit:
                await reply.link(source)  # a part of what that reply says
                return
            here = str(message.chat.id) == source_chat(sent.session)
            if here and sent.put(source, content_of(message), is_edit=is_edit):
                return
        await (self._edited if is_edit else self._record)(message)


def source_chat(session: ChatSession) -> str:
    """The chat that a session's message in hand came from, as text."""
    if session.turn is not None and session.turn.source_id is not None:
        return session.turn.source_id.partition(":")[0]
    return session.key.chat_id or ""
