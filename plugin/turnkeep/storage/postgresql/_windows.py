"""Windows: all reads that wait are one round trip, and known turns are not sent again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import SessionInfo, Snapshot
from ._lane import Request
from ._link import Connection
from ._place import Place
from ._rows import array, as_info, as_turn, numbers, placed

__all__ = ["Tail", "Tails", "Window"]

KEPT_TURNS: Final = 32 * 1024
"""The most turns that are kept of all sessions; each is about a kilobyte."""

LONGEST_TAIL: Final = 2048

_QUERY: Final = (
    "SELECT * FROM turnkeep.read_windows(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], "
    "%s::boolean[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])"
)

_SINGLY: Final = (
    "SELECT t.body, p.ids, p.epochs FROM turnkeep.session s "
    "JOIN turnkeep.part p ON p.sid = s.sid JOIN turnkeep.turn t ON t.life = p.life "
    "WHERE s.key = %s AND p.ids + t.id > %s AND p.ids + t.id < coalesce(%s, %s + 1) "
    "ORDER BY p.ids + t.id"
)

_decode: Final = msgspec.json.Decoder(list[Turn]).decode


class Tail(NamedTuple):
    """The newest turns of a session, as they were when it was `generation`, `revision`, `damaged`.

    Another process can't have changed them if the session is still of these. `complete` is True
    if no turn stands before them.
    """

    generation: str
    revision: int
    damaged: int
    turns: list[Turn]
    complete: bool

    def joins(self, info: SessionInfo) -> bool:
        """Return True if the session still has these turns."""
        return (self.generation, self.revision, self.damaged) == (
            info.generation,
            info.revision,
            info.damaged,
        )


class Tails:
    """The tails of the sessions in use, the latest used last."""

    def __init__(self) -> None:
        self._tails: OrderedDict[str, Tail] = OrderedDict()
        self._turns = 0

    def get(self, key: str) -> Tail | None:
        """Return a session's tail."""
        tail = self._tails.get(key)
        if tail is not None:
            self._tails.move_to_end(key)
        return tail

    def keep(self, key: str, info: SessionInfo, turns: list[Turn], *, complete: bool) -> None:
        """Keep the newest turns of a session."""
        self.drop(key)
        if not turns:
            return
        if len(turns) > LONGEST_TAIL:
            turns, complete = turns[-LONGEST_TAIL:], False
        self._tails[key] = Tail(info.generation, info.revision, info.damaged, turns, complete)
        self._turns += len(turns)
        while self._turns > KEPT_TURNS:
            self._turns -= len(self._tails.popitem(last=False)[1].turns)

    def drop(self, key: str) -> None:
        """Keep nothing of a session."""
        tail = self._tails.pop(key, None)
        if tail is not None:
            self._turns -= len(tail.turns)

    def extend(self, key: str, info: SessionInfo, new: list[Turn]) -> None:
        """Add turns that this process has appended."""
        tail = self._tails.get(key)
        if tail is None:
            if new and new[0].id == 1:
                self.keep(key, info, new, complete=True)
        elif new and tail.joins(info) and tail.turns[-1].id == new[0].id - 1:
            self.keep(key, info, tail.turns + new, complete=tail.complete)


class Window(Request):
    """A read of some of a session's turns."""

    def __init__(
        self,
        place: Place,
        key: SessionKey,
        after: int,
        before: int | None,
        limit: int | None,
        tail: Tail | None,
        *,
        newest: bool,
    ) -> None:
        super().__init__(changes=False)
        self.place = place
        self.key = key
        self.after, self.before, self.limit, self.newest = after, before, limit, newest
        self.tail = tail
        self.damaged = False
        """True if a turn could not be read; it must be set aside, and the page read again."""
        self.whole: tuple[list[Turn], bool] = [], False
        """All turns in hand, those of the tail too, and whether no turn stands before them."""

    def alone(self, connection: Connection) -> Snapshot:
        """Answer this read by itself."""
        _read(connection, [self])
        return self.answer  # type: ignore[no-any-return]

    def answered(self, rows: Sequence[Sequence[Any]]) -> Snapshot:
        """Return the snapshot of the server's rows: one for each life of the session."""
        if not rows:
            return Snapshot(None, [])
        info = as_info(rows[0][1:14])
        tail = self.tail if rows[0][14] else None
        turns: list[Turn] = []
        for row in rows:
            if row[17] is None:
                continue
            found = _decode(row[17])
            if self.newest:
                found.reverse()
            turns += [placed(turn, row[15], row[16], info.generation) for turn in found]
        if len(rows) > 1:
            turns.sort(key=lambda turn: turn.id)
            # Each life gave so many, and only these stand together.
            most = len(turns) if self.limit is None else self.limit + 1
            turns = turns[-most:] if self.newest else turns[:most]
        return self._page(info, turns, tail)

    def readable(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> Snapshot:
        """Return the snapshot without the turns that can't be read, which are looked at singly."""
        info, turns = as_info(rows[0][1:14]), list[Turn]()
        for body, ids, epochs in connection.execute(
            self.place.sql(_SINGLY), (info.key.text, self.after, self.before, info.last_id)
        ).fetchall():
            turn = as_turn(body)
            if turn is not None:
                turns.append(placed(turn, ids, epochs, info.generation))
        if self.limit is not None:
            turns = turns[-self.limit - 1 :] if self.newest else turns[: self.limit + 1]
        return self._page(info, turns, None)

    def _page(self, info: SessionInfo, turns: list[Turn], tail: Tail | None) -> Snapshot:
        complete = self.limit is None or len(turns) <= self.limit
        if tail is not None and complete:
            turns, complete = (tail.turns + turns) if turns else tail.turns, tail.complete
        if self.limit is not None and len(turns) > self.limit:
            if tail is None:
                complete = False  # one more was asked for, to know it
            self.whole = turns, complete
            first = len(turns) - self.limit if self.newest else 0
            return Snapshot(info, turns[first : first + self.limit], complete=False)
        self.whole = turns, complete
        return Snapshot(info, turns, complete)


def _read(connection: Connection, windows: Sequence[Window]) -> None:
    tails = [window.tail for window in windows]
    rows = connection.execute(
        windows[0].place.sql(_QUERY),
        (
            array(window.key.text for window in windows),
            numbers(window.after for window in windows),
            numbers(window.before for window in windows),
            numbers(None if one.limit is None else one.limit + 1 for one in windows),
            "{" + ",".join("t" if window.newest else "f" for window in windows) + "}",
            array(tail.generation if tail else "" for tail in tails),
            numbers(tail.revision if tail else 0 for tail in tails),
            numbers(tail.damaged if tail else 0 for tail in tails),
            numbers(tail.turns[-1].id if tail else 0 for tail in tails),
        ),
    ).fetchall()
    found: list[list[Any]] = [[] for _ in windows]
    for row in rows:
        found[row[0] - 1].append(row)
    for window, parts in zip(windows, found, strict=True):
        try:
            window.answer = window.answered(parts)
        except msgspec.DecodeError:
            window.damaged = True
            window.answer = window.readable(connection, parts)


Window.together = _read
