"""A message that grows with the model's text, at the pace that the platform allows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

import anyio

from .._records.clean import clean_text
from ._split import split_text

__all__ = ["GrowingMessage", "MessageGoneError", "Outlet", "SlowDownError"]

logger: Final = logging.getLogger("turnkeep")

MAX_WAIT: Final = 300.0
"""The seconds to wait for a platform in all, before its refusal is raised."""


class SlowDownError(Exception):
    """An outlet's platform asks to wait for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the platform asks to wait for {seconds:g} seconds")
        self.seconds = seconds


class MessageGoneError(Exception):
    """The message that an outlet's `edit` names is gone."""


class Outlet(Protocol):
    """The way of an answer to the platform. An adapter makes one for each message in hand.

    `limit` is the most characters of one message, and `pace` the fewest seconds between two
    changes of it. With `drafts`, `draft` shows an unfinished message, and `send` the finished
    one. Each method raises `SlowDownError` if the platform asks to wait.
    """

    limit: int
    pace: float
    drafts: bool

    async def working(self) -> None:
        """Show that an answer is on its way."""
        ...

    async def send(self, text: str) -> str | None:
        """Send a message and return its source id, or None if it has none."""
        ...

    async def edit(self, number: int, text: str) -> None:
        """Edit the `number`th message, from 0; raise `MessageGoneError` if it is gone."""
        ...

    async def draft(self, text: str) -> None:
        """Show an unfinished message."""
        ...


class GrowingMessage:
    """One growing answer: `await show(text)` with all of it so far, then `finish(text)`.

    `source_ids` are those of the sent messages.
    """

    def __init__(self, outlet: Outlet, clock: Callable[[], float] = anyio.current_time) -> None:
        self.source_ids: list[str] = []
        self._outlet = outlet
        self._clock = clock
        self._shown: list[str] = []
        self._next = 0.0
        self._refused_until = 0.0

    async def show(self, text: str) -> None:
        """Show the text if the pace allows it; failures are left to `finish`."""
        if self._clock() < self._next or not text.strip():
            return
        pause = self._outlet.pace
        try:
            # Half of a surrogate pair waits for the other half.
            await self._bring(text[:-1] if "\ud800" <= text[-1] <= "\udbff" else text, done=False)
        except SlowDownError as slow:
            pause = max(pause, slow.seconds)
            self._refused_until = self._clock() + pause
        except Exception:
            logger.info("an unfinished answer could not be shown; it goes on", exc_info=True)
        self._next = self._clock() + pause

    async def finish(self, text: str) -> None:
        """Show all of the text, and wait for the platform if it asks for it."""
        waited = max(0.0, self._refused_until - self._clock())
        await anyio.sleep(waited)
        while True:
            try:
                return await self._bring(text, done=True)
            except SlowDownError as slow:
                pause = max(slow.seconds, 0.1)
                waited += pause
                if waited > MAX_WAIT:
                    raise
                await anyio.sleep(pause)

    async def _bring(self, text: str, *, done: bool) -> None:
        pieces = split_text(clean_text(text), self._outlet.limit)
        for number, piece in enumerate(pieces):
            if number < len(self._shown):
                if self._shown[number] == piece:
                    continue
                try:
                    await self._outlet.edit(number, piece)
                except MessageGoneError:
                    if not done:
                        self._shown[number] = ""  # its text is sent in a new message
                        continue
                    await self._send(piece)
                self._shown[number] = piece
            elif self._outlet.drafts and not done and number == len(pieces) - 1:
                await self._outlet.draft(piece)
            else:
                await self._send(piece)
                self._shown.append(piece)

    async def _send(self, piece: str) -> None:
        source_id = await self._outlet.send(piece)
        if source_id is not None:
            self.source_ids.append(source_id)
