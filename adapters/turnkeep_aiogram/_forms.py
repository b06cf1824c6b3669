"""Forms and menus: messages that a bot's own dialogs ask for, and that are no conversation."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any, Final, TypeAlias

from aiogram import Bot, Dispatcher
from aiogram.fsm.middleware import FSMContextMiddleware
from aiogram.fsm.state import State
from aiogram.fsm.storage.memory import MemoryStorage

logger: Final = logging.getLogger("turnkeep")

RecordStates: TypeAlias = bool | Collection[State | str]
"""The FSM states in which messages are recorded: none of them, all of them, or these."""

_STATE: Final = "raw_state"


class Forms:
    """Knows which events belong to a form or a menu of the bot's own.

    A form may ask for a password, so a message in an FSM state (or a scene, which is one) is no
    part of the conversation. Nor is a button that a handler with a filter takes.
    """

    def __init__(self, record_states: RecordStates) -> None:
        self.records_all: bool = record_states is True
        states = () if isinstance(record_states, bool) else record_states
        self._recorded = {one.state if isinstance(one, State) else one for one in states}
        self._told: set[str] = set()
        self._fsm: FSMContextMiddleware | None = None

    def watch(self, dispatcher: Dispatcher) -> None:
        """Look up the states of this dispatcher, if it has any."""
        if not self.records_all and dispatcher.fsm in list(dispatcher.update.outer_middleware):
            self._fsm = dispatcher.fsm

    @property
    def decides_at_once(self) -> bool:
        """True where no look-up of a state awaits anything."""
        # Exactly that class: what is made of it may await something.
        return self._fsm is None or type(self._fsm.storage) is MemoryStorage

    async def is_filling(self, bot: Bot, data: dict[str, Any]) -> bool:
        """Return whether the user is in a state whose messages are not recorded."""
        if self._fsm is None:
            return False
        if _STATE in data:  # aiogram has looked it up for the handlers
            return self._is_form(data[_STATE])
        context = self._fsm.resolve_event_context(bot, data)
        return context is not None and self._is_form(await context.get_state())

    def is_menu(self, data: dict[str, Any]) -> bool:
        """Return whether the handler in hand takes only certain buttons."""
        return not self.records_all and bool(data["handler"].filters)

    def _is_form(self, state: str | None) -> bool:
        if state is None or state in self._recorded:
            return False
        if state not in self._told:
            self._told.add(state)
            logger.info(
                "messages in the FSM state %r are not recorded, since forms ask for secrets: if "
                "they are a conversation, give SessionMiddleware record_states=",
                state,
            )
        return True
