"""Renames that are under way, as others meet them.

Two keys may be on two nodes, so no script can move a session. A rename marks both keys, which
holds their changes; it copies the turns beside those that are seen at the new key; one script
there lets them be seen, which is the moment of the rename; then the aliases and the old key
follow. A process may die in between. Whoever meets a mark asks at the new key how the rename
stands. One that was committed is finished by them, and one whose lease has ended is given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ._link import Link
from ._servers import shard_of

__all__ = ["LEASE", "Mark", "Moves"]

LEASE: Final = 5.0
"""The seconds after which a rename that makes no step is given up."""


class Mark(NamedTuple):
    """The mark of a rename at one of its keys, and the other key."""

    way: str
    rename: str
    other: str

    @classmethod
    def of(cls, text: bytes) -> Mark:
        """Return the mark that a record holds."""
        return cls(*text.decode().split(" ", 2))


class Moves:
    """The steps of renames, and what to do about those of others."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._given_up: set[str] = set()

    async def to(self, key: str, step: str, rename: str, *own: str | bytes) -> Any:
        """Make a step at the new key, and return the answer."""
        return await self._step("rename_to", key, step, rename, own)

    async def out_of(self, key: str, step: str, rename: str, *own: str | bytes) -> Any:
        """Make a step at the old key, and return the answer."""
        return await self._step("rename_from", key, step, rename, own)

    async def _step(
        self, script: str, key: str, step: str, rename: str, own: Sequence[str | bytes]
    ) -> Any:
        changes = step not in ("copy", "aliases")
        return await self._link.call(key, script, (step, rename, *own), changes=changes)

    async def standing(self, mark: Mark) -> str:
        """Return how the rename stands that a session is leaving by: committed, open or gone."""
        answer = await self._link.call(
            mark.other, "rename_to", ("settle", mark.rename, ""), changes=False
        )
        standing: bytes = answer[2]
        return standing.decode()

    async def settle(self, key: str, mark: Mark) -> bool:
        """Finish or give up the rename that holds changes of a key, or return False for now."""
        source, target = (key, mark.other) if mark.way == "out" else (mark.other, key)
        when = "now" if mark.rename in self._given_up else "late"
        standing = (await self.to(target, "settle", mark.rename, when))[2]
        if standing == b"open":
            return False
        if mark.way == "out":
            if standing == b"committed":
                await self.finish(source, mark.rename, target)
            else:
                await self.out_of(source, "thaw", mark.rename)
        return True

    async def give_up(self, source: str, rename: str, target: str) -> None:
        """Take back a rename that is not committed."""
        # Where the server can't be reached, the next one that meets it needs no patience.
        self._given_up.add(rename)
        await self.to(target, "settle", rename, "now")
        await self.out_of(source, "thaw", rename)
        self._given_up.discard(rename)

    async def finish(self, source: str, rename: str, target: str) -> None:
        """Let the aliases of the old key, and the key itself, lead to the new one."""
        leads_to = f"{shard_of(target)} {target}"
        for alias in (await self.out_of(source, "aliases", rename))[2]:
            if alias.decode() != target:
                await self._retarget(alias.decode(), rename, source, leads_to)
        await self.out_of(source, "leave", rename, leads_to)
        await self.to(target, "close", rename)

    async def disown(self, target: str, alias: str) -> None:
        """Take a key that is no alias any more from the list of its target."""
        await self.out_of(target, "disown", "", alias)

    async def _retarget(self, alias: str, rename: str, source: str, leads_to: str) -> None:
        while True:
            answer = await self.out_of(alias, "retarget", rename, source, leads_to)
            if answer[0] != 2:
                return
            await self.settle(alias, Mark.of(answer[2]))
