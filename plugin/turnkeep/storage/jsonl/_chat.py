"""What is known of one session while it is in use, and the lines that a change adds.

Everything here runs on the event loop without an await, so that a session's ids are given in
the order in which its appends first ran. Reading and writing are the storage's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime, timezone
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import DEDUPE_TURNS, SessionInfo
from ._files import Place
from ._lines import METADATA_EVERY, MORE, encode_metadata, encode_turn, with_more
from ._nanobot import Foreign
from ._read import Tail
from ._writer import Batch

replace: Final = msgspec.structs.replace

KEEP_TURNS: Final = 64
_id: Final = attrgetter("id")
_TURN_OVERHEAD: Final = 350
_SOURCE_OVERHEAD: Final = 200
_CHAT_OVERHEAD: Final = 4000


class Chat:
    """One session: its record, its newest turns, and where its file ends."""

    __slots__ = (
        "at_hand",
        "batch",
        "complete",
        "damaged",
        "foreign",
        "info",
        "inode",
        "keep",
        "key",
        "loaded",
        "lock",
        "path",
        "since_metadata",
        "size",
        "sources",
        "turns",
        "unmended",
        "users",
        "version",
        "weighed",
        "weight",
        "weights",
    )

    def __init__(self, key: SessionKey, path: Path) -> None:
        self.key = key
        self.path = path
        self.lock = anyio.Lock(fast_acquire=True)
        """Taken for all that can't be done without waiting; first come, first served."""
        self.users = 0
        self.keep = KEEP_TURNS
        self.batch: Batch | None = None
        self.version = 0
        """Names what was read; lines are written only onto the file as it was read."""
        self.weighed = 0
        self.drop()

    def drop(self) -> None:
        """Forgets what was read."""
        self.loaded = False
        self.at_hand = False
        """Read, and the next line can be added to its file."""
        self.info: SessionInfo | None = None
        self.turns: list[Turn] = []
        self.weights: list[int] = []
        self.weight = _CHAT_OVERHEAD
        self.complete = False
        self.sources: dict[str, int] | None = None
        self.size = 0
        self.inode = 0
        self.damaged = 0
        self.unmended = False
        self.since_metadata = 0
        self.foreign: Foreign | None = None
        """The nanobot file that this session is read from, whole, until its first write."""

    def fill(self, found: Tail | Foreign | None, version: int) -> None:
        """Takes what was read of the session; replaces all that was known."""
        self.drop()
        self.loaded = True
        self.version = version
        if found is None:
            self.complete, self.sources, self.at_hand = True, {}, True
            return
        self.info = found.info
        self.turns = found.turns
        if isinstance(found, Foreign):
            self.foreign = found
            self.complete = True
            self.weights = [_TURN_OVERHEAD] * len(found.turns)
        else:
            self.weights = found.weights
            self.complete = found.complete
            self.size = found.size
            self.inode = found.inode
            self.damaged = found.met
            self.unmended = found.unmended
            self.since_metadata = found.since_metadata
        self.weight += sum(self.weights) + _TURN_OVERHEAD * len(self.turns)
        if self.info is not None:
            self.weight += len(encode_metadata(self.info, ""))
        if self.complete or len(self.turns) >= DEDUPE_TURNS:
            self.sources = {source: turn.id for turn in self.turns for source in turn.source_ids}
            self.weight += _SOURCE_OVERHEAD * len(self.sources)
        self.at_hand = self.foreign is None and not self.unmended
        if self.foreign is None:
            self._trim()

    @property
    def place(self) -> Place:
        """The file as it was read; what was appended since is of this process."""
        return Place(self.path, self.size, self.inode)

    def has(self, turns: int, sources: bool) -> bool:
        """Whether so many of the newest turns are here, and the source ids if asked for."""
        return (
            self.loaded
            and (self.complete or len(self.turns) >= turns)
            and (self.sources is not None or not sources)
        )

    def select(
        self, after: int, before: int | None, limit: int | None, newest: bool
    ) -> Sequence[Turn] | None:
        """What `Storage.read` is to give, if it is all here; else None."""
        turns = self.turns
        end = len(turns) if before is None else bisect_left(turns, before, key=_id)
        start = bisect_right(turns, after, 0, end, key=_id) if after else 0
        if limit is not None and newest and end - start >= limit:
            return turns[end - limit : end]
        if not (self.complete or (turns and turns[0].id <= after + 1)):
            return None
        return turns[start:end] if limit is None else turns[start : min(end, start + limit)]

    def add(self, turns: Sequence[Turn], dedupe: bool) -> tuple[list[Turn | int], bytes]:
        """Gives the turns their ids; returns each, or the id of the one there was, and lines.

        With `dedupe` the source ids of the newest turns are known: see `fill`.
        """
        known: dict[str, int] = {} if self.sources is None else self.sources
        placed: list[Turn | int] = []
        lines: list[bytes] = []
        own: list[int] = []  # which of the lines are turns
        now = datetime.now(timezone.utc)
        info = self.info
        for turn in turns:
            if dedupe and turn.source_ids:
                there = None
                for source in turn.source_ids:
                    there = known.get(source)
                    if there is not None:
                        break
                if there is not None:
                    placed.append(there)
                    continue
            if info is None:
                info = self._begun(now)
                self.complete, self.sources = True, known
                lines.append(self._metadata(info, "begin"))
            turn = replace(turn, id=info.last_id + 1, epoch=info.epoch)
            line = encode_turn(turn)
            longest = len(line) + len(MORE)
            if self.since_metadata and self.since_metadata + longest > METADATA_EVERY:
                lines.append(self._metadata(replace(info, updated_at=now), "checkpoint"))
            info = replace(info, last_id=turn.id, turns=info.turns + 1, updated_at=now)
            own.append(len(lines))
            lines.append(line)
            self.since_metadata += longest
            placed.append(turn)
            self._remember(turn, len(line))
        for index in own[:-1]:
            lines[index] = with_more(lines[index])
        self.info = info
        self._trim()
        data = lines[0] if len(lines) == 1 else b"".join(lines)
        self.size += len(data)
        return placed, data

    def note(self, op: str, **changes: Any) -> bytes:
        """A metadata line that changes the record; the session begins if there is none."""
        now = datetime.now(timezone.utc)
        info = self.info or self._begun(now)
        if self.info is None:
            self.complete, self.sources = True, {}
        self.info = replace(info, updated_at=now, **changes)
        data = self._metadata(self.info, op)
        self.size += len(data)
        return data

    def _begun(self, now: datetime) -> SessionInfo:
        return SessionInfo(key=self.key, created_at=now, updated_at=now, damaged=self.damaged)

    def _metadata(self, info: SessionInfo, op: str) -> bytes:
        self.since_metadata = 0
        return encode_metadata(info, op)

    def _remember(self, turn: Turn, weight: int) -> None:
        self.turns.append(turn)
        self.weights.append(weight)
        self.weight += weight + _TURN_OVERHEAD
        if self.sources is not None:
            for source in turn.source_ids:
                self.sources[source] = turn.id
                self.weight += _SOURCE_OVERHEAD

    def _trim(self) -> None:
        """Keeps about as many turns as are asked for, and the source ids of the newest."""
        if len(self.turns) > 2 * self.keep:
            out = len(self.turns) - self.keep
            self.weight -= sum(self.weights[:out]) + _TURN_OVERHEAD * out
            del self.turns[:out], self.weights[:out]
            self.complete = False
        if self.sources is not None and len(self.sources) > 4 * DEDUPE_TURNS:
            floor = (self.info.last_id if self.info else 0) - 2 * DEDUPE_TURNS
            kept = {source: id for source, id in self.sources.items() if id > floor}
            self.weight -= _SOURCE_OVERHEAD * (len(self.sources) - len(kept))
            self.sources = kept
