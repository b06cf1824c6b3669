"""The middleware: it records what users say, and hands the session to the handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final, Unpack

import anyio
from aiogram import BaseMiddleware, Bot, Dispatcher
from aiogram.dispatcher.event.telegram import TelegramEventObserver
from aiogram.dispatcher.flags import get_flag
from aiogram.dispatcher.middlewares.user_context import UserContextMiddleware
from aiogram.methods import TelegramMethod
from aiogram.types import CallbackQuery, Message, TelegramObject, Update

from turnkeep import SessionKey, SessionStore
from turnkeep.adapter import ChatSession, Recent, Recorder, RecorderOptions, drain, edit_as_sent

from ._advice import Advice
from ._capture import Capture
from ._content import content_of
from ._intake import EDITED, RECORDED, Intake, Record
from ._message import MaybeInaccessible, Scope, source_id
from ._migration import migrate
from ._outlet import Render, TelegramOutlet
from ._polling import Confirmation

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]

FLAG: Final = "turnkeep"
_UPDATES_KEPT: Final = 10_000


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
    stored. `busy`, `debounce`, `reset`, `edits`, `on_storage_error` and `ignore`: see
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
        self.store = store
        self.recorder: Recorder = Recorder(store, **options)
        self.data_key = data_key
        self._intake = Intake(
            self.recorder, self._outlet, scope=scope, record=record, record_commands=record_commands
        )
        self._drafts = drafts
        self._render = render
        self._drain_timeout = drain_timeout
        self._capture = Capture(self._sent, self._edited) if capture else None
        self._confirmation = Confirmation()
        self._advice = Advice(scope)
        self._bound: dict[int, ChatSession] = {}  # of the updates that are being handled
        self._seen: Recent[tuple[int, int], None] = Recent(_UPDATES_KEPT)
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
        for name in RECORDED:
            self._observer(name).middleware(self._around_handler)
        # Telegram sends only what some handler is for; these never match.
        for name in ("message", *EDITED, "deleted_business_messages"):
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
        bot: Bot = data["bot"]
        self._advice.look(bot, event)
        self._running += 1
        try:
            with self._recording(bot):
                session = data[self.data_key] = await self._intake.take(event, data)
            if session is None or session.turn is not None:
                return await self._handle(handler, event, data)
            # No turn tells that it was handled, such as a command: it is known as long as the
            # process lives.
            update = bot.id, event.update_id
            if update in self._seen:
                return None
            self._seen[update] = None
            try:
                return await self._handle(handler, event, data)
            except BaseException:  # delivered again, it gets another try
                self._seen.pop(update, None)
                raise
        finally:
            self._intake.decided(event, bot)
            self._bound.pop(id(event), None)
            self._running -= 1
            if self._idle is not None and not self._running:
                self._idle.set()

    @contextmanager
    def _recording(self, bot: Bot) -> Generator[None, None, None]:
        # What handlers choose is recorded later, and an edit waits for them: not everybody else.
        if self._intake.by_handlers:
            yield
            return
        self._confirmation.begin(bot)
        try:
            yield
        finally:
            self._confirmation.end(bot)

    async def _handle(self, handler: Handler, event: Update, data: dict[str, Any]) -> Any:
        session: ChatSession | None = data[self.data_key]
        if self._capture is None or session is None:
            return await handler(event, data)
        bot: Bot = data["bot"]
        self._capture.watch(bot)
        async with self._capture.handling(session):
            result = await handler(event, data)
            # Else it would go out as the answer to a webhook's request, unseen.
            return await bot(result) if isinstance(result, TelegramMethod) else result

    def _outlet(self, message: MaybeInaccessible, bot: Bot) -> TelegramOutlet:
        return TelegramOutlet(
            message, bot, drafts=self._drafts, render=self._render, migrated=self.migrate
        )

    # Around each handler.

    async def _around_handler(
        self, handler: Handler, event: TelegramObject, data: dict[str, Any]
    ) -> Any:
        session: ChatSession | None = data.get(self.data_key)
        if session is None or not isinstance(event, (Message, CallbackQuery)):
            return await handler(event, data)
        flags: dict[str, Any] = get_flag(data, FLAG, default={})
        wanted = flags.get("record", self._intake.by_handlers or None)
        if wanted and session.turn is None:
            chosen = flags.get("record") is True
            if await self._intake.is_recorded(event, data["bot"], chosen=chosen):
                session = await self._intake.receive(session, event)
            self._intake.decided(data["event_update"], data["bot"])
        elif wanted is False and session.turn is not None:
            await session.delete(session.turn)
            session = session.unbound()
        update = data["event_update"]
        session = self._bound.get(id(update), session)  # a handler before has passed it on

        async def handle(bound: ChatSession) -> Any:
            self._bound[id(update)] = bound
            if self._capture is not None:
                self._capture.answers(bound)
            return await handler(event, {**data, self.data_key: bound})

        is_button = isinstance(event, CallbackQuery)  # whose user waits for a sign: not in line
        return await self.recorder.overlap.run(
            session,
            handle,
            album=None if isinstance(event, CallbackQuery) else event.media_group_id,
            busy=flags.get("busy", "parallel" if is_button else None),
            debounce=flags.get("debounce", 0 if is_button else None),
        )

    # What the bot says.

    async def record_sent(
        self, message: Message, text: str | None = None, *, key: SessionKey | str | None = None
    ) -> None:
        """Records what was sent outside of a handler: `record_sent(await bot.send_message(…))`.

        `text` is what the model said, where that is not what was sent. `key` is the session
        (that of the chat, or of its topic), and has to be given where each user of a group has
        his own, and the message replies to nobody; else it raises `TurnkeepError`.
        """
        key = self._intake.key_of_sent(message) if key is None else key
        await self.recorder.record_sent(
            key, content_of(message), source_id=source_id(message), text=text
        )

    async def _sent(self, message: Message) -> None:
        key = self._intake.key_of_sent(message)
        if key is not None and content_of(message):
            await self.record_sent(message, key=key)

    async def _edited(self, message: Message) -> None:
        key, source = self._intake.key_of_sent(message), source_id(message)
        if key is None or source is None or not (content := content_of(message)):
            return
        await edit_as_sent(self.store.session(key), source, content)

    async def migrate(self, old: int, new: int) -> None:
        """A chat's sessions move to its new id; the old keys become aliases. Twice does nothing.

        It happens by itself at Telegram's service messages, and where an answer meets it.
        """
        await migrate(self.store, old, new)

    # Opening and closing.

    async def _open(self, bots: tuple[Bot, ...] = ()) -> None:
        for bot in bots:
            self._confirmation.watch(bot)
            if self._capture is not None:
                self._capture.watch(bot)
        await self._advice.begin(bots)
        stack = AsyncExitStack()
        await stack.enter_async_context(self.store)
        self._opened = stack

    async def _leave(self) -> None:
        await drain(lambda: self._running, self._wait_until_idle, self._drain_timeout)
        await self.recorder.aclose()
        if self._opened is not None:
            await self._opened.aclose()
            self._opened = None

    async def _wait_until_idle(self) -> None:
        self._idle = anyio.Event()
        await self._idle.wait()


def _never(_: TelegramObject) -> bool:
    """A filter that lets nothing pass."""
    return False
