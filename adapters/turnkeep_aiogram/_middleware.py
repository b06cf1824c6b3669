"""The middleware: it records what users say, and hands the session to the handlers."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from inspect import isawaitable
from typing import Any, Final, Literal, Unpack, get_args
from weakref import WeakSet

import anyio
from aiogram import BaseMiddleware, Bot, Dispatcher
from aiogram.client.session.base import BaseSession
from aiogram.dispatcher.event.telegram import TelegramEventObserver
from aiogram.dispatcher.flags import get_flag
from aiogram.dispatcher.middlewares.user_context import (
    EVENT_CONTEXT_KEY,
    EventContext,
    UserContextMiddleware,
)
from aiogram.methods import TelegramMethod
from aiogram.types import CallbackQuery, Message, TelegramObject, Update
from aiogram.types.update import UpdateTypeLookupError

from turnkeep import SessionKey, SessionStore
from turnkeep.adapter import ChatSession, Recorder, RecorderOptions

from ._capture import Capture, Sent, sending
from ._content import button_of, content_of
from ._message import (
    CHANNEL,
    PREFIX,
    Event,
    Scope,
    is_addressed,
    is_command,
    message_of,
    scope_function,
    sender_of,
    source_id,
)
from ._outlet import Render, TelegramOutlet

logger: Final = logging.getLogger("turnkeep")

Record = Literal["all", "handled", "addressed"] | Callable[[Event], bool | Awaitable[bool]]
"""What is recorded: every message, those that a handler takes, those that are said to the bot,
or those of which a function, async or not, says so."""

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]

FLAG: Final = "turnkeep"
_RECORDED: Final = ("message", "business_message", "channel_post", "callback_query")
_EDITED: Final = ("edited_message", "edited_channel_post", "edited_business_message")


class SessionMiddleware(BaseMiddleware):
    """Records each incoming message, and gives handlers the session it is in.

    `SessionMiddleware(store).setup(dp)` is all there is to do. A handler that names the
    parameter `chat_session` gets the session, a `turnkeep.adapter.ChatSession` that is bound
    to the message in hand; None for an update without a chat, and for guest messages.
    Messages of one chat are recorded in their order, each once, before its handlers run, also
    where no handler takes it. A message that was answered before is not handed to a handler
    again.

    `scope` says who shares a session, in the words of aiogram's FSMStrategy; see `Scope` and
    `per_account`. `record` says what is recorded ("all"), see `Record`; commands only with
    `record_commands=True`. `data_key` is the parameter's name. With `capture` what the bot
    sends is recorded too. `drafts` shows an answer that grows as a draft in private chats,
    and `render` makes of a piece of it the fields of `sendMessage`. `drain_timeout` is for
    how many seconds, at shutdown, running handlers are waited for, so that their replies are
    stored. `busy`, `debounce`, `reset`, `edits` and `ignore`: see
    `turnkeep.adapter.RecorderOptions`.

    A handler's flag overrides some of it: `flags={"turnkeep": {"busy": "drop", "debounce": 0,
    "record": False}}`.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        scope: Scope = "chat_topic",
        record: Record = "all",
        record_commands: bool = False,
        data_key: str = "chat_session",
        capture: bool = False,
        drafts: bool = False,
        render: Render | None = None,
        drain_timeout: float = 10,
        **options: Unpack[RecorderOptions],
    ) -> None:
        if not callable(record) and record not in get_args(get_args(Record)[0]):
            raise ValueError(
                f"record is 'all', 'handled', 'addressed' or a function, not {record!r}"
            )
        self.store = store
        self.recorder: Recorder = Recorder(store, PREFIX, **options)
        self.data_key = data_key
        self._key_of = scope_function(scope)
        self._record = record
        self._record_commands = record_commands
        self._drafts = drafts
        self._render = render
        self._drain_timeout = drain_timeout
        self._capture = Capture(self.record_sent, self._edit_sent) if capture else None
        self._captured: WeakSet[BaseSession] = WeakSet()
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
        for name in _RECORDED:
            self._observer(name).middleware(self._around_handler)
        # Telegram sends only what some handler is for; these never match.
        for name in ("message", *_EDITED, "deleted_business_messages"):
            self._observer(name).register(_never, _never)
        dispatcher.startup.register(self._open)
        dispatcher.shutdown.register(self._leave)
        return self

    def _observer(self, name: str) -> TelegramEventObserver:
        assert self._dispatcher is not None
        return self._dispatcher.observers[name]

    # Around each update.

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        if not isinstance(event, Update):
            raise TypeError(
                "SessionMiddleware is an outer middleware of updates: "
                "register it with SessionMiddleware(store).setup(dp)"
            )
        self._running += 1
        try:
            session = data[self.data_key] = await self._take(event, data)
            if self._capture is None or session is None:
                return await handler(event, data)
            return await self._capturing(handler, event, data, session)
        finally:
            self._running -= 1
            if self._idle is not None and not self._running:
                self._idle.set()

    async def _take(self, update: Update, data: dict[str, Any]) -> ChatSession | None:
        """Does what the update says of the history, and gives its session."""
        try:
            kind = update.event_type
        except UpdateTypeLookupError:  # aiogram says so itself
            return None
        bot: Bot = data["bot"]
        key = self._key(update, data)
        if update.deleted_business_messages is not None:
            await self._delete(update, key)
            return None if key is None else self.recorder.session(key)
        if key is None:
            return None
        message = message_of(update)
        outlet = None if message is None else self._outlet(message, bot)
        session = self.recorder.session(key, outlet)
        if message is None:
            return session
        if kind in _EDITED:
            await self._edit(message, key)
        elif kind in _RECORDED:
            await self._migrate(message)
            event = update.callback_query or message
            if self._record != "handled" and await self._is_recorded(event, bot):
                return await self._receive(session, event)
        return session

    def _key(self, update: Update, data: dict[str, Any]) -> SessionKey | None:
        if update.guest_message is not None:  # of a chat that the bot is not in
            return None
        key = self._key_of(update, data)
        return SessionKey.parse(key) if isinstance(key, str) else key

    def _outlet(self, message: Message, bot: Bot) -> TelegramOutlet:
        return TelegramOutlet(
            message, bot, drafts=self._drafts, render=self._render, migrated=self.migrate
        )

    async def _is_recorded(self, event: Event, bot: Bot) -> bool:
        message = event.message if isinstance(event, CallbackQuery) else event
        chat = None if message is None else message.chat.id
        sender = sender_of(event)
        if sender is None or self.recorder.ignores(chat, int(sender.id)):
            return False
        if isinstance(event, Message):
            if is_command(event) and not self._record_commands:
                return False
            if not content_of(event):
                return False
        if callable(self._record):
            chosen = self._record(event)
            return await chosen if isawaitable(chosen) else chosen
        return self._record != "addressed" or await is_addressed(event, bot)

    async def _receive(self, session: ChatSession, event: Event) -> ChatSession:
        sender = sender_of(event)
        assert sender is not None
        if isinstance(event, CallbackQuery):
            return await self.recorder.receive(
                session, button_of(event), source_id=f"button:{event.id}", sender=sender
            )
        return await self.recorder.receive(
            session,
            content_of(event),
            source_id=source_id(event),
            sender=sender,
            time=event.date,
        )

    async def _edit(self, message: Message, key: SessionKey) -> None:
        source, content = source_id(message), content_of(message)
        if source is not None and content and sender_of(message) is not None:
            await self.recorder.edit(source, content, key)

    async def _delete(self, update: Update, key: SessionKey | None) -> None:
        deleted = update.deleted_business_messages
        assert deleted is not None
        sources = [f"{deleted.chat.id}:{one}" for one in deleted.message_ids]
        whole = SessionKey(CHANNEL, deleted.chat.id, business=deleted.business_connection_id)
        # Whoever deletes is not named: with a scope per user any of the chat's may have it.
        await self.recorder.delete(
            sources, key=key if key == whole else None, prefix=f"{PREFIX}{deleted.chat.id}"
        )

    # Around each handler.

    async def _around_handler(
        self, handler: Handler, event: TelegramObject, data: dict[str, Any]
    ) -> Any:
        session: ChatSession | None = data.get(self.data_key)
        if session is None or not isinstance(event, (Message, CallbackQuery)):
            return await handler(event, data)
        flags: dict[str, Any] = get_flag(data, FLAG, default={})
        wanted = flags.get("record", self._record == "handled" or None)
        if wanted and session.turn is None and await self._is_recorded(event, data["bot"]):
            session = await self._receive(session, event)
        elif wanted is False and session.turn is not None:
            await session.delete(session.turn)
            session = self.recorder.session(session.key, session.outlet)
        if isinstance(event, CallbackQuery):
            return await handler(event, {**data, self.data_key: session})

        async def handle(bound: ChatSession) -> Any:
            return await handler(event, {**data, self.data_key: bound})

        return await self.recorder.overlap.run(
            session,
            handle,
            album=event.media_group_id,
            busy=flags.get("busy"),
            debounce=flags.get("debounce"),
        )

    # What the bot says.

    async def _capturing(
        self, handler: Handler, event: Update, data: dict[str, Any], session: ChatSession
    ) -> Any:
        bot: Bot = data["bot"]
        self._watch(bot)
        sent = Sent(session)
        token = sending.set(sent)
        try:
            result = await handler(event, data)
            # Else it would go out as the answer to a webhook's request, unseen.
            return await bot(result) if isinstance(result, TelegramMethod) else result
        finally:
            sending.reset(token)
            with anyio.CancelScope(shield=True):
                await sent.record()

    def _watch(self, bot: Bot) -> None:
        if self._capture is not None and bot.session not in self._captured:
            self._captured.add(bot.session)
            bot.session.middleware(self._capture)

    async def record_sent(
        self, message: Message, text: str | None = None, *, key: SessionKey | str | None = None
    ) -> None:
        """Records what was sent outside of a handler: `record_sent(await bot.send_message(…))`.

        `text` is what the model said, where that is not what was sent. `key` is the session
        (that of the chat, or of its topic), and has to be given where users have their own.
        """
        key = self._key_of_sent(message) if key is None else key
        if key is not None:
            session = self.store.session(key)
            await session.append(
                "assistant",
                content_of(message) if text is None else text,
                source_id=source_id(message),
            )

    def _key_of_sent(self, message: Message) -> SessionKey | str | None:
        context = EventContext(
            chat=message.chat,
            thread_id=message.message_thread_id if message.is_topic_message else None,
            business_connection_id=message.business_connection_id,
        )
        data = {EVENT_CONTEXT_KEY: context, "bot": message.bot}
        return self._key_of(Update(update_id=0, message=message), data)

    async def _edit_sent(self, message: Message) -> None:
        key, source, content = self._key_of_sent(message), source_id(message), content_of(message)
        if key is not None and source is not None and content:
            await self.store.session(key).edit(source, content)

    # A group becomes a supergroup.

    async def _migrate(self, message: Message) -> None:
        if message.migrate_to_chat_id is not None:
            await self.migrate(message.chat.id, message.migrate_to_chat_id)
        elif message.migrate_from_chat_id is not None:
            await self.migrate(message.migrate_from_chat_id, message.chat.id)

    async def migrate(self, old: int, new: int) -> None:
        """A chat's sessions move to its new id; the old keys become aliases. Twice does nothing.

        It happens by itself at Telegram's service messages, and where an answer meets it.
        """
        keys = {SessionKey(CHANNEL, old)}
        page = await self.store.list_sessions(prefix=f"{PREFIX}{old}:", limit=None)
        keys.update(info.key for info in page)
        for key in sorted(keys):
            await self.store.rename(key, SessionKey(CHANNEL, new, **dict(key.scopes)))

    # Opening and closing.

    async def _open(self, bots: tuple[Bot, ...] = ()) -> None:
        for bot in bots:
            self._watch(bot)
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
        await self.recorder.aclose()
        if self._opened is not None:
            await self._opened.aclose()
            self._opened = None


def _never(_: TelegramObject) -> bool:
    """A filter that lets nothing pass."""
    return False
