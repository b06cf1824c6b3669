"""Verbs over many sessions: they ask all shards in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from msgspec.structs import replace

from ..._errors import StorageError
from ..._records.key import SessionKey
from ..base import Found, Page, SessionInfo
from ._decode import info_of, microseconds, time_of, turns_of
from ._link import Link
from ._moves import Mark, Moves
from ._servers import SHARDS, shard_of

__all__ = ["Listing"]

_PAGE: Final = 500
"""The records that one script reads."""

_SHARDS_AT_ONCE: Final = 8
"""The shards that one script reads: a server does nothing else meanwhile."""


class Listing:
    """Lists sessions, and finds turns in all of them."""

    def __init__(self, link: Link, moves: Moves) -> None:
        self._link = link
        self._moves = moves

    async def shards(self, script: str, *arguments: str) -> list[Any]:
        """Return the answers of all shards, of which one server may read several at once."""
        step = 1 if self._link.is_cluster else _SHARDS_AT_ONCE
        groups = [range(first, first + step) for first in range(0, SHARDS, step)]
        return await self._link.read_all(
            script, [(group[0], (" ".join(map(str, group)), *arguments)) for group in groups]
        )

    async def has_left(self, mark: bytes | None) -> bool:
        """Return True if a session with this mark was moved, and is listed at its new key."""
        if mark is None or not mark.startswith(b"out "):
            return False
        return await self._moves.standing(Mark.of(mark)) == "committed"

    async def find_all(
        self, source_ids: Sequence[str], prefix: str, since: datetime | None
    ) -> Found:
        earliest = "" if since is None else str(microseconds(since))
        wanted = list(dict.fromkeys(source_ids))
        found = Found([], [])
        for _, _, sessions, unread in await self.shards("find_all", prefix, earliest, *wanted):
            found.unread.extend(SessionKey.parse(text.decode()) for text in unread)
            for text, mark, generation, turns in sessions:
                if not await self.has_left(mark):
                    key = SessionKey.parse(text.decode())
                    readable = turns_of(turns, generation.decode())
                    found.turns.extend((key, turn) for turn in readable)
        return found

    async def aliases(self, prefix: str) -> dict[SessionKey, SessionKey]:
        """Aliases of aliases, which a rename leaves for a moment, are followed."""
        found: dict[str, str] = {}
        for _, _, pairs in await self.shards("aliases"):
            texts = [text.decode() for text in pairs]
            found |= zip(texts[::2], texts[1::2], strict=True)

        def end(key: str) -> str:
            passed = {key}
            while (further := found.get(key)) is not None and further not in passed:
                passed.add(key := further)
            return key

        return {
            SessionKey.parse(alias): SessionKey.parse(end(alias))
            for alias in sorted(found)
            if alias.startswith(prefix)
        }

    async def sessions(
        self,
        prefix: str,
        limit: int | None,
        after: SessionInfo | None,
        order: Literal["written", "key"],
        metadata: bool,
    ) -> Page:
        """Two round trips, and more if renames or unreadable sessions make a page shorter."""
        time, last = "", ""
        if after is not None:
            time, last = str(microseconds(after.updated_at)), after.key.text
        found: list[SessionInfo] = []
        while True:
            missing = None if limit is None else limit - len(found)
            places, more = await self._places(prefix, missing, order, time, last)
            infos = await self._records(places)
            for written, text in places:
                info = infos.get(text)
                if info is not None:
                    # Written meanwhile, it still stands where the page goes on behind it.
                    found.append(info if order == "key" else replace(info, updated_at=written))
            if not more or (limit is not None and len(found) >= limit):
                break
            time, last = str(microseconds(places[-1][0])), places[-1][1]
        if not metadata:
            found = [replace(info, metadata={}) for info in found]
        return Page(found, not more)

    async def _places(
        self,
        prefix: str,
        limit: int | None,
        order: Literal["written", "key"],
        time: str,
        last: str,
    ) -> tuple[list[tuple[datetime, str]], bool]:
        """Return times and keys in their order, and True if there are more of them."""
        asked = "" if limit is None else str(limit + 1)
        time = time if order == "written" else ""
        places: list[tuple[int, str]] = []
        for _, _, pairs in await self.shards("sessions", prefix, asked, order, time, last):
            texts = [text.decode() for text in pairs[::2]]
            places += zip((-int(one) for one in pairs[1::2]), texts, strict=True)
        places.sort()
        page = [(time_of(b"%d" % -age), text) for age, text in places[:limit]]
        return page, limit is not None and len(places) > limit

    async def _records(self, places: Sequence[tuple[datetime, str]]) -> dict[str, SessionInfo]:
        """Return the records of those sessions that are there and can be read."""
        groups: dict[int, list[str]] = {}
        for _, text in places:
            shard = shard_of(text)
            groups.setdefault(shard if self._link.is_cluster else 0, []).extend((str(shard), text))
        answers = await self._link.read_all(
            "records",
            [
                (shard, pairs[start : start + 2 * _PAGE])
                for shard, pairs in groups.items()
                for start in range(0, len(pairs), 2 * _PAGE)
            ],
        )
        infos: dict[str, SessionInfo] = {}
        for _, _, sessions in answers:
            for text, mark, record in sessions:
                if record is None or await self.has_left(mark):
                    continue
                key = text.decode()
                try:
                    infos[key] = info_of(key, record)
                except StorageError:
                    continue  # `find_all` names it
        return infos
