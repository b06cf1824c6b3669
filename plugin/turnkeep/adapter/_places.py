"""The sessions in which messages are, and in which they are repeated."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Final

from .._records.key import SessionKey
from ._recent import Recent

__all__ = ["CLOCKS_DIFFER", "EVER", "Places"]

CLOCKS_DIFFER: Final = timedelta(hours=1)
"""The most that the platform's clock and ours may differ."""

_KEPT: Final = 20_000
EVER: Final = datetime.min.replace(tzinfo=timezone.utc)


class _Repetitions:
    """The sessions that repeat a message, and the time of the latest repetition."""

    def __init__(self) -> None:
        self.keys: dict[SessionKey, None] = {}
        self.latest = EVER


class Places:
    """The sessions of the latest messages, for events that name only a message.

    A reply comes after its message. So whoever has recorded the message has seen all replies to
    it, too. Of older messages only the sessions of repetitions are known, from a search.
    """

    def __init__(self) -> None:
        self._keys: Recent[str, SessionKey | None] = Recent(_KEPT)
        self._repeating: OrderedDict[str, _Repetitions] = OrderedDict()
        self._looked: Recent[str, dict[SessionKey, None]] = Recent(_KEPT)
        # All repetitions are known of messages that came after both.
        self._since = datetime.now(timezone.utc) + CLOCKS_DIFFER
        self._dropped = EVER

    def note(self, source_id: str, key: SessionKey) -> None:
        # None if several sessions have a message with this id.
        self._keys[source_id] = key if self._keys.get(source_id, key) == key else None

    def move(self, source_id: str, old: SessionKey, new: SessionKey) -> None:
        """Remember the session that an alias meant when a message came."""
        if self._keys.get(source_id) == old:
            self._keys[source_id] = new

    def of(self, source_id: str) -> SessionKey | None:
        """Return the session of a message; None if it is unknown, or there are several."""
        return self._keys.get(source_id)

    def note_repetition(self, source_id: str, key: SessionKey, time: datetime) -> None:
        """Remember that a turn of a session, written at this time, repeats a message."""
        found = self._repeating.setdefault(source_id, _Repetitions())
        found.keys[key] = None
        found.latest = max(found.latest, time)
        if len(self._repeating) > _KEPT:
            source_id, oldest = self._repeating.popitem(last=False)
            self._keys.pop(source_id, None)
            self._looked.pop(source_id, None)
            self._dropped = max(self._dropped, oldest.latest)

    def repetitions(self, source_ids: Iterable[str]) -> dict[SessionKey, None]:
        """Return the known sessions with turns that repeat one of these messages."""
        known = [self._repeating[one].keys for one in source_ids if one in self._repeating]
        return {key: None for keys in known for key in keys}

    def knows(self, source_id: str, *, at: SessionKey | None = None) -> bool:
        """Return True if all repetitions of a message are known: everywhere, or in one session."""
        return self.of(source_id) is not None or at in self._looked.get(source_id, ())

    def note_look(self, source_id: str, key: SessionKey) -> None:
        """Remember that all repetitions of a message in this session are noted."""
        self._looked.setdefault(source_id, {})[key] = None

    def knows_since(self, time: datetime | None) -> bool:
        """Return True if all repetitions of messages that came after a time are known."""
        return max(self._since, self._dropped) < (time or EVER)

    def note_search(self, since: datetime | None) -> None:
        """Remember that all repetitions of messages that came after a time are noted."""
        self._since = min(self._since, since or EVER)

    def forget(self, source_id: str) -> None:
        """Forget a message that was deleted."""
        for noted in (self._keys, self._repeating, self._looked):
            noted.pop(source_id, None)
