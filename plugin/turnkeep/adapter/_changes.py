"""Edits and deletions on the platform, and how they reach what is recorded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from .._key import SessionKey
from .._quote import quotes, requote, said_in
from .._session import Session
from .._store import SessionStore
from .._turn import Turn
from ._notes import note

__all__ = ["AS_MADE", "Changes", "Places"]

AS_MADE: Final[Mapping[str, Any]] = {"as_made": True}
"""In a turn's `extra`: it is what a command made of its message, and stays so when that is edited.
"""

_PLACES_KEPT: Final = 20_000
_CLOCKS_DIFFER: Final = timedelta(hours=1)
"""How much the platform's clock and ours may differ."""

_READ_FIRST: Final = 64


class Places:
    """In which session the latest messages are, for events that name a message alone."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, SessionKey] = OrderedDict()

    def note(self, source_id: str, key: SessionKey) -> None:
        self._keys[source_id] = key
        if len(self._keys) > _PLACES_KEPT:
            self._keys.popitem(last=False)

    def of(self, source_id: str, default: SessionKey | None) -> SessionKey | None:
        return self._keys.get(source_id, default)

    def forget(self, source_id: str) -> None:
        self._keys.pop(source_id, None)


class Changes:
    """What is edited or deleted is so in the history too, with what other turns repeat of it."""

    def __init__(self, store: SessionStore, places: Places) -> None:
        self._store = store
        self._places = places

    async def edit(self, source_id: str, content: object, key: SessionKey | None) -> None:
        """Changes a message in its session, and the lines of those that reply to it there."""
        key = self._places.of(source_id, key)
        if key is None:
            return
        session = self._store.session(key)
        before = await session.find(source_id)
        if before is None or before.extra.get("as_made"):
            return
        after = await session.edit(before, content)
        if after is None or after.content == before.content:
            return
        name = None if after.sender is None else after.sender.name
        line = note(f"reply to {name or 'a message'}", said_in(after))
        async for turn in session.turns(epoch="all", after=after.id):
            if quotes(turn, source_ids={source_id}):
                await requote(session, turn, line)

    async def delete(
        self,
        source_ids: Collection[str],
        *,
        key: SessionKey | None,
        prefix: str,
        since: datetime | None,
    ) -> None:
        """Takes messages away, from the session of `key`, or from all with the prefix.

        Those that were last written before `since`, when the oldest of the messages was
        written, can't have them.
        """
        gone = {*source_ids}
        oldest = None if since is None else since - _CLOCKS_DIFFER
        for session in await self._where(key, prefix, oldest):
            for source_id in gone:
                await session.delete(source_id)
            for turn in await _turns_since(session, oldest):
                if quotes(turn, source_ids=gone):
                    await requote(session, turn, None)
        for source_id in gone:
            self._places.forget(source_id)

    async def _where(
        self, key: SessionKey | None, prefix: str, oldest: datetime | None
    ) -> list[Session]:
        if key is not None:
            return [self._store.session(key)]
        # One page: a session that is written to meanwhile would move from page to page.
        page = await self._store.list_sessions(prefix=prefix, limit=None)
        return [
            self._store.session(info.key)
            for info in page
            if oldest is None or info.updated_at >= oldest
        ]


async def _turns_since(session: Session, oldest: datetime | None) -> list[Turn]:
    """The turns that were written since, and some before; of a long session its end alone."""
    if oldest is None:
        return [turn async for turn in session.turns(epoch="all")]
    count = _READ_FIRST
    while True:
        turns = [turn async for turn in session.turns(epoch="all", last=count)]
        if len(turns) < count or turns[0].time < oldest:
            return turns
        count *= 4
