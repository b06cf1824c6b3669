"""Messages from before the one in hand, which an adapter fetches for a chain of replies."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

from .._records.info import SessionInfo
from .._records.quote import reply_to
from .._records.turn import Sender, Turn
from .._session.forgetting import FETCHES, fetched_since, fetches
from .._session.forgetting import end_fetching as end_in
from .._store import Session, SessionStore
from ._chat import FAILURES, ChatSession
from ._content import cut_to_fit
from ._places import Places
from ._recent import Recent
from ._sent import AS_SENT

__all__ = ["Earlier", "EarlierMessages", "end_fetching", "forget_place"]

logger: Final = logging.getLogger("turnkeep")

_KEPT: Final = 10_000


class Earlier(NamedTuple):
    """A message from before the one in hand, which may not be recorded yet.

    `sender` is None for the bot's own. `quoted` is the message that it replies to, and its author.
    """

    content: Any
    source_id: str
    sender: Sender | None
    time: datetime
    quoted: tuple[str | None, str | None] | None = None


class EarlierMessages:
    """Records earlier messages, unless they are missing for a good reason.

    What was said before a reset or a `/forget` must not come back because somebody replies to it.
    """

    def __init__(self, store: SessionStore, places: Places) -> None:
        self._store = store
        self._places = places
        self._noted: Recent[str, None] = Recent(_KEPT)

    async def note(self, session: Session) -> None:
        """Note in a session that messages are fetched for it, so that `forget` ends that.

        A storage error is logged.
        """
        if session.key.text in self._noted:
            return
        try:
            info = await session.info()
            if info is None:
                return
            if not fetches(info):
                await session.update_metadata({FETCHES: True})
        except FAILURES as error:
            logger.warning("%s: forgotten messages may be fetched again: %s", session, error)
            return
        self._noted[session.key.text] = None

    async def since(self, session: Session) -> datetime | None:
        """Return the time before which no message of the chat may be fetched, or None."""
        async with session.store.desk.use(session.key) as storage:
            forgotten = await fetched_since(storage, session.key)
        times = [] if forgotten is None else [forgotten]
        info = await session.info()
        if info is not None and info.epoch > 1:
            times.append(await _first_time(session.turns()) or datetime.now(timezone.utc))
        return max(times, default=None)

    async def is_forgotten(self, session: Session, time: datetime) -> bool:
        """Return True for a message of this time, if somebody was forgotten in the chat since."""
        async with session.store.desk.use(session.key) as storage:
            since = await fetched_since(storage, session.key)
        return since is not None and time <= since

    async def record(self, session: ChatSession, earlier: Sequence[Earlier]) -> None:
        """Record the messages that are not stored, the oldest first.

        If the storage fails, none of them is recorded.
        """
        try:
            since = await self.since(session) if earlier else None
            for one in earlier:
                is_known = await session.find(one.source_id) is not None
                if not is_known and (since is None or one.time > since):
                    await self._record(session, one)
        except FAILURES as error:
            logger.warning("%s: earlier messages are not recorded: %s", session, error)

    async def _record(self, session: ChatSession, one: Earlier) -> None:
        key = session.key
        self._places.note(one.source_id, key)
        extra: dict[str, Any] = {**AS_SENT} if one.sender is None else {}
        if one.quoted is not None:
            extra |= reply_to(*one.quoted)
            if one.quoted[0] is not None:
                self._places.note_repetition(one.quoted[0], key, one.time)
        await self._store.session(key).append(
            "user" if one.sender is not None else "assistant",
            cut_to_fit(one.content, self._store.desk.max_turn_bytes),
            source_id=one.source_id,
            sender=one.sender,
            time=one.time,
            extra=extra,
        )


async def end_fetching(session: Session) -> None:
    """Let no message be fetched that was said before now, because somebody was forgotten."""
    async with session.store.desk.use(session.key, write=True) as storage:
        await end_in(storage, session.key)


async def forget_place(store: SessionStore, info: SessionInfo) -> None:
    """Erase the session of a place that is gone from its platform: nothing can be fetched there."""
    if fetches(info):
        await store.session(info.key).update_metadata({FETCHES: None})
    await store.forget(info.key)


async def _first_time(turns: AsyncIterator[Turn]) -> datetime | None:
    async for turn in turns:
        return turn.time
    return None
