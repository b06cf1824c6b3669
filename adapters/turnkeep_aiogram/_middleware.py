"""The middleware: it records the users' messages, and gives handlers the session."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from functools import partial
from typing import Any, Final, Literal, Unpack

import anyio
from aiogram import BaseMiddleware, Bot, Dispatcher
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.dispatcher.event.telegram import TelegramEventObserver
from aiogram.dispatcher.middlewares.user_context import UserContextMiddleware
from aiogram.types import Message, TelegramObject, Update

from turnkeep import SessionKey, SessionStore
from turnkeep.adapter import AdapterOptions, ChatSession, Recorder, drain, split_options

from ._advice import Advice
from ._buttons import Buttons
from ._capture import Capture
from ._commands import Commands
from ._copies import Copies
from ._feedback import TelegramFeedback
from ._feeding import Feeding
from ._forms import Forms, RecordStates
from ._hand_out import Handler, HandOut
from ._intake import EDITED, Intake, Record
from ._message import Scope
from ._migration import migrate
from ._once import Once
from ._outlet import Render
from ._outlets import Outlets
from ._own import OwnMessages
from ._polling import Confirmation
from ._resume import Resume

CHANGES_HOLD: Final = 1.0
"""The seconds for which an edit or a deletion holds the confirmation of updates.

A message that many replies repeat, in a long chat, may take longer. Other chats don't wait for
it; a process that is killed meanwhile has lost the change.
"""


class SessionMiddleware(BaseMiddleware):
    """Records each incoming message, and gives handlers its session.

    `SessionMiddleware(store).setup(dp)` is all the setup. A handler that names the parameter
    `chat_session` gets a `turnkeep.adapter.ChatSession` that is bound to the message in hand,
    or None for an update without a chat and for guest messages. `chat_session(message)` returns
    the same one where the parameter gets lost.

    Messages of one chat are recorded in their order, each once, before their handlers run, even
    if no handler takes them. A message that was answered before reaches no handler again.

    - `scope`: the users and topics that share a session, in the words of aiogram's FSMStrategy;
      see `Scope` and `per_account`.
    - `record` ("all"): the choice of messages to record; see `Record`. Commands are recorded only
      with `record_commands=True`.
    - `record_states` (False): record what is typed in an FSM state or a scene, and the buttons
      that handlers with a filter take; True, or the states to record. A form may ask for secrets.
    - `record_reactions` (False), `record_votes` (False): record people's reactions, and their
      answers to the bot's polls, as turns that nobody answers. Telegram tells of reactions in a
      group only if the bot is an administrator there.
    - `data_key`: the name of the handlers' parameter.
    - `capture`: record the messages that the bot sends beside its replies, too.
    - `drafts`: show a growing answer as a draft in private chats.
    - `render`: `"markdown"` shows a model's Markdown, as a rich message where that shows more;
      `"entities"` sends no rich messages; or a function from a piece of an answer to the fields
      of `sendMessage`, see `Render`.
    - `drain_timeout`: the seconds that shutdown waits for running handlers, so that their replies
      are stored.
    - `busy`, `debounce`, `max_waiting`, `limit`, `refused`, `reset`, `edits`, `delete_answers`,
      `on_storage_error`, `ignore`, `resume`, `too_old`: see `turnkeep.adapter.RecorderOptions`.
    - `failed`, `undelivered`, `max_wait`, `max_length`, `link_previews`, `stop`, `regenerate`:
      answers; see `turnkeep.adapter.AnswerOptions`.

    A handler's flag overrides some of them: `flags={"turnkeep": {"busy": "drop", "debounce": 0,
    "record": False}}`.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        scope: Scope = "chat_topic",
        record: Record = "all",
        record_commands: bool = False,
        record_states: RecordStates = False,
        record_reactions: bool = False,
        record_votes: bool = False,
        data_key: str = "chat_session",
        capture: bool = False,
        drafts: bool = False,
        render: Render | Literal["markdown", "entities"] | None = None,
        drain_timeout: float = 10,
        **options: Unpack[AdapterOptions],
    ) -> None:
        self.store = store
        recorder_options, answer_options = split_options(options)
        self.recorder: Recorder = Recorder(store, **recorder_options)
        outlets = Outlets(answer_options, drafts=drafts, render=render, migrated=self.migrate)
        self.data_key = data_key
        self._forms = Forms(record_states)
        self._commands = Commands()
        self._intake = Intake(
            self.recorder,
            outlets.of,
            scope=scope,
            record=record,
            record_commands=record_commands,
            forms=self._forms,
            commands=self._commands,
        )
        self._buttons = Buttons(self.recorder, answer_options)
        self._drain_timeout = drain_timeout
        self._own = own = OwnMessages(self.recorder, self._intake)
        content_of = self._intake.content_of
        self._capture: Capture | None = None
        if capture:
            copies, is_own = Copies(self.recorder, content_of), own.has_posted
            self._capture = Capture(
                own.capture,
                own.edit,
                content_of,
                quoted_of=self._intake.quoted_of,
                copies=copies,
                is_own=is_own,
            )
        self._hand_out = HandOut(
            self.recorder, self._intake, self._forms, own, self._capture, data_key=data_key
        )
        self._feedback = TelegramFeedback(
            self.recorder,
            self._intake.key_of_sent,
            reactions=record_reactions,
            votes=record_votes,
        )
        self._resume = Resume(self.recorder)
        self._confirmation = Confirmation(self._resume.start)
        self._advice = Advice(scope)
        self._feeding = Feeding()
        self._once = Once(store)
        self._dispatcher: Dispatcher | None = None
        self._opened: AsyncExitStack | None = None
        self._running = 0
        self._idle: anyio.Event | None = None

    def setup(self, dispatcher: Dispatcher) -> SessionMiddleware:
        """Register the middleware; the store opens and closes with the dispatcher.

        In a web framework that calls `feed_update` there is no startup: the store opens at the
        first update. Close it there with `await store.aclose()`.
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
        self._commands.watch(dispatcher)
        self._resume.watch(dispatcher)
        # It follows the middleware that resolves the chat and precedes the FSM's, which awaits
        # its own storage: messages are recorded in the order in which they get here.
        later = list(middlewares)
        while later and not isinstance(later.pop(0), UserContextMiddleware):
            pass
        for one in later:
            middlewares.unregister(one)
        middlewares.register(self)
        for one in later:
            middlewares.register(one)
        self._forms.watch(dispatcher)
        self._hand_out.watch(dispatcher)
        # With polling, Telegram sends only kinds of updates that have a handler; these never match.
        wanted = ("message", *EDITED, "deleted_business_messages")
        for name in (*wanted, *self._buttons.used_updates, *self._feedback.updates):
            self._observer(name).register(_matches_nothing, _matches_nothing)
        dispatcher.startup.register(self._open)
        dispatcher.shutdown.register(self._close)
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
        self._advice.check(bot, event)
        self._running += 1
        session: ChatSession | None = None
        try:
            self._resume.announce(bot)
            if self._buttons.are_pressed(event):
                self._feeding.recorded(event)
                at = partial(self._intake.session_at, event, data)
                return await self._once.run(bot, event, lambda: self._buttons.press(bot, event, at))
            with self._recording(bot, event):
                session = data[self.data_key] = await self._intake.process(event, data)
                if self._feedback.updates:
                    await self._record_feedback(event, session, bot)
            self._feeding.recorded(event)
            is_button = event.callback_query is not None
            if session is None or (session.turn is not None and not is_button):
                return await self._hand_out.handle(handler, event, data)
            return await self._handle_once(handler, event, data, session)
        finally:
            self._intake.end(event, bot)
            session = self._hand_out.end(event, session)
            if session is not None:
                await self.recorder.debts.settle(session.turn)
            self._running -= 1
            if self._idle is not None and not self._running:
                self._idle.set()

    async def _handle_once(
        self, handler: Handler, event: Update, data: dict[str, Any], session: ChatSession
    ) -> Any:
        """Handle a command or a button, unless it was handled: no stored turn shows that."""

        async def handle() -> Any:
            result = await self._hand_out.handle(handler, event, data)
            if result is UNHANDLED and session.turn is None:
                await self._intake.record_unhandled(session, event, data)
            return result

        return await self._once.run(data["bot"], event, handle)

    async def _record_feedback(self, update: Update, session: ChatSession | None, bot: Bot) -> None:
        self._feedback.watch(bot)
        await self._feedback.record(update, None if session is None else session.key, bot)

    def _recording(self, bot: Bot, update: Update) -> AbstractContextManager[None]:
        # With record="handled" recording may wait for handlers, and the next updates must not.
        if self._intake.by_handlers:
            return nullcontext()
        at_most = CHANGES_HOLD if self._intake.is_change(update) else None
        return self._confirmation.held(bot, at_most=at_most)

    async def feed_update(self, bot: Bot, update: Update | Mapping[str, Any]) -> None:
        """Hand an update of a webhook to the dispatcher, and return as soon as it is recorded.

        Answer Telegram's request then. Telegram sends the next update of a chat only after that:
        so albums, `debounce`, `"latest"` and `"collect"` need it. Handlers go on by themselves,
        and their errors are logged. Raises the error of a message that cannot be recorded: let
        Telegram deliver it again.
        """
        if self._dispatcher is None:
            raise RuntimeError("call SessionMiddleware(store).setup(dp) first")
        await self._feeding.feed(self._dispatcher, bot, update)

    # The bot's own messages.

    async def record_sent(
        self, message: Message, text: str | None = None, *, key: SessionKey | str | None = None
    ) -> None:
        """Record a message sent outside of a handler: `record_sent(await bot.send_message(…))`.

        `text` is the model's text, if it differs from the text that was sent. `key` is the
        session; by default it is that of the chat, or of its topic. Raises `TurnkeepError`
        without a `key` if each user of the group has a session and the message is no reply.
        """
        await self._own.record(message, text, key)

    async def migrate(self, old: int, new: int) -> None:
        """Move a chat's sessions to its new id; the old keys become aliases.

        It runs by itself, at Telegram's service messages and when an answer finds that the group
        has become a supergroup. A second call does nothing.
        """
        await migrate(self.store, old, new)

    # Opening and closing.

    async def _open(self, bots: tuple[Bot, ...] = ()) -> None:
        for bot in bots:
            self._confirmation.watch(bot)
            if self._capture is not None:
                self._capture.watch(bot)
            if self._feedback.updates:
                self._feedback.watch(bot)
        await self._advice.ask_bots(bots)
        await self._commands.ask_bots(bots)
        stack = AsyncExitStack()
        await stack.enter_async_context(self.store)
        self._opened = stack
        self._resume.open(bots)

    async def _close(self) -> None:
        self._resume.close()
        await drain(lambda: self._running, self._wait_until_idle, self._drain_timeout)
        await self.recorder.aclose()
        if self._opened is not None:
            await self._opened.aclose()
            self._opened = None

    async def _wait_until_idle(self) -> None:
        self._idle = anyio.Event()
        await self._idle.wait()


def _matches_nothing(_: TelegramObject) -> bool:
    return False
