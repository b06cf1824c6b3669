"""Calls to a session: they follow aliases, and wait for renames that are under way."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final

from anyio import sleep

from ._exchange import Command
from ._lines import Hold, Lines
from ._link import Link
from ._moves import Mark, Moves
from ._servers import shard_of

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
        self._lines = Lines(link)
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
        command = self._link.command(key, script, arguments, changes=True)
        held: list[Hold] = []
        command.then = partial(self._follow, held)
        self._lines.send(self._line_of(key), command)
        try:
            answer = await self._link.answer(command)
            if not held:
                return answer
            await held[0].first.wait()
            return await self.change_in_line(command.key, script, *arguments)
        finally:
            for hold in held:
                self._lines.leave(hold)

    def _follow(self, held: list[Hold], command: Command) -> bool:
        """Send a change on where an alias leads; where a rename is met, the first holds the line.

        That happens as the answers come, not as tasks wake, which trio does in any order.
        """
        if command.error is not None or command.is_abandoned or command.answer[0] == 0:
            return False
        key = command.answer[1].decode()
        line = self._line_of(key)
        if command.answer[0] == 2 and not self._lines.is_held(line):
            held.append(self._lines.join(line))
            return False
        command.redirect(shard_of(key), key)
        self._lines.send_again(line, command)
        return True

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

    def in_line(self, *keys: str) -> AbstractAsyncContextManager[None]:
        """Hold later changes of these keys, by this process, until this one is done."""
        return self._lines.held(*map(self._line_of, keys))

    def _line_of(self, key: str) -> str:
        return self._targets.get(key, key)
