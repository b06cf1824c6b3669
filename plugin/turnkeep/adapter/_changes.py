"""Edits and deletions on the platform, applied to the recorded turns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from .._records.key import SessionKey
from .._records.media import Media
from .._records.quote import is_gone, quotes, requoted, said_in
from .._records.turn import Turn
from .._session.conversation import Conversation
from .._session.variants import with_variants
from .._store import Session, SessionStore
from ._notes import reply_note
from ._recent import Recent

__all__ = ["AS_MADE", "Changes", "Places", "requote"]

AS_MADE: Final[Mapping[str, Any]] = {"as_made": True}
"""In a turn's `extra`: a command made its content, so an edit of the message changes nothing."""

_PLACES_KEPT: Final = 20_000
_CLOCKS_DIFFER: Final = timedelta(hours=1)
"""The most that the platform's clock and ours may differ."""

_READ_FIRST: Final = 64


class Places:
    """The sessions of the latest messages, for events that name only a message."""

    def __init__(self) -> None:
        self._keys: Recent[str, SessionKey | None] = Recent(_PLACES_KEPT)
        self._repeating: Recent[str, dict[SessionKey, None]] = Recent(_PLACES_KEPT)

    def note(self, source_id: str, key: SessionKey) -> None:
        # None if several sessions have a message with this id.
        self._keys[source_id] = key if self._keys.get(source_id, key) == key else None

    def move(self, source_id: str, old: SessionKey, new: SessionKey) -> None:
        """Remember the session that an alias meant when a message came."""
        if self._keys.get(source_id) == old:
            self._keys[source_id] = new

    def of(self, source_id: str) -> SessionKey | None:
        return self._keys.get(source_id)

    def note_repetition(self, source_id: str, key: SessionKey) -> None:
        """Remember that a turn of a session repeats a message."""
        if (keys := self._repeating.get(source_id)) is None:
            keys = self._repeating[source_id] = {}
        keys[key] = None

    def all_of(self, source_ids: Collection[str]) -> list[SessionKey] | None:
        """Return all sessions that have or repeat these messages; None if one is unknown.

        A reply comes after its message. So whoever knows where the message is has seen them all.
        """
        found: dict[SessionKey, None] = {}
        for source_id in source_ids:
            key = self._keys.get(source_id)
            if key is None:
                return None
            found |= {key: None, **self._repeating.get(source_id, {})}
        return [*found]

    def forget(self, source_id: str) -> None:
        self._keys.pop(source_id, None)
        self._repeating.pop(source_id, None)


class Changes:
    """The edits and deletions of messages, and of their repetitions in other turns."""

    def __init__(self, store: SessionStore, places: Places, *, delete_answers: bool) -> None:
        self._store = store
        self._places = places
        self._delete_answers = delete_answers

    async def edit(self, source_id: str, content: object, key: SessionKey | None) -> None:
        """Edit a message in its session, and the lines of the turns that reply to it."""
        key = self._places.of(source_id) if key is None else key
        if key is None:
            return
        session = self._store.session(key)
        before = await session.find(source_id)
        if before is None or before.extra.get("as_made"):
            return
        after = await session.edit(before, content)
        if after is not None and is_gone(before):  # a deleted repetition does not come back
            await requote(session, after, None)
        if after is None or after.content == before.content:
            return
        name = None if after.sender is None else after.sender.name
        own = " ".join(one.text for one in after.media if not one.repeated)
        line = reply_note(name, said_in(after) or own)
        async for turn in session.turns(epoch="all", variants=True, after=after.id):
            if quotes(turn, source_ids={source_id}):
                await requote(session, turn, line, after.media)

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
        oldest = None if since is None else since - _CLOCKS_DIFFER
        keys = [] if key is None else [key]
        if among is not None:
            # Other processes may have recorded replies.
            known = None if self._store.desk.is_shared else self._places.all_of(gone)
            keys += filter(among, await self._written(oldest) if known is None else known)
        for one in dict.fromkeys(keys):
            session = self._store.session(one)
            async with self._store.desk.use(one) as storage:
                found = [await storage.find(one, source_id) for source_id in gone]
            there = [turn for turn in found if turn is not None]
            turns = await _turns_since(session, oldest)
            answers = _answers_to(there, turns) if self._delete_answers else []
            desk = self._store.desk
            gone_too = await with_variants(desk, one, [*there, *answers])
            await Conversation(desk, one).delete_all(gone_too)
            for turn in turns:
                if quotes(turn, source_ids=gone):
                    await requote(session, turn, None)
        for source_id in gone:
            self._places.forget(source_id)

    async def _written(self, since: datetime | None) -> list[SessionKey]:
        """Return the sessions that were last written after a time."""
        # One page, since a session that is written to meanwhile would move to another one.
        page = await self._store.list_sessions(limit=None)
        return [one.key for one in page if since is None or one.updated_at >= since]

    async def delete_all(self, begins: str) -> None:
        """Delete the turns with such source ids, and their answers, in every session."""
        for info in await self._store.list_sessions(limit=None):
            session = self._store.session(info.key)
            turns = [turn async for turn in session.turns(epoch="all", variants=True)]
            gone = {
                turn.id
                for turn in turns
                if any(source.startswith(begins) for source in turn.source_ids)
            }
            gone |= {turn.id for turn in turns if turn.answers_one_of(gone)}
            theirs = [turn for turn in turns if turn.id in gone]
            await Conversation(self._store.desk, info.key).delete_all(theirs)


async def requote(
    session: Session, turn: Turn, line: str | None, media: Iterable[Media] = ()
) -> None:
    """Give a turn another line about the message it replies to; None if that is deleted.

    `media` are those of that message.
    """
    content, extra = requoted(turn, line, media)
    await session.edit(turn, content, extra=extra)


def _answers_to(deleted: Sequence[Turn], turns: Sequence[Turn]) -> list[Turn]:
    """Return the answers to deleted messages, and to no other message that is still there."""
    gone = {turn.id for turn in deleted if turn.role == "user"}
    left = {turn.id for turn in turns} - gone
    found = [turn for turn in turns if turn.answers_one_of(gone) and turn not in deleted]
    return [turn for turn in found if not turn.answers_one_of(left)]


async def _turns_since(session: Session, oldest: datetime | None) -> list[Turn]:
    """Return the turns since `oldest`, and some before; read only a long session's end."""
    if oldest is None:
        return [turn async for turn in session.turns(epoch="all", variants=True)]
    count = _READ_FIRST
    while True:
        turns = [turn async for turn in session.turns(epoch="all", variants=True, last=count)]
        if len(turns) < count or turns[0].time < oldest:
            return turns
        count *= 4
