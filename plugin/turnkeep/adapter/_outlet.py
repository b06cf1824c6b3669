"""A message that grows while the model speaks, at the pace that a platform allows."""

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
"""For how many seconds in all the platform is waited for, before its refusal is raised."""


class SlowDownError(Exception):
    """Raised by an outlet: the platform asks to wait for so many `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the platform asks to wait for {seconds:g} seconds")
        self.seconds = seconds


class MessageGoneError(Exception):
    """Raised by an outlet's `edit`: the message is not there any more."""


class Outlet(Protocol):
    """How an answer leaves for a platform: what an adapter makes for each message in hand.

    `limit` is the most characters of one message, `pace` the least seconds between two
    changes of it. With `drafts`, an unfinished message is shown by `draft`, and `send` comes
    at its end. Each method raises `SlowDownError` where the platform asks for it.
    """

    limit: int
    pace: float
    drafts: bool

    async def working(self) -> None:
        """Shows that an answer is on its way."""
        ...

    async def send(self, text: str) -> str | None:
        """Sends a message and returns its source id, None if it has none."""
        ...

    async def edit(self, number: int, text: str) -> None:
        """Changes the `number`th message, from 0, or raises `MessageGoneError`."""
        ...

    async def draft(self, text: str) -> None:
        """Shows a message that is not finished."""
        ...


class GrowingMessage:
    """One answer, shown as it grows: `await show(text)` with all of it so far, then `finish`.

    `source_ids` are those of the messages it was sent as.
    """

    def __init__(self, outlet: Outlet, clock: Callable[[], float] = anyio.current_time) -> None:
        self.source_ids: list[str] = []
        self._outlet = outlet
        self._clock = clock
        self._shown: list[str] = []
        self._next = 0.0
        self._refused_until = 0.0

    async def show(self, text: str) -> None:
        """Shows the text if it is time to; what goes wrong is left to `finish`."""
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
        """Shows all of the text, and waits for the platform where that asks for it."""
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
                        self._shown[number] = ""  # the end of it is sent anew
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
