"""The admission of a handler to the model: in its turn, and within the person's rate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from .._loop import asyncio_loop
from .._records.turn import Turn
from .._store import Session
from ._bounds import Bounds, Refusal, RefusedError
from ._line import Line
from ._outlet import Outlet

__all__ = ["Admission", "person_of"]

_ending: Final[set[asyncio.Task[None]]] = set()


class Admission:
    """The admission of one handler that `Overlap` did not put in line, such as a command's.

    It begins when the handler asks the model, and ends with the reply, or with the handler.
    `by` is the person's id. `line_of` returns the line of a turn's session, or None where
    handlers run at the same time. Without `waits`, a handler is refused if it had to wait.
    """

    def __init__(
        self,
        bounds: Bounds,
        line_of: Callable[[Session, Turn], Line] | None,
        *,
        waits: bool = True,
        is_managed: bool = False,
    ) -> None:
        self.by: str | None = None
        self._bounds = bounds
        self._line_of = line_of
        self._waits = waits
        self._is_managed = is_managed  # whoever runs the handler calls `end`
        self._is_begun = False
        self._stack: AsyncExitStack | None = None

    async def begin(self, session: Session, outlet: Outlet | None) -> None:
        """Wait for the handler's turn; raise `RefusedError` if it may not ask the model now.

        The person is told so by the `outlet`.
        """
        if self._is_begun:
            return
        self._is_begun = True
        stack = self._stack = AsyncExitStack()
        refusal: Refusal | None = None
        try:
            line = await self._line(session)
            if line is not None and not line.is_present:
                refusal = await self._enter(line, session, stack)
            person = self._person(session)
            refusal = refusal or self._bounds.charge(session.key, [person])
            if refusal is None:
                self._end_with_the_task()
                return
            again = not self._is_managed
            await self._bounds.tell(session.key, person, outlet, refusal, again=again)
        except BaseException:  # a cancelled one leaves the line, too
            await self.end()
            raise
        await self.end()
        raise RefusedError(session.key, refusal)

    async def _line(self, session: Session) -> Line | None:
        if self._line_of is None:
            return None
        turn = session.turn
        if turn is None:
            async for latest in session.turns(epoch="all", last=1):
                turn = latest
        return None if turn is None else self._line_of(session, turn)

    async def _enter(self, line: Line, session: Session, stack: AsyncExitStack) -> Refusal | None:
        if line.is_taken and (not self._waits or line.waiting >= self._bounds.max_waiting):
            return Refusal("waiting")
        place = None if session.turn is None else session.turn.id
        is_mine = await stack.enter_async_context(
            line.front(session.store.desk, session.key, wait=self._waits, place=place)
        )
        return None if is_mine else Refusal("waiting")

    def _person(self, session: Session) -> str:
        return self.by or person_of(session, session.turn)

    def _end_with_the_task(self) -> None:
        is_managed = self._is_managed or asyncio_loop() is None
        task = None if is_managed else asyncio.current_task()
        if task is not None:
            task.add_done_callback(lambda _: self._end_soon())

    def _end_soon(self) -> None:
        if self._is_begun:
            ending = asyncio.get_running_loop().create_task(self.end())
            _ending.add(ending)
            ending.add_done_callback(_ending.discard)

    async def end(self) -> None:
        """Leave the line. The next question of the same handler begins a new admission."""
        self._is_begun = False
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()


def person_of(session: Session, turn: Turn | None) -> str:
    """Return the id of a turn's author; without one, the session counts as a person."""
    return session.key.text if turn is None or turn.sender is None else turn.sender.id
