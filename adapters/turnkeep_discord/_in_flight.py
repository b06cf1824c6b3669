"""The messages that are being recorded, so that callers who ask at once share the work.

The cog's listener and a bot's own handler usually ask for a message at the same time.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

import discord

from turnkeep.adapter import ChatSession


class InFlight:
    """A message that is being recorded, for as long as a caller waits for it."""

    def __init__(self, message: discord.Message) -> None:
        self.message = message
        self.session: ChatSession | None = None
        """The session that the first caller got, as long as it is up to date."""


class MessagesInFlight:
    """All messages that are being recorded."""

    def __init__(self) -> None:
        self._by_id: WeakValueDictionary[int, InFlight] = WeakValueDictionary()

    def join(self, message: discord.Message) -> InFlight:
        """Return the object that all callers with this message share."""
        in_flight = self._by_id.get(message.id)
        if in_flight is None or in_flight.message is not message:  # a new object: delivered again
            in_flight = self._by_id[message.id] = InFlight(message)
        return in_flight

    def known(self, message: discord.Message) -> InFlight | None:
        """Return the object that other callers with this message share; None if there are none."""
        in_flight = self._by_id.get(message.id)
        return in_flight if in_flight is not None and in_flight.message is message else None

    def outdate(self, message_id: int) -> None:
        """Let later callers look the message up again: its turn is about to change."""
        if (in_flight := self._by_id.get(message_id)) is not None:
            in_flight.session = None
