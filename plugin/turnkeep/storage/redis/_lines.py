"""The order of the changes of each session, where some take several round trips.

A change of one round trip needs no line while there is none: the thread keeps the order. One of
several holds its keys. What comes meanwhile waits, and then goes to the thread at once, up to the
next change that holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from typing import TypeAlias

from anyio import Event

from ._exchange import Command
from ._link import Link

__all__ = ["Hold", "Lines"]


class Hold:
    """A change of several round trips, in the lines of all its keys."""

    __slots__ = ("first", "keys", "number")

    def __init__(self, number: int, *keys: str) -> None:
        self.number = number
        self.keys = tuple(dict.fromkeys(keys))
        self.first = Event()
        """Set when it is the first in each of them."""


Waiting: TypeAlias = "Command | Hold"


class Lines:
    """A line for each key that is held; its first is the one that holds it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lines: dict[str, deque[Waiting]] = {}
        self._numbers = count()

    def send(self, key: str, command: Command) -> None:
        """Give a command to the thread, behind all that was called before."""
        command.number = next(self._numbers)
        if line := self._lines.get(key):
            line.append(command)
        else:
            self._link.submit(command)

    def send_again(self, key: str, command: Command) -> None:
        """Give a command to the thread once more, before what was called later and still waits."""
        if line := self._lines.get(key):
            # Not before the first, which has begun.
            later = (at for at, one in enumerate(line) if at and one.number > command.number)
            line.insert(next(later, len(line)), command)
        else:
            self._link.submit(command)

    def is_held(self, key: str) -> bool:
        """True if commands of a key wait."""
        return key in self._lines

    @asynccontextmanager
    async def held(self, *keys: str) -> AsyncGenerator[None, None]:
        """Hold later changes of these keys until this one is done."""
        hold = self.join(*keys)
        try:
            await hold.first.wait()
            yield
        finally:
            self.leave(hold)

    def join(self, *keys: str) -> Hold:
        """Take the last place in the lines of these keys, until `leave`.

        All of them at once, so that no two wait for each other.
        """
        hold = Hold(next(self._numbers), *keys)
        for key in hold.keys:
            self._lines.setdefault(key, deque()).append(hold)
        for key in hold.keys:
            self._go_on(key)
        return hold

    def leave(self, hold: Hold) -> None:
        """Let those behind it go on."""
        for key in hold.keys:
            self._lines[key].remove(hold)
        for key in hold.keys:
            self._go_on(key)

    def _go_on(self, key: str) -> None:
        line = self._lines[key]
        while line:
            first = line[0]
            if isinstance(first, Hold):
                if all(self._lines[one][0] is first for one in first.keys):
                    first.first.set()
                return
            line.popleft()
            if not first.is_abandoned:
                self._link.submit(first)
        del self._lines[key]
