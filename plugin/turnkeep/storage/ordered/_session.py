"""One session in a transaction: its record, its turns, and the names that these are found by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from ..._records.turn import Turn
from ..base import Change, SessionInfo
from ..rules import applied
from ._pairs import Pairs, below, path, utc_now, value

__all__ = ["Session", "decoded_turn"]

_STEP: Final = 100
"""So many more turns are read where damaged ones left a page short."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Turn).decode


def decoded_turn(text: bytes | None) -> Turn | None:
    """Return a turn; None where there is none, or it is damaged."""
    try:
        return None if text is None else _decode(text)
    except msgspec.DecodeError:
        return None


def _names(turn: Turn) -> list[str]:
    tokens = [f"token {turn.token}"] if turn.token else []
    return tokens + [f"source {source}" for source in turn.source_ids]


class Session:
    """One session, which a verb reads and changes."""

    def __init__(self, pairs: Pairs, info: SessionInfo) -> None:
        self._pairs = pairs
        self.info = info

    def save(self, **changes: Any) -> None:
        """Store the record after these changes."""
        self.keep(replace(self.info, updated_at=utc_now(), **changes))

    def keep(self, info: SessionInfo) -> None:
        """Store the record as it is given."""
        self.info = info
        self._pairs.put(path("info", self.info.key.text), _encode(self.info))

    def turns(
        self,
        first: int = 0,
        end: int | None = None,
        limit: int | None = None,
        *,
        newest: bool = False,
    ) -> list[Turn]:
        """Return the turns with `first <= id < end`, the newest first if asked for so."""
        found: list[Turn] = []
        for turn in self._scan(first, 2**63 if end is None else max(end, 0), limit, newest):
            if limit is not None and len(found) >= limit:
                break
            found.append(turn)
        return found

    def _scan(self, first: int, end: int, limit: int | None, newest: bool) -> Iterator[Turn]:
        """Give the turns one after the other, and set aside those that are damaged."""
        key = self.info.key.text
        while first < end:
            span = path("turn", key, first), path("turn", key, end)
            pairs = list(self._pairs.scan(*span, limit, reverse=newest))
            for place, text in pairs:
                turn = decoded_turn(text)
                if turn is not None:
                    yield turn
                else:
                    self._pairs.put(b"damaged" + place[len(b"turn") :], text)
                    self._pairs.delete(place)
                    self.keep(replace(self.info, damaged=self.info.damaged + 1))
            if limit is None or len(pairs) < limit:
                return
            last = int.from_bytes(pairs[-1][0][-8:])
            first, end = (first, last) if newest else (last + 1, end)
            limit = _STEP

    def turn(self, turn_id: int) -> Turn | None:
        """Return the turn with this id."""
        return next(iter(self.turns(turn_id, turn_id + 1)), None)

    def named(self, name: str) -> Turn | None:
        """Return the latest turn that has a source id or a token."""
        first = path("name", name, self.info.key.text)
        for place, _ in self._pairs.scan(first, first + b"\xff" * 9, None, reverse=True):
            text = value(self._pairs, path("turn", self.info.key.text) + place[-8:])
            turn = decoded_turn(text)
            if turn is not None:
                return turn
        return None

    def put(self, turns: Iterable[Turn]) -> None:
        """Store turns that have their ids, and their names."""
        key = self.info.key.text
        for turn in turns:
            self._pairs.put(path("turn", key, turn.id), _encode(turn))
            for name in _names(turn):
                self._pairs.put(path("name", name, key, turn.id), b"")

    def remove(self, turns: Iterable[Turn]) -> None:
        """Take turns away, and their names."""
        key = self.info.key.text
        for turn in turns:
            self._pairs.delete(path("turn", key, turn.id))
            for name in _names(turn):
                self._pairs.delete(path("name", name, key, turn.id))

    def change(self, changes: Mapping[int, Change | None]) -> list[Turn]:
        """Edit and delete turns; return those that were there, ascending."""
        turns = [turn for turn_id in sorted(changes) if (turn := self.turn(turn_id)) is not None]
        there, differing = applied(turns, changes)
        if differing:
            left = [turn for turn in differing.values() if turn is not None]
            self.remove(turn for turn in turns if turn.id in differing)
            self.put(left)
            gone = len(differing) - len(left)
            self.save(turns=self.info.turns - gone, revision=self.info.revision + 1)
        return there

    def erase(self) -> list[Turn]:
        """Take all turns away, also those that are damaged, and return them."""
        gone = self.turns()
        self.remove(gone)
        for place, _ in below(self._pairs, path("damaged", self.info.key.text)):
            self._pairs.delete(place)
        return gone

    def drop(self) -> None:
        """Take the session away."""
        self.erase()
        self._pairs.delete(path("info", self.info.key.text))
