"""The line before one session: first come, first served, and whoever need not wait is not let wait.

A change of a file holds the session for as long as the disk takes, and others queue meanwhile.
If each of them then had the session in turn, one turn of the event loop each, more would come
than leave, and the queue would feed itself. So whoever leaves runs for all in line, in their
order, what can be done without waiting, up to the first that has to wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from anyio import Event
from msgspec import Struct, field

T = TypeVar("T")

SERVED_AT_ONCE: Final = 64
"""So many are served between two turns of the event loop, which has others to serve, too."""


class _Waiting(Struct, eq=False):
    """One in line, and what became of it: served, failed, or its turn has come."""

    quick: Callable[[], Any] | None
    woken: Event = field(default_factory=Event)
    served: Any = None
    error: BaseException | None = None
    has_turn: bool = False


class Line:
    """A lock, see above. `held` is true while somebody has it, and so while anybody waits."""

    __slots__ = ("_waiting", "held")

    def __init__(self) -> None:
        self.held = False
        self._waiting: deque[_Waiting] = deque()

    async def turn(self, quick: Callable[[], T | None] | None = None) -> T | None:
        """Return what `quick` gives when it is our turn; if that is None, we have the session.

        `quick` runs without an await, maybe in another task.
        """
        if not self.held:
            self.held = True
        else:
            me = _Waiting(quick)
            self._waiting.append(me)
            try:
                await me.woken.wait()
            except BaseException:  # cancelled
                if me.has_turn:
                    self.leave()
                elif not me.woken.is_set():
                    self._waiting.remove(me)
                raise
            if me.error is not None:
                raise me.error
            if not me.has_turn:
                served: T | None = me.served
                return served
        try:
            served = None if quick is None else quick()
        except BaseException:  # whatever it raised, those in line go on
            self.leave()
            raise
        if served is not None:
            self.leave()
        return served

    def leave(self) -> None:
        """Serve those in line who need not wait, and give the session to the next one."""
        for _ in range(SERVED_AT_ONCE):
            if not self._waiting:
                self.held = False
                return
            one = self._waiting[0]
            try:
                one.served = None if one.quick is None else one.quick()
            except BaseException as error:  # noqa: BLE001 - the one in line raises it
                one.error = error
            if one.served is None and one.error is None:
                break
            self._waiting.popleft()
            one.woken.set()
        if self._waiting:
            one = self._waiting.popleft()
            one.has_turn = True
            one.woken.set()
        else:
            self.held = False
