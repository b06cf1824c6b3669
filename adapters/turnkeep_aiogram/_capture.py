"""The capture of messages that the bot sends beside its replies: an option."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

import anyio
from aiogram.methods import (
    DeleteBusinessMessages,
    DeleteEphemeralMessage,
    DeleteMessage,
    DeleteMessages,
    EditEphemeralMessageText,
    TelegramMethod,
)
from aiogram.types import Message

from turnkeep.adapter import ChatSession, Content, Quoted, Recent, record_as_sent

from ._content import text_of
from ._copies import Copies
from ._message import place_of, receiver_of, source_id
from ._outlet import TelegramOutlet, is_uncaptured
from ._requests import RequestMiddleware

_MAX_MESSAGES: Final = 10_000
_CHANGES: Final = ("edit", "set", "stop")
"""The beginnings of the names of methods that return a message which was there before."""


class SentMessages:
    """The messages that the bot sends while it handles one update.

    They are recorded when the handler has ended, in their last state: a placeholder that is
    edited into an answer is one turn, and a deleted message is none.
    """

    def __init__(
        self,
        session: ChatSession,
        content_of: Callable[[Message], Content],
        quoted_of: Callable[[Message], Quoted | None],
    ) -> None:
        self.session = session
        self._content_of = content_of
        self._quoted_of = quoted_of
        self._messages: dict[str, Message] = {}
        self._copied: dict[str, Content] = {}
        self._is_recorded = False

    async def add(
        self, source: str, message: Message, *, is_edit: bool, copied: Content = ""
    ) -> bool:
        """Add a sent or edited message; return False if it does not belong to this update.

        A message that is sent or edited while a reply is open is a part of that reply. `copied`
        is the content of a copy, which Telegram does not send back.
        """
        outlet = self.session.outlet
        is_here = (
            isinstance(outlet, TelegramOutlet)
            and outlet.chat_id == message.chat.id
            and outlet.place == place_of(message, receiver_of(message))
        )
        # A task that outlives its handler may send after the messages were recorded.
        if self._is_recorded or not is_here:
            return False
        reply = self.session.open_reply
        if reply is not None:
            self._messages.pop(source, None)
            await reply.link(source)
        elif is_edit and source not in self._messages:
            return False
        else:
            self._messages[source] = message
            if copied:
                self._copied[source] = copied
        return True

    def remove(self, is_gone: Callable[[Message], bool]) -> None:
        """Remove the deleted messages."""
        for source, message in list(self._messages.items()):
            if is_gone(message):
                del self._messages[source]

    def rewrite(self, method: EditEphemeralMessageText) -> None:
        """Change an ephemeral message; Telegram does not send the changed one back."""
        for source, message in self._messages.items():
            if message.ephemeral_message_id == method.ephemeral_message_id:
                changes = {"text": method.text, "entities": method.entities}
                self._messages[source] = message.model_copy(update=changes)

    async def record(self) -> None:
        """Record each message, or link it to the reply that it is a part of."""
        self._is_recorded = True
        for source, message in list(self._messages.items()):
            reply = self.session.reply_of(text_of(message))
            content = self._copied.get(source) or self._content_of(message)
            quoted = self._quoted_of(message) or self._asked()
            await record_as_sent(
                self.session, content, source_id=source, reply=reply, quoted=quoted
            )

    def _asked(self) -> Quoted | None:
        """Return the message in hand: in a chain of replies, what the bot sends follows it."""
        turn = self.session.turn
        if turn is None or not self.session.is_chained:
            return None
        return Quoted(turn.source_id, None if turn.sender is None else turn.sender.id)


_current: Final[ContextVar[SentMessages | None]] = ContextVar("current", default=None)
"""The messages of the update that is being handled; None outside of handlers."""


class Capture(RequestMiddleware):
    """Sees each message that a bot sends, edits or deletes.

    `record` and `edit` are called for messages that no running handler sent. `copies` tells what
    a copied message says, and `is_own` of a message in a channel, which has no author, whether the
    bot has posted it.
    """

    def __init__(
        self,
        record: Callable[[Message, Content], Awaitable[object]],
        edit: Callable[[Message], Awaitable[object]],
        content_of: Callable[[Message], Content],
        *,
        quoted_of: Callable[[Message], Quoted | None],
        copies: Copies,
        is_own: Callable[[Message], Awaitable[bool]],
    ) -> None:
        super().__init__()
        self._copies = copies
        self._is_own = is_own
        self._sent: Recent[str, None] = Recent(_MAX_MESSAGES)
        self._record = record
        self._edit = edit
        self._content_of = content_of
        self._quoted_of = quoted_of

    @asynccontextmanager
    async def handling(self, session: ChatSession) -> AsyncGenerator[None, None]:
        """Collect the messages that are sent inside the block, and record them at its end."""
        sent = SentMessages(session, self._content_of, self._quoted_of)
        token = _current.set(sent)
        try:
            yield
        finally:
            _current.reset(token)
            with anyio.CancelScope(shield=True):
                await sent.record()

    def bind(self, session: ChatSession) -> None:
        """Let the messages of this update answer the message that the session is bound to."""
        if (sent := _current.get()) is not None:
            sent.session = session

    async def after(self, method: TelegramMethod[Any], result: object) -> None:
        """Take in the messages that a request sent, edited or deleted."""
        if is_uncaptured.get():
            return
        sent = _current.get()
        if sent is not None:
            sent.remove(partial(_is_deleted_by, method))
            if isinstance(method, EditEphemeralMessageText):
                sent.rewrite(method)
        is_edit = method.__api_method__.startswith(_CHANGES)
        messages: list[object] = result if isinstance(result, list) else [result]
        for message in messages:
            if isinstance(message, Message):
                await self._take_in(message, sent, is_edit=is_edit)
        for copy in await self._copies.made_by(method, result):
            await self._take_in(copy.message, sent, is_edit=False, copied=copy.content)

    async def _take_in(
        self, message: Message, sent: SentMessages | None, *, is_edit: bool, copied: Content = ""
    ) -> None:
        source = source_id(message)
        if source is None or (is_edit and not await self._has_sent(message, source)):
            return
        self._sent[source] = None
        if sent is not None and await sent.add(source, message, is_edit=is_edit, copied=copied):
            return
        if is_edit:
            await self._edit(message)
        else:
            await self._record(message, copied)

    async def _has_sent(self, message: Message, source: str) -> bool:
        """Return whether the bot has sent a message that it edits.

        In a channel, administrators edit each other's posts.
        """
        author = message.sender_business_bot or message.from_user
        if author is not None and message.sender_chat is None:
            return message.bot is None or author.id == message.bot.id
        return source in self._sent or await self._is_own(message)


def _is_deleted_by(method: TelegramMethod[Any], message: Message) -> bool:
    match method:
        case DeleteMessage():
            is_there = str(method.chat_id) == str(message.chat.id)
            return is_there and method.message_id == message.message_id
        case DeleteMessages():
            is_there = str(method.chat_id) == str(message.chat.id)
            return is_there and message.message_id in method.message_ids
        case DeleteBusinessMessages():
            is_there = method.business_connection_id == message.business_connection_id
            return is_there and message.message_id in method.message_ids
        case DeleteEphemeralMessage():
            return method.ephemeral_message_id == message.ephemeral_message_id
    return False
