"""One session while it is in use: what was read of it, and the lines that a change adds.

Everything here runs on the event loop without an await, so a session's ids are given in the
order in which its appends first ran. The storage does the reading and the writing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import DEDUPE_TURNS, SessionInfo, Snapshot, TurnRef
from ..rules import begun_info
from . import _clock
from ._appender import Batch
from ._disk import marked_time
from ._known import ENTRY_BYTES, Known
from ._line import Line
from ._lines import (
    LONGEST_TURN,
    METADATA_EVERY,
    MORE,
    encode,
    encode_metadata,
    encode_turn,
    too_large,
    with_marks,
    with_more,
)
from ._nanobot import Foreign
from ._place import Place
from ._read import Tail

replace: Final = msgspec.structs.replace
force_setattr: Final = msgspec.structs.force_setattr

KEEP_TURNS: Final = 64
_id: Final = attrgetter("id")
_TURN_OVERHEAD: Final = 350
_CHAT_OVERHEAD: Final = 4000


class Added(NamedTuple):
    """The turns of an append as they are stored, which of them it stored, and its lines."""

    turns: list[Turn]
    new: list[bool]
    lines: bytes


class TurnsNeededError(Exception):
    """Older turns have to be read before an append can tell what it gives back."""

    def __init__(self, ids: Sequence[int]) -> None:
        super().__init__(ids)
        self.ids = ids


class Chat:
    """One session: its record, its newest turns, and the end of its file."""

    __slots__ = (
        "at_hand",
        "batch",
        "complete",
        "damaged",
        "earlier",
        "foreign",
        "info",
        "inode",
        "keep",
        "key",
        "known",
        "line",
        "loaded",
        "modified",
        "path",
        "searches",
        "since_metadata",
        "size",
        "turns",
        "unmended",
        "users",
        "version",
        "weighed",
        "weight",
        "weights",
        "written",
    )

    def __init__(self, key: SessionKey, path: Path) -> None:
        self.key = key
        self.path = path
        self.line = Line()
        """The queue of what can't be done without waiting."""
        self.users = 0
        self.keep = KEEP_TURNS
        self.batch: Batch | None = None
        self.version = 0
        """The name of one reading of the file: lines are added only to the file as it was read."""
        self.weighed = 0
        self.drop()

    def drop(self) -> None:
        """Forget what was read."""
        self.loaded = False
        self.at_hand = False
        """It was read, and is all that counts: the next line can be added to its file."""
        self.info: SessionInfo | None = None
        self.earlier = 0
        """The number of turns of earlier epochs, which nanobot's model is not to get."""
        self.turns: list[Turn] = []
        self.weights: list[int] = []
        self.weight = _CHAT_OVERHEAD
        self.complete = False
        self.known: Known | None = None
        """The means to tell a duplicate; None if fewer turns than that takes were read."""
        self.searches = 0
        """So often its file was looked through for a duplicate, since `known` was not there."""
        self.size = 0
        self.inode = 0
        self.modified = 0
        """The file's time of change when it was read, in nanoseconds; 0 if it was not there."""
        self.written = False
        """Lines were added since it was read, and its file has the time of the last one."""
        self.damaged = 0
        self.unmended = False
        self.since_metadata = 0
        self.foreign: Foreign | None = None
        """The nanobot file that this session is read from, whole, until its first write."""

    def fill(self, found: Tail | Foreign | None, version: int) -> None:
        """Take what was read of the session in the place of what was known."""
        self.drop()
        self.loaded = True
        self.version = version
        if found is None:
            self.complete, self.known, self.at_hand = True, Known(), True
            return
        self.info = found.info
        self.turns = found.turns
        if isinstance(found, Foreign):
            self.foreign = found
            self.complete = True
            self.weights = [_TURN_OVERHEAD] * len(found.turns)
        else:
            self.earlier = found.earlier
            self.weights = found.weights
            self.complete = found.complete
            self.size = found.size
            self.inode = found.inode
            self.modified = found.modified
            self.damaged = found.damaged_places
            self.unmended = found.unmended
            self.since_metadata = found.since_metadata
        self.weight += sum(self.weights) + _TURN_OVERHEAD * len(self.turns)
        if self.info is not None:
            self.weight += len(encode_metadata(self.info, "", earlier=self.earlier))
        if self.complete or len(self.turns) >= DEDUPE_TURNS:
            self.known = Known(self.turns[-2 * DEDUPE_TURNS :])
            self.weight += ENTRY_BYTES * self.known.entries
        self.at_hand = self.foreign is None and not self.unmended
        if self.foreign is None:
            self._trim()

    @property
    def place(self) -> Place:
        """The file as it was read; what was appended since is of this process."""
        modified = self.modified
        if self.written and self.info is not None:
            modified = marked_time(self.info.updated_at)
        return Place(self.path, self.size, self.inode, modified)

    def has(self, turns: int, *, known: bool) -> bool:
        """Return whether so many of the newest turns are here, and `known` if asked for.

        One turn more than that must be here, to tell whether there are any before them.
        """
        return (
            self.loaded
            and (self.complete or len(self.turns) > turns)
            and (self.known is not None or not known)
        )

    def select(
        self, after: int, before: int | None, limit: int | None, *, newest: bool
    ) -> Snapshot | None:
        """Return what `Storage.read` is to give, if it is all here; else None."""
        turns = self.turns
        end = len(turns) if before is None else bisect_left(turns, before, key=_id)
        start = bisect_right(turns, after, 0, end, key=_id) if after else 0
        if limit is not None and newest and end - start > limit:
            return Snapshot(self.info, turns[end - limit : end], False)
        if limit == 0:
            return Snapshot(self.info, [], self.complete and start == end)
        if not (self.complete or start or (turns and turns[0].id <= after + 1)):
            return None
        if limit is None or end - start <= limit:
            return Snapshot(self.info, turns[start:end], True)
        return Snapshot(self.info, turns[start : start + limit], False)

    def turn(self, id: int) -> Turn | None:
        """Return the turn with this id, if it is here."""
        at = bisect_left(self.turns, id, key=_id)
        return self.turns[at] if at < len(self.turns) and self.turns[at].id == id else None

    def stores(self, id: int) -> bool | None:
        """Return whether a turn is stored; None if that can't be told without its file."""
        at = bisect_left(self.turns, id, key=_id)
        if at < len(self.turns) and self.turns[at].id == id:
            return True
        return False if at or self.complete else None

    def add(
        self,
        turns: Sequence[Turn],
        places: Sequence[int] | None,
        older: Mapping[int, Turn],
        at: TurnRef | None = None,
        known: Known | None = None,
    ) -> Added:
        """Give the new turns among these their ids, and return all of them as they are stored.

        `places` is what `known` says of them; None if all are new. Raises `TurnsNeededError`
        where a turn that was there before is neither here nor in `older`.
        """
        placed: list[Turn] = []
        new = [True] * len(turns)
        if places is not None:
            older = self._stored(places, older)
        lines: list[bytes] = []
        own: list[int] = []  # which of the lines are turns
        now = _clock.now()
        written = round(now.timestamp() * 1_000_000)
        info = self.info
        for index, turn in enumerate(turns):
            place = 0 if places is None else places[index]
            if place:
                placed.append(placed[~place] if place < 0 else older[place])
                new[index] = known is not None and known.by_token(turn, place)
                continue
            if info is None:
                info = self._begun(now, at)
                lines.append(self._metadata(info, "begin"))
            stored = replace(turn, id=info.last_id + 1, epoch=info.epoch, generation="")
            line = encode(stored)
            if len(line) > LONGEST_TURN:
                raise too_large(line, f"session {self.key}: ")
            if stored.hidden:
                line = with_marks(line)
            line = b'%b,"at":%d}\n' % (line[:-1], written)  # see `_lines.written_at`
            longest = len(line) + len(MORE)
            if self.since_metadata and self.since_metadata + longest > METADATA_EVERY:
                lines.append(self._metadata(replace(info, updated_at=now), "checkpoint"))
            info = replace(info, last_id=stored.id, turns=info.turns + 1, updated_at=now)
            own.append(len(lines))
            lines.append(line)
            self.since_metadata += longest
            force_setattr(stored, "generation", info.generation)  # nobody else has it yet
            placed.append(stored)
            self.turns.append(stored)
            self.weights.append(len(line))
            self.weight += len(line) + _TURN_OVERHEAD
            if self.known is not None and (stored.source_ids or stored.token):
                self.weight += ENTRY_BYTES * self.known.add(stored)
        for index in own[:-1]:
            lines[index] = with_more(lines[index])
        self.info = info
        if len(self.turns) > 2 * self.keep:
            self._trim()
        data = lines[0] if len(lines) == 1 else b"".join(lines)
        self.size += len(data)
        return Added(placed, new, data)

    def restore(self, record: SessionInfo, turns: Sequence[Turn]) -> bytes:
        """Return the lines of turns that have their ids, and of the record behind them."""
        before = self.info or self._begun(record.created_at)
        info = replace(record, turns=before.turns, last_id=before.last_id)
        if before.epoch < record.epoch:
            self.earlier = before.turns
        lines = [self._metadata(info, "begin")] if self.info is None else []
        written = round(record.updated_at.timestamp() * 1_000_000)
        for turn in turns:
            line = encode_turn(turn)
            line = with_more(b'%b,"at":%d}\n' % (line[:-2], written))
            if self.since_metadata and self.since_metadata + len(line) > METADATA_EVERY:
                lines.append(self._metadata(info, "checkpoint"))
            info = replace(info, last_id=turn.id, turns=info.turns + 1)
            self.earlier += turn.epoch < record.epoch
            self.since_metadata += len(line)
            lines.append(line)
            self._take_up(turn, line)
        self.info = record
        lines.append(self._metadata(record, "restore"))
        if len(self.turns) > 2 * self.keep:
            self._trim()
        data = b"".join(lines)
        self.size += len(data)
        return data

    def _take_up(self, turn: Turn, line: bytes) -> None:
        """Have a turn behind the others, as `add` does, which is called too often to call this."""
        self.turns.append(turn)
        self.weights.append(len(line))
        self.weight += len(line) + _TURN_OVERHEAD
        if self.known is not None and (turn.source_ids or turn.token):
            self.weight += ENTRY_BYTES * self.known.add(turn)

    def edited(
        self,
        there: Sequence[Turn],
        changes: Mapping[int, Turn | None],
        info: SessionInfo,
        earlier: int,
    ) -> None:
        """Take up that turns were changed in the file; `there` is what they were."""
        self.info = info
        self.earlier = earlier
        for before in there:
            if before.id not in changes:
                continue
            after = changes[before.id]
            entries = self.known.entries if self.known is not None else 0
            if self.known is not None and not self.known.replace(before, after):
                self.known = None
            self.weight += ENTRY_BYTES * ((self.known.entries if self.known else 0) - entries)
            at = bisect_left(self.turns, before.id, key=_id)
            if at == len(self.turns) or self.turns[at].id != before.id:
                continue
            self.weight -= self.weights[at] + _TURN_OVERHEAD
            if after is None:
                del self.turns[at], self.weights[at]
            else:
                self.turns[at], self.weights[at] = after, len(encode(after))
                self.weight += self.weights[at] + _TURN_OVERHEAD

    def _stored(self, places: Sequence[int], older: Mapping[int, Turn]) -> Mapping[int, Turn]:
        """Return the turns at these places."""
        found: dict[int, Turn] = {}
        needed: list[int] = []
        for place in places:
            turn = self.turn(place) or older.get(place) if place > 0 else None
            if turn is not None:
                found[place] = turn
            elif place > 0:
                needed.append(place)
        if needed:
            raise TurnsNeededError(needed)
        return found

    def note(self, op: str, **changes: Any) -> bytes:
        """Return a metadata line that changes the record; the session begins if there is none."""
        now = _clock.now()
        info = self.info or self._begun(now)
        self.info = replace(info, updated_at=now, **changes)
        data = self._metadata(self.info, op)
        self.size += len(data)
        return data

    def _begun(self, now: datetime, at: TurnRef | None = None) -> SessionInfo:
        self.complete, self.known = True, Known()
        return replace(begun_info(self.key, now, at), damaged=self.damaged)

    def _metadata(self, info: SessionInfo, op: str) -> bytes:
        self.since_metadata = 0
        return encode_metadata(info, op, earlier=self.earlier)

    def _trim(self) -> None:
        """Keep about as many turns as are asked for, and what tells duplicates of the newest."""
        if len(self.turns) > 2 * self.keep:
            out = len(self.turns) - self.keep - 1
            self.weight -= sum(self.weights[:out]) + _TURN_OVERHEAD * out
            del self.turns[:out], self.weights[:out]
            self.complete = False
        if self.known is not None:
            before = self.known.entries
            self.known.trim(self.info.last_id if self.info else 0)
            self.weight -= ENTRY_BYTES * (before - self.known.entries)
