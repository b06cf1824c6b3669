"""The handing out of sessions: each handler gets one, bound as the handler's flags ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from aiogram import Bot, Dispatcher
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.dispatcher.flags import get_flag
from aiogram.methods import TelegramMethod
from aiogram.types import CallbackQuery, Message, TelegramObject, Update

from turnkeep.adapter import ChatSession, Recorder

from ._capture import Capture
from ._current import in_hand
from ._forms import Forms
from ._intake import RECORDED, Intake
from ._own import OwnMessages
from ._privacy import PRIVACY, SESSIONS, is_for_privacy

Handler: TypeAlias = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]

FLAG: Final = "turnkeep"


class HandOut:
    """Gives the handlers of an update its session.

    What a flag asks to record is recorded before its handler runs, and what it asks not to
    record is deleted.
    """

    def __init__(
        self,
        recorder: Recorder,
        intake: Intake,
        forms: Forms,
        own: OwnMessages,
        capture: Capture | None,
        *,
        data_key: str,
    ) -> None:
        self._recorder = recorder
        self._intake = intake
        self._forms = forms
        self._own = own
        self._capture = capture
        self._data_key = data_key
        self._dispatcher: Dispatcher | None = None
        self._handed_out: dict[int, ChatSession] = {}  # by id() of the updates being handled

    def watch(self, dispatcher: Dispatcher) -> None:
        """Run around each handler that may take a recorded event."""
        self._dispatcher = dispatcher
        for name in RECORDED:
            dispatcher.observers[name].middleware(self._around_handler)

    async def handle(self, handler: Handler, event: Update, data: dict[str, Any]) -> Any:
        """Run the handlers of an update while its session is in hand."""
        session: ChatSession | None = data[self._data_key]
        if session is None:
            return await handler(event, data)
        with in_hand(event.event, session):
            try:
                return await self._handle_captured(handler, event, data, session)
            finally:
                await session.end_asking()

    def end(self, update: Update, session: ChatSession | None) -> ChatSession | None:
        """Return the session that the last handler of an update got, otherwise this one."""
        return self._handed_out.pop(id(update), session)

    async def _handle_captured(
        self, handler: Handler, event: Update, data: dict[str, Any], session: ChatSession
    ) -> Any:
        if self._capture is None:
            return await handler(event, data)
        bot: Bot = data["bot"]
        self._capture.watch(bot)
        await self._own.capture_inline(event)
        async with self._capture.handling(session):
            result = await handler(event, data)
            # Sent here, because capture would not see the response to a webhook's request.
            return await bot(result) if isinstance(result, TelegramMethod) else result

    async def _around_handler(
        self, handler: Handler, event: TelegramObject, data: dict[str, Any]
    ) -> Any:
        assert self._dispatcher is not None
        if isinstance(event, Message) and await is_for_privacy(self._dispatcher, event, data):
            raise SkipHandler
        session: ChatSession | None = data.get(self._data_key)
        if session is None or not isinstance(event, (Message, CallbackQuery)):
            return await handler(event, data)
        flags: dict[str, Any] = get_flag(data, FLAG, default={})
        update = data["event_update"]
        if flags.get(PRIVACY):
            data = {**data, SESSIONS: self._intake.sessions_of(update, data)}
        is_button = isinstance(event, CallbackQuery)
        wanted = flags.get("record", self._intake.by_handlers or None)
        if wanted is None and is_button:
            wanted = not self._forms.is_menu(data)
        elif wanted is None and await self._forms.is_filling(data["bot"], data):
            wanted = False  # another handler has begun the form just now
        if wanted and session.turn is None:
            chosen = flags.get("record") is True
            said = await self._intake.said_by(event, data, chosen=chosen)
            if said is not None:
                session = await self._intake.receive(session, event, said, update, data["bot"])
            self._intake.end(update, data["bot"])
        elif wanted is False:
            await self._intake.keep_out(event, data["bot"])
            if session.turn is not None:
                await self._recorder.debts.forget(session.turn.source_ids)
                await session.delete(session.turn)
                session = session.unbound()
        # An earlier handler may have skipped the update; this one then goes on with its session.
        session = self._handed_out.get(id(update), session)
        if session.turn is None:
            session = self._intake.asking(session, event, update, data["bot"])

        async def handle(bound: ChatSession) -> Any:
            self._handed_out[id(update)] = bound
            if self._capture is not None:
                self._capture.bind(bound)
            with in_hand(event, bound):
                return await handler(event, {**data, self._data_key: bound})

        # A pressed button shows a spinner until it is answered, so it never waits.
        return await self._recorder.overlap.run(
            session,
            handle,
            album=None if isinstance(event, CallbackQuery) else event.media_group_id,
            busy=flags.get("busy", "parallel" if is_button else None),
            debounce=flags.get("debounce", 0 if is_button else None),
        )
