"""The verbs over the dict of sessions.

Only a long rename yields before it has had its effect. So every other verb is atomic by itself.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from itertools import islice
from typing import Any, Literal

from anyio.lowlevel import cancel_shielded_checkpoint, checkpoint
from msgspec.structs import replace

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import (
    Appended,
    Capabilities,
    Change,
    Claim,
    Expected,
    Found,
    Hit,
    Page,
    SessionInfo,
    Snapshot,
    TurnRef,
)
from ..rules import SingleChanges, begun_info, is_next, merge_metadata, restored
from ..words import snippet, words
from ._claims import Claims
from ._order import Order
from ._places import Places
from ._session import Held, by_id, joined, outcome


def _now() -> datetime:
    return datetime.now(timezone.utc)


class MemoryStorage(SingleChanges):
    """A storage in this object alone. It keeps its sessions across `aclose` and `open`.

    With `shared`, several stores may use one object at the same time, like several processes
    with one server. `clock` returns the time for records and claims, aware, in UTC.
    """

    def __init__(self, *, shared: bool = False, clock: Callable[[], datetime] = _now) -> None:
        self._shared = shared
        self._clock = clock
        self._sessions: dict[SessionKey, Held] = {}
        self._aliases: dict[SessionKey, SessionKey] = {}
        self._claims = Claims(clock)
        self._order = Order(self._resolve)
        self._places = Places()

    def __repr__(self) -> str:
        """Return what `SessionStore` calls it."""
        return "MemoryStorage()"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(shared=self._shared, search=True)

    # There is nothing to own or to let go.

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def _resolve(self, key: SessionKey) -> SessionKey:
        return self._aliases.get(key, key)

    def _get(self, key: SessionKey) -> Held | None:
        return self._sessions.get(self._resolve(key))

    def _expected(self, key: SessionKey, expected: Expected | None) -> Held | None:
        """Return the session if there is one and it is as expected."""
        session = self._get(key)
        return session if session and session.is_as(expected) else None

    def _put(self, session: Held, turns: list[Turn], now: datetime, **changes: Any) -> None:
        """Store a session's turns and its record: the effect of every change."""
        session.turns = turns
        session.info = replace(session.info, updated_at=now, turns=len(turns), **changes)
        self._hold(session)

    def _hold(self, session: Held) -> None:
        self._sessions[session.info.key] = session
        self._places.put(session.info.key.text, session.info.updated_at)

    def _drop(self, key: SessionKey) -> bool:
        self._places.drop(key.text)
        return self._sessions.pop(key, None) is not None

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        *,
        expected: Expected | None = None,
        dedupe: bool = True,
        at: TurnRef | None = None,
    ) -> Appended | None:
        async with self._order.change(key):
            session, now = self._get(key), self._clock()
            begun = session or Held(begun_info(self._resolve(key), now, at))
            done = outcome(begun, turns, dedupe)
            refused = expected is not None and (session is None or not session.is_as(expected))
            if refused and not done.again:
                return None
            if at is not None and done.added:
                known = len(done.added) < len(turns)
                if known or not is_next(session.info if session else None, at):
                    return None
            if done.added:
                begun.add(done.added)
                self._put(begun, begun.turns, now, last_id=begun.info.last_id + len(done.added))
            result = Appended(done.turns, done.new, begun.info if session or done.added else None)
        # Appends that never yield would starve the other tasks of a busy bot.
        await cancel_shielded_checkpoint()
        return result

    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        async with self._order.change(info.key):
            session = self._get(info.key)
            self._clock()  # a write, which may fail
            done = restored(session.info if session else None, info, turns)
            if done is None or self._resolve(info.key) != info.key:
                return False
            session = session or Held(info)
            session.info, added = done
            session.add(added)
            self._hold(session)
            return True

    async def aliases(self, *, prefix: str = "") -> dict[SessionKey, SessionKey]:
        return {alias: key for alias, key in self._aliases.items() if alias.text.startswith(prefix)}

    async def read(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest: bool = True,
    ) -> Snapshot:
        session = self._get(key)
        if session is None:
            return Snapshot(None, [])
        turns = session.turns
        end = len(turns) if before is None else bisect_left(turns, before, key=by_id)
        begin = min(bisect_right(turns, after, key=by_id), end) if after else 0
        complete = limit is None or end - begin <= limit
        if limit is not None and not complete:
            begin, end = (end - limit, end) if newest else (begin, begin + limit)
        return Snapshot(session.info, turns[begin:end], complete)

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        session = self._get(key)
        return session.find(source_id) if session else None

    async def find_all(
        self, source_ids: Sequence[str], *, prefix: str = "", since: datetime | None = None
    ) -> Found:
        wanted, found = frozenset(source_ids), Found([], [])
        for key in self._keys(prefix):
            session = self._get(key)
            if session and (since is None or session.info.updated_at >= since):
                turns = [turn for turn in session.turns if not wanted.isdisjoint(turn.source_ids)]
                found.turns.extend((key, turn) for turn in turns)
            await checkpoint()
        return found

    def _keys(self, prefix: str) -> list[SessionKey]:
        return [SessionKey.parse(text) for text in self._places.by_key(prefix, None)]

    async def change(
        self,
        key: SessionKey,
        changes: Mapping[int, Change | None],
        *,
        expected: Expected | None = None,
    ) -> list[Turn]:
        async with self._order.change(key):
            session = self._expected(key, expected)
            if session is None:
                return []
            there, differing = session.changed(changes)
            if differing:
                now, revision = self._clock(), session.info.revision + 1
                self._put(session, session.with_changes(differing), now, revision=revision)
            return there

    async def clear(
        self, key: SessionKey, *, erase: bool = False, expected: Expected | None = None
    ) -> bool:
        async with self._order.change(key):
            session = self._expected(key, expected)
            if session is None:
                return False
            erases = erase and bool(session.turns)
            self._put(
                session,
                [] if erases else session.turns,
                self._clock(),
                epoch=session.info.epoch + 1,
                summary=None,
                revision=session.info.revision + erases,
            )
            return True

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, expected: Expected
    ) -> bool:
        async with self._order.change(key):
            session = self._expected(key, expected)
            if session is None:
                return False
            reached = min(last_consolidated, session.info.last_id)
            if reached <= session.info.last_consolidated:
                return False
            changes = {"last_consolidated": reached, "summary": summary}
            self._put(session, session.turns, self._clock(), **changes)
            return True

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        async with self._order.change(key):
            now = self._clock()
            session = self._get(key) or Held(begun_info(self._resolve(key), now))
            metadata = merge_metadata(key, session.info.metadata, changes)
            self._put(session, session.turns, now, metadata=metadata)
            return metadata

    async def sessions(
        self,
        *,
        prefix: str = "",
        limit: int | None = None,
        after: SessionInfo | None = None,
        order: Literal["written", "key"] = "written",
        metadata: bool = True,
    ) -> Page:
        if order == "key":
            behind = None if after is None else after.key.text
            texts: Iterable[str] = self._places.by_key(prefix, behind)
        else:
            place = None if after is None else (after.updated_at, after.key.text)
            texts = self._places.by_time(prefix, place)
        chosen = [*islice(texts, None if limit is None else limit + 1)]
        infos = [self._sessions[SessionKey.parse(text)].info for text in chosen[:limit]]
        page = infos if metadata else [replace(info, metadata={}) for info in infos]
        return Page(page, len(chosen) == len(infos))

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        async with self._order.rename(old, new):
            old, asked, new = self._resolve(old), new, self._resolve(new)
            if old == new:
                if asked == old:
                    return
                new = asked  # back to what became an alias
            moved, there = self._sessions.get(old), self._sessions.get(new)
            now = self._clock()
            kept = moved or there
            if moved and there:
                kept = await joined(moved, there)
            # From here to the end nothing yields.
            self._drop(old)
            if kept and moved:
                self._put(kept, kept.turns, now, key=new)
            self._aliases = {
                alias: new if key == old else key for alias, key in self._aliases.items()
            }
            self._aliases[old] = new
            self._aliases.pop(new, None)
            self._claims.move(old, new)

    async def unlink(self, alias: SessionKey) -> bool:
        async with self._order.change(alias):
            return self._aliases.pop(alias, None) is not None

    async def forget(self, key: SessionKey) -> bool:
        async with self._order.change(key):
            target = self._resolve(key)
            self._aliases.pop(key, None)
            self._claims.drop(target)
            return self._drop(target)

    async def files(self) -> list[str]:
        return []

    async def claim(
        self,
        key: SessionKey,
        name: str,
        *,
        owner: str,
        ttl: float,
        payload: Mapping[str, Any] | None = None,
    ) -> Claim | None:
        key = self._resolve(key)
        return self._claims.take(key, name, owner=owner, ttl=ttl, payload=payload)

    async def renew(
        self, claim: Claim, *, ttl: float, payload: Mapping[str, Any] | None = None
    ) -> bool:
        return self._claims.renew(self._resolve(claim.key), claim, ttl, payload)

    async def release(self, claim: Claim) -> bool:
        return self._claims.release(self._resolve(claim.key), claim)

    async def claims(
        self, *, key: SessionKey | None = None, prefix: str = "", expired: bool | None = None
    ) -> list[Claim]:
        return self._claims.listed(key and self._resolve(key), prefix, expired)

    async def search(
        self,
        text: str,
        *,
        prefix: str = "",
        sender_id: str | None = None,
        after: datetime | None = None,
        limit: int = 20,
    ) -> list[Hit]:
        wanted, hits = frozenset(words(text)), list[Hit]()
        for key in self._keys(prefix) if wanted else ():
            session = self._get(key)
            for turn in session.turns if session else ():
                if (
                    not turn.hidden
                    and (sender_id is None or (turn.sender and turn.sender.id == sender_id))
                    and (after is None or turn.time > after)
                    and wanted.issubset(words(turn.text))
                ):
                    hits.append(Hit(key, turn, snippet(turn.text, wanted)))
            await checkpoint()
        return sorted(hits, key=lambda hit: (hit.turn.time, hit.turn.id), reverse=True)[:limit]
