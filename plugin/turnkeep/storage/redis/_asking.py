"""Calls to a session: they follow aliases, and wait for renames that are under way."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from anyio import Lock, sleep

from ._link import Link
from ._moves import Mark, Moves

__all__ = ["Asking"]

_LOOK: Final = "peek"
"""The script by which a change looks first. It changes nothing, so it can be sent again."""

_MOST_TARGETS: Final = 10_000
"""The aliases that are remembered."""

_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 0.1


class Asking:
    """Runs scripts at sessions, and keeps the order of the changes of each."""

    def __init__(self, link: Link, moves: Moves) -> None:
        self._link = link
        self._moves = moves
        self._lines: dict[str, _Line] = {}
        self._targets: dict[str, str] = {}

    @property
    def is_cluster(self) -> bool:
        """True if no script can follow an alias to every shard."""
        return self._link.is_cluster

    async def read(self, key: str, script: str, *arguments: str) -> Any:
        """Return what a script reads of the session that a key means."""
        known, gone, given = b"", "", key
        while True:
            answer = await self._link.call(key, script, (known, *arguments), changes=False)
            if answer[0] == 0:
                self._learn(given, answer[1].decode())
                return answer
            if answer[0] == 1:
                key = answer[1].decode()
                continue
            mark = Mark.of(answer[2])
            standing = await self._moves.standing(mark)
            if standing == "committed":
                key = mark.other
            elif standing == "open" or gone == mark.rename:
                known = answer[2]
            else:
                # It ended since, one way or the other; if the mark stays, it was given up.
                gone = mark.rename

    async def change(self, key: str, script: str, *arguments: str | bytes) -> Any:
        """Return what a script that changes a session answers, in the order of the calls."""
        if not self._lines or self._targets.get(key, key) not in self._lines:
            answer = await self._link.call(key, script, arguments, changes=True)
            if answer[0] == 0:
                return answer
        async with self.in_line(key):
            return await self.change_in_line(key, script, *arguments)

    async def change_in_line(self, key: str, script: str, *arguments: str | bytes) -> Any:
        """Return what a script that changes a session answers, where `in_line` is held."""
        pause = _FIRST_PAUSE
        while True:
            answer = await self._link.call(key, script, arguments, changes=script != _LOOK)
            if answer[0] == 0:
                return answer
            if answer[0] == 1:
                key = answer[1].decode()
            elif not await self._moves.settle(answer[1].decode(), Mark.of(answer[2])):
                await sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _learn(self, key: str, target: str) -> None:
        """Remember where an alias leads, for the order of changes alone."""
        if key != target:
            if len(self._targets) >= _MOST_TARGETS:
                self._targets.clear()
            self._targets[key] = target
        elif self._targets:
            self._targets.pop(key, None)

    @asynccontextmanager
    async def in_line(self, *keys: str) -> AsyncGenerator[None, None]:
        """Hold later changes of these keys, by this process, until this one is done.

        A change of one round trip needs no line: the thread keeps the order.
        """
        in_order = sorted({self._targets.get(key, key) for key in keys})
        lines = [self._lines.setdefault(key, _Line()) for key in in_order]
        for line in lines:
            line.waiting += 1
        held: list[_Line] = []
        try:
            for line in lines:
                await line.lock.acquire()
                held.append(line)
            yield
        finally:
            for line in held:
                line.lock.release()
            for key, line in zip(in_order, lines, strict=True):
                line.waiting -= 1
                if not line.waiting:
                    del self._lines[key]


class _Line:
    """The changes of one key that wait for each other."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.waiting = 0
