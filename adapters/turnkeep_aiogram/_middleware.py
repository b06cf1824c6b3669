"""The middleware: it records what users say, and hands the session to the handlers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio
from aiogram import BaseMiddleware, Dispatcher
from aiogram.dispatcher.middlewares.user_context import (
    EVENT_CONTEXT_KEY,
    EventContext,
    UserContextMiddleware,
)
from aiogram.types import CallbackQuery, Message, TelegramObject, Update

from turnkeep import Session, SessionStore

from ._message import is_command, sender_of, session_key, source_id, text_of

logger: Final = logging.getLogger("turnkeep")


class SessionMiddleware(BaseMiddleware):
    """Records each incoming text or caption, and gives handlers the session it is in.

    `SessionMiddleware(store).setup(dp)` is all there is to do. A handler that names the
    parameter `chat_session` gets the session, bound to the message in hand; None for an
    update without a chat. Messages of one chat are recorded in their order, each once,
    before its handlers run, also where no handler takes it.

    `data_key` is the parameter's name. Commands are recorded only with
    `record_commands=True`. `drain_timeout` is for how many seconds, at shutdown, running
    handlers are waited for, so that their replies are stored.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        data_key: str = "chat_session",
        record_commands: bool = False,
        drain_timeout: float = 10,
    ) -> None:
        self.store = store
        self._data_key = data_key
        self._record_commands = record_commands
        self._drain_timeout = drain_timeout
        self._dispatcher: Dispatcher | None = None
        self._opened: AsyncExitStack | None = None
        self._running = 0
        self._idle: anyio.Event | None = None

    def setup(self, dispatcher: Dispatcher) -> SessionMiddleware:
        """Registers the middleware, and opens and leaves the store with the dispatcher.

        Where startup is never emitted (`feed_update` in a web framework) the store opens at
        the first update; close it there with `await store.aclose()`.
        """
        middlewares = dispatcher.update.outer_middleware
        if any(isinstance(one, SessionMiddleware) for one in middlewares):
            raise RuntimeError("this dispatcher has a SessionMiddleware already; set it up once")
        if self._dispatcher is not None:
            raise RuntimeError(
                "this SessionMiddleware serves another dispatcher already; make one for each, "
                "over the same store"
            )
        self._dispatcher = dispatcher
        # Right behind the one that resolves the chat, and before the FSM's, which waits for
        # its own storage: messages are recorded in the order in which this one is reached.
        later = list(middlewares)
        while later and not isinstance(later.pop(0), UserContextMiddleware):
            pass
        for one in later:
            middlewares.unregister(one)
        middlewares.register(self)
        for one in later:
            middlewares.register(one)
        dispatcher.startup.register(self._open)
        dispatcher.shutdown.register(self._leave)
        return self

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        self._running += 1
        try:
            data[self._data_key] = await self._session(event, data)
            return await handler(event, data)
        finally:
            self._running -= 1
            if self._idle is not None and not self._running:
                self._idle.set()

    async def _session(self, event: TelegramObject, data: dict[str, Any]) -> Session | None:
        if not isinstance(event, Update):
            raise TypeError(
                "SessionMiddleware is an outer middleware of updates: "
                "register it with SessionMiddleware(store).setup(dp)"
            )
        context: EventContext = data[EVENT_CONTEXT_KEY]
        key = None if context.chat is None else session_key(context, _message_of(event))
        if key is None:
            return None
        session = self.store.session(key)
        message = event.message or event.business_message or event.channel_post
        if message is None or not text_of(message):
            return session
        sender = sender_of(message)
        if sender is None or (is_command(message) and not self._record_commands):
            return session
        return await session.receive(
            text_of(message),
            source_id=source_id(message),
            sender=sender,
            time=message.date,
        )

    async def _open(self) -> None:
        stack = AsyncExitStack()
        await stack.enter_async_context(self.store)
        self._opened = stack

    async def _leave(self) -> None:
        with anyio.move_on_after(self._drain_timeout):
            while self._running:
                self._idle = anyio.Event()
                await self._idle.wait()
        if self._running:
            logger.warning(
                "%d handlers still run after %g seconds; their replies can't be stored any more",
                self._running,
                self._drain_timeout,
            )
        if self._opened is not None:
            await self._opened.aclose()
            self._opened = None


def _message_of(update: Update) -> Message | None:
    """The message that an update is about: a new one, an edited one, a pressed button's."""
    event = update.event
    about = event.message if isinstance(event, CallbackQuery) else event
    return about if isinstance(about, Message) else None
