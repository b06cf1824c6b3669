"""Edits and deletions on the platform, applied to the recorded turns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Final
from weakref import WeakValueDictionary

from anyio import Lock

from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.quote import quoted_source
from .._records.turn import Turn
from .._session.rewriting import checked_change, rewrite, without_quotes
from .._session.variants import with_variants
from .._store import Session, SessionStore
from ..storage.base import Change
from ._edits import Edits
from ._joined import Joined
from ._places import CLOCKS_DIFFER, Places

__all__ = ["Changes"]

_READ_FIRST: Final = 64


class Changes:
    """The edits and deletions of messages, and of their repetitions in other turns.

    All that an event changes in a session is one rewrite of it, and edits that come meanwhile
    wait for the next one together.
    """

    def __init__(self, store: SessionStore, places: Places, *, delete_answers: bool) -> None:
        self._store = store
        self._places = places
        self._delete_answers = delete_answers
        self._edits: WeakValueDictionary[str, Joined] = WeakValueDictionary()
        self._searching = Lock()

    async def edit(self, source_id: str, content: object, key: SessionKey | None) -> None:
        """Edit a message in its session, and the lines of the turns that reply to it."""
        key = self._places.of(source_id) if key is None else key
        if key is None:
            return
        desk = self._store.desk
        change = checked_change(desk, key, content)
        edits = Edits(desk, key, self._places)
        await self._joined(key).edit(source_id, change, edits.apply)

    def _joined(self, key: SessionKey) -> Joined:
        return self._edits.setdefault(key.text, Joined())

    async def delete(
        self,
        source_ids: Collection[str],
        *,
        key: SessionKey | None,
        among: Callable[[SessionKey], bool] | None,
        since: datetime | None,
    ) -> None:
        """Delete messages from the session of `key`, and from those that `among` selects.

        `since` is the time of the oldest message. Sessions that were last written before it are
        skipped.
        """
        gone = {*source_ids}
        oldest = None if since is None else since - CLOCKS_DIFFER
        keys = [] if key is None else [key]
        if among is not None:
            keys += filter(among, await self._sessions_of(gone, oldest))
        for one in dict.fromkeys(keys):
            joined = self._joined(one)
            async with joined.lock:
                await self._delete_in(one, gone, oldest)
        for source_id in gone:
            self._places.forget(source_id)

    async def _delete_in(self, key: SessionKey, gone: set[str], oldest: datetime | None) -> None:
        async def plan(_: SessionInfo) -> Mapping[int, Change | None]:
            async with self._store.desk.use(key) as storage:
                found = [await storage.find(key, source_id) for source_id in gone]
            there = [turn for turn in found if turn is not None]
            named = {source_id for turn in there for source_id in turn.source_ids}
            turns = await self._turns_behind(key, there, gone - named, oldest)
            answers = _answers_to(there, turns) if self._delete_answers else []
            deleted = await with_variants(self._store.desk, key, [*there, *answers])
            changes = without_quotes(turns, source_ids=gone)
            return {**changes, **dict.fromkeys(turn.id for turn in deleted)}

        await rewrite(self._store.desk, key, plan)

    async def _turns_behind(
        self, key: SessionKey, there: list[Turn], missing: set[str], oldest: datetime | None
    ) -> list[Turn]:
        """Return the turns that may answer or repeat messages: those `there`, and others."""
        repeated = self._places.repetitions(missing)
        turns: list[Turn] = []
        if key in repeated or not self._knows(missing, oldest, at=key):
            turns = await _turns_since(self._store.session(key), oldest)
        first = min((turn.id for turn in there), default=0)
        if there and not (turns and turns[0].id <= first):
            turns = await _all(self._store.session(key), after=first - 1)
        return turns

    def _knows(
        self, source_ids: Iterable[str], oldest: datetime | None, *, at: SessionKey | None = None
    ) -> bool:
        """Return True if all repetitions of these messages are noted."""
        if self._store.desk.is_shared:  # other processes record replies, too
            return False
        places = self._places
        return places.knows_since(oldest) or all(places.knows(one, at=at) for one in source_ids)

    async def _sessions_of(self, gone: set[str], oldest: datetime | None) -> list[SessionKey]:
        """Return the sessions that have or repeat these messages.

        Messages are looked for where they were recorded, or else by the storage's index. The
        sessions of repetitions are known, or else searched once for all messages since a time.
        """
        if self._store.desk.is_shared:
            return await self._written(oldest)
        keys = {one: self._places.of(one) for one in gone}
        unknown = [one for one, key in keys.items() if key is None]
        found = dict.fromkeys(key for key in keys.values() if key is not None)
        if unknown:
            async with self._searching:
                if not self._knows(unknown, oldest):
                    found |= await self._search(gone, oldest)
            async with self._store.desk.use() as storage:
                placed = await storage.find_all(unknown, since=oldest)
            found |= dict.fromkeys(key for key, _ in placed.turns)
        return [*(found | self._places.repetitions(gone))]

    async def _search(self, gone: set[str], since: datetime | None) -> dict[SessionKey, None]:
        """Note all repetitions since a time, and return the sessions that repeat these messages."""
        found: dict[SessionKey, None] = {}
        if since is not None:  # twice as far back: older and older messages cost few searches
            since -= datetime.now(timezone.utc) - since
        for key in await self._written(since):
            for turn in await _turns_since(self._store.session(key), since):
                if (source_id := quoted_source(turn)) is not None:
                    self._places.note_repetition(source_id, key, turn.time)
                    if source_id in gone:
                        found[key] = None
        self._places.note_search(since)
        return found

    async def _written(self, since: datetime | None) -> list[SessionKey]:
        """Return the sessions that were last written after a time."""
        # One page, since a session that is written to meanwhile would move to another one.
        page = await self._store.list_sessions(limit=None)
        return [one.key for one in page if since is None or one.updated_at >= since]

    async def delete_all(self, begins: str) -> None:
        """Delete the turns with such source ids, and what answers or repeats them, everywhere."""
        for info in await self._store.list_sessions(limit=None):
            session = self._store.session(info.key)

            async def plan(
                _: SessionInfo, session: Session = session
            ) -> Mapping[int, Change | None]:
                turns = await _all(session)
                sources = {one for turn in turns for one in turn.source_ids} | {
                    one for turn in turns if (one := quoted_source(turn)) is not None
                }
                gone = {one for one in sources if one.startswith(begins)}
                deleted = {turn.id for turn in turns if not gone.isdisjoint(turn.source_ids)}
                deleted |= {turn.id for turn in turns if turn.answers_one_of(deleted)}
                return {**without_quotes(turns, source_ids=gone), **dict.fromkeys(deleted)}

            joined = self._joined(info.key)
            async with joined.lock:
                await rewrite(self._store.desk, info.key, plan)


def _answers_to(deleted: Sequence[Turn], turns: Sequence[Turn]) -> list[Turn]:
    """Return the answers to deleted messages, and to no other message that is still there."""
    gone = {turn.id for turn in deleted if turn.role == "user"}
    left = {turn.id for turn in turns} - gone
    found = [turn for turn in turns if turn.answers_one_of(gone) and turn not in deleted]
    return [turn for turn in found if not turn.answers_one_of(left)]


async def _all(session: Session, *, after: int = 0) -> list[Turn]:
    return [turn async for turn in session.turns(epoch="all", variants=True, after=after)]


async def _turns_since(session: Session, oldest: datetime | None) -> list[Turn]:
    """Return the turns since `oldest`, and some before; read only a long session's end."""
    if oldest is None:
        return await _all(session)
    count = _READ_FIRST
    while True:
        turns = [turn async for turn in session.turns(epoch="all", variants=True, last=count)]
        if len(turns) < count or turns[0].time < oldest:
            return turns
        count *= 4
