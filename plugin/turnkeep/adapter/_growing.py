"""A message that grows while the model speaks, at the pace that a platform allows."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import anyio

from .._loop import uninterrupted
from .._records.clean import clean_text
from ._outlet import (
    UNDELIVERED,
    MessageGoneError,
    Outlet,
    Progress,
    SlowDownError,
    UnreachableError,
)
from ._split import split_text
from ._unfinished import close_marks
from ._wishes import MAX_WAIT

__all__ = ["GrowingMessage"]

T = TypeVar("T")

logger: Final = logging.getLogger("turnkeep")

REQUEST_SECONDS: Final = 10.0
"""The seconds that a request gets at least, if `max_wait` is shorter."""


class GrowingMessage:
    """One answer, shown as it grows: `await show(text)` with all of it so far, then `finish`.

    `source_ids` are those of the messages it was sent as. Each method raises `UnreachableError`
    when nobody can be reached, and `SlowDownError` when the platform asks to wait for `max_wait`
    seconds or more.
    """

    def __init__(
        self,
        outlet: Outlet,
        clock: Callable[[], float] = anyio.current_time,
        *,
        max_wait: float = MAX_WAIT,
        progress: Progress | None = None,
    ) -> None:
        sent = [] if progress is None else progress.sent
        if progress is not None:
            outlet.begin(progress.name, sent)
        self.source_ids: list[str] = [*sent]
        self._outlet = outlet
        self._progress = progress
        self._clock = clock
        self._max_wait = max_wait
        self._lock = anyio.Lock(fast_acquire=True)  # a checkpoint costs more than most pieces
        self._text = ""
        self._brought = ""
        self._shown: list[tuple[str, Any]] = [("", None)] * len(sent)
        """The pieces on the screen, with their buttons."""
        self._numbers = [*range(len(sent))]  # of the messages that the pieces are in
        self._sent = len(sent)
        self._next = 0.0
        self._refused_until = 0.0
        self._changed_at = 0.0
        self._is_drafted = False
        self._failure: Exception | None = None

    @property
    def is_shown(self) -> bool:
        """True if something of it is on the screen."""
        return bool(self._shown) or self._is_drafted

    async def show(self, text: str) -> None:
        """Show the text if it is time to; most of what goes wrong is left to `finish`."""
        self._text = text
        if self._failure is None and self._clock() < self._next:
            return
        async with self._lock:
            if self._failure is not None:
                raise self._failure
            await self._show()

    async def _show(self) -> None:
        if self._clock() < self._next or not (text := self._text).strip():
            return
        pause = self._outlet.pace
        try:
            # Half of a surrogate pair waits for the other half.
            whole = text[:-1] if "\ud800" <= text[-1] <= "\udbff" else text
            await self._bring(whole, self._outlet.buttons(done=False), done=False)
            self._brought = text
        except SlowDownError as slow:
            if slow.seconds >= self._max_wait:
                raise
            pause = max(pause, slow.seconds)
            self._refused_until = self._clock() + pause
        except UnreachableError:
            raise
        except Exception:  # what is shown meanwhile is worth no answer; its end raises
            logger.info("an unfinished answer could not be shown; it goes on", exc_info=True)
        self._next = self._clock() + pause

    @asynccontextmanager
    async def kept_alive(self) -> AsyncGenerator[None, None]:
        """Show signs of life inside the block while the model is silent.

        These are the text that was not shown yet, a draft before it fades, or "typing".
        """
        failure: BaseException | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_alive)
            try:
                yield
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:  # noqa: BLE001 - raised below, without a group around
                failure = error
            finally:
                async with self._lock:  # a message that is being sent gets its id
                    group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _keep_alive(self) -> None:
        while self._failure is None:
            await anyio.sleep(self._outlet.sign_seconds)
            async with self._lock:
                try:
                    await self._show_a_sign()
                except UNDELIVERED as error:
                    self._failure = error
                except Exception:  # as above
                    logger.info("a sign of life could not be shown", exc_info=True)

    async def _show_a_sign(self) -> None:
        quiet = self._clock() - self._changed_at
        is_fading = self._is_drafted and quiet >= self._outlet.draft_seconds
        if self._text != self._brought or is_fading:
            await self._show()
        elif not self._is_drafted and quiet >= self._outlet.sign_seconds:
            await self._outlet.working()

    async def finish(self, text: str, *, buttons: bool = False) -> None:
        """Show all of the text, and wait for the platform where it asks for that.

        With `buttons`, those of an answer that has ended are below it.
        """
        below = self._outlet.buttons(done=True) if buttons else None
        waited = max(0.0, self._refused_until - self._clock())
        if waited and waited >= self._max_wait:
            raise SlowDownError(waited)
        if waited:
            await anyio.sleep(waited)
        while True:
            try:
                await self._bring(text, below, done=True)
                return await self._remove_surplus(text)
            except SlowDownError as slow:
                pause = max(slow.seconds, 0.1)
                waited += pause
                if waited >= self._max_wait:
                    raise
                await anyio.sleep(pause)

    async def replace(self, text: str) -> None:
        """Show the text in the place of all that was shown."""
        await self.finish(text)

    async def _remove_surplus(self, text: str) -> None:
        """Delete the messages behind the last piece of the text."""
        count = len(split_text(clean_text(text), self._outlet.limit))
        for number in self._numbers[count:]:
            await self._within(self._outlet.remove(number))
        del self._numbers[count:], self._shown[count:]

    async def _bring(self, text: str, buttons: Any, *, done: bool) -> None:
        pieces = split_text(clean_text(text), self._outlet.limit)
        if pieces and not done:
            pieces[-1] = close_marks(pieces[-1], self._outlet.limit)
        for place, piece in enumerate(pieces):
            is_last = place == len(pieces) - 1
            below = buttons if is_last else None
            if place < len(self._shown):
                if self._shown[place] != (piece, below):
                    await self._edit(place, piece, below)
            elif self._outlet.drafts and not done and is_last:
                await self._within(self._outlet.draft(piece))
                self._is_drafted = True
            else:
                await self._send(place, piece, below)
                self._is_drafted = False
            self._changed_at = self._clock()

    async def _edit(self, place: int, piece: str, buttons: Any) -> None:
        try:
            await self._within(self._outlet.edit(self._numbers[place], piece, buttons))
        except MessageGoneError:
            await self._send(place, piece, buttons)
        self._shown[place] = piece, buttons

    async def _send(self, place: int, piece: str, buttons: Any) -> None:
        """Send a piece. A cancellation waits: a message on the screen must have a known id."""
        failure: Exception | None = None

        async def send() -> None:
            nonlocal failure
            try:
                source_id = await self._within(self._outlet.send(piece, buttons))
            except Exception as error:  # noqa: BLE001 - raised below, unless it is cancelled
                failure = error
                return
            self._numbers[place : place + 1] = [self._sent]
            self._shown[place : place + 1] = [(piece, buttons)]
            self._sent += 1
            if source_id is not None:
                self.source_ids.append(source_id)
                if self._progress is not None:
                    self._progress.note_sent(self.source_ids)

        await uninterrupted(send)
        if failure is not None:
            raise failure

    async def _within(self, request: Awaitable[T]) -> T:
        """Await a request, but no longer than `max_wait`: a client library may sleep by itself."""
        longest = max(self._max_wait, REQUEST_SECONDS)
        with anyio.move_on_after(longest):
            return await request
        raise SlowDownError(longest)
