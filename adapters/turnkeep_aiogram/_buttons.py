"""Presses of the buttons under answers, which stop one or ask for another one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.types import CallbackQuery, Message, Update

from turnkeep.adapter import (
    AGAIN,
    STOP,
    AnswerOptions,
    ChatSession,
    Recorder,
    regenerate,
    under_way,
)

from ._current import in_hand
from ._message import source_id
from ._outlet import draft_name_of


class Buttons:
    """The ready-made buttons of one middleware's answers."""

    def __init__(self, recorder: Recorder, options: AnswerOptions) -> None:
        self._recorder = recorder
        self._options = options

    @property
    def used_updates(self) -> list[str]:
        """The kinds of updates that Telegram must send for them."""
        stops, repeats = self._options.stop, self._options.regenerate is not None
        return ["callback_query"] * (stops or repeats) + ["stopped_message_generation"] * stops

    def are_pressed(self, update: Update) -> bool:
        """Return True if the update is a press of one of these buttons."""
        query = update.callback_query
        if query is not None:
            return query.data in (STOP, AGAIN)
        return self._options.stop and update.stopped_message_generation is not None

    async def press(
        self,
        bot: Bot,
        update: Update,
        session_of: Callable[[], ChatSession | None],
    ) -> None:
        """Do what the button says; `session_of` returns the session of its message's place."""
        stopped = update.stopped_message_generation
        if stopped is not None:  # the chat is private
            name = draft_name_of(stopped.chat.id, stopped.draft_id)
            await under_way(self._recorder.store.desk).press(name, str(stopped.chat.id))
        elif update.callback_query is not None:
            await self._press(bot, update.callback_query, session_of)

    async def _press(
        self, bot: Bot, query: CallbackQuery, session_of: Callable[[], ChatSession | None]
    ) -> None:
        message, by = query.message, str(query.from_user.id)
        source = source_id(message) if isinstance(message, Message) else None
        if message is not None and source is None:  # too old for Telegram to send it whole
            source = f"{message.chat.id}:{message.message_id}"
        with suppress(TelegramAPIError):  # the button shows a spinner until this
            await bot.answer_callback_query(query.id)
        if source is None:
            return
        if query.data == STOP:
            await under_way(self._recorder.store.desk).press(source, by)
            return
        again: Any = self._options.regenerate
        session = session_of()
        if again is not None and session is not None:
            with in_hand(query, session):
                await regenerate(session, source, by, again)
