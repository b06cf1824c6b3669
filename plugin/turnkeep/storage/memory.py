"""Sessions in a dict: for tests and throw-away bots. Nothing survives the process.

It is also the plain model that other storages are compared with, so it is written to be
obviously right: a list of turns per session, looked through from its end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from operator import attrgetter
from typing import Any, Final

import msgspec
from anyio.lowlevel import cancel_shielded_checkpoint

from .._records.key import SessionKey
from .._records.turn import Turn
from .base import (
    DEDUPE_TURNS,
    Appended,
    Change,
    EpochId,
    SessionInfo,
    Snapshot,
    dedupe_index,
    merge_metadata,
    merged_info,
    shifted,
)

__all__ = ["MemoryStorage"]

replace: Final = msgspec.structs.replace
_id: Final = attrgetter("id")


@dataclass
class _Session:
    info: SessionInfo
    turns: list[Turn] = field(default_factory=list)

    def touch(self, **changes: Any) -> None:
        now = datetime.now(timezone.utc)
        self.info = replace(self.info, updated_at=now, turns=len(self.turns), **changes)


class MemoryStorage:
    """Keeps sessions in this object, across `aclose` and `open`, and nowhere else."""

    def __init__(self) -> None:
        self._sessions: dict[SessionKey, _Session] = {}
        self._aliases: dict[SessionKey, SessionKey] = {}

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    def _get(self, key: SessionKey) -> _Session | None:
        return self._sessions.get(self._aliases.get(key, key))

    def _get_or_begin(self, key: SessionKey) -> _Session:
        key = self._aliases.get(key, key)
        if key not in self._sessions:
            now = datetime.now(timezone.utc)
            self._sessions[key] = _Session(SessionInfo(key=key, created_at=now, updated_at=now))
        return self._sessions[key]

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        *,
        epoch: EpochId | None = None,
        dedupe: bool = True,
    ) -> Appended | None:
        there = self._get(key)
        if epoch is not None and (there is None or there.info.epoch_id != epoch):
            return None
        if not turns:
            return Appended([], [])
        session = there or self._get_or_begin(key)
        named = dedupe and any(turn.source_ids for turn in turns)
        known = dedupe_index(session.turns[-DEDUPE_TURNS:]) if named else {}
        result = Appended([], [])
        last_id = session.info.last_id
        for turn in turns:
            found = next((known[source] for source in turn.source_ids if source in known), None)
            if found is None:
                last_id += 1
                found = replace(turn, id=last_id, epoch=session.info.epoch)
                session.turns.append(found)
                result.new.append(True)
                if dedupe:
                    known.update(dict.fromkeys(found.source_ids, found))
            else:
                result.new.append(False)
            result.turns.append(found)
        if any(result.new):
            session.touch(last_id=last_id)
        # What never yields starves the loop: a busy bot's other tasks are to have their turn.
        await cancel_shielded_checkpoint()
        return result

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
        end = len(turns) if before is None else bisect_left(turns, before, key=_id)
        turns = turns[bisect_right(turns, after, 0, end, key=_id) if after else 0 : end]
        if limit is not None and len(turns) > limit:
            turns = turns[len(turns) - limit :] if newest else turns[:limit]
        return Snapshot(session.info, turns)

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        session = self._get(key)
        turns = reversed(session.turns) if session else ()
        return next((turn for turn in turns if source_id in turn.source_ids), None)

    async def edit(self, key: SessionKey, turn_id: int, change: Change) -> Turn | None:
        session = self._get(key)
        for index, turn in enumerate(session.turns if session else ()):
            if session and turn.id == turn_id:
                changed = change.apply(turn)
                if changed != turn:
                    session.turns[index] = changed
                    session.touch()
                return changed
        return None

    async def delete(self, key: SessionKey, ids: Sequence[int]) -> list[Turn]:
        session = self._get(key)
        if session is None:
            return []
        gone = [turn for turn in session.turns if turn.id in ids]
        if gone:
            session.turns = [turn for turn in session.turns if turn.id not in ids]
            session.touch()
        return gone

    async def clear(self, key: SessionKey, *, erase: bool = False) -> None:
        session = self._get(key)
        if session is None:
            return
        if erase:
            session.turns = []
        session.touch(epoch=session.info.epoch + 1, summary=None)

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, epoch: EpochId
    ) -> bool:
        session = self._get(key)
        if session is None or session.info.epoch_id != epoch:
            return False
        reached = min(last_consolidated, session.info.last_id)
        if reached <= session.info.last_consolidated:
            return False
        session.touch(last_consolidated=reached, summary=summary)
        return True

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        there = self._get(key)
        merged = merge_metadata(key, there.info.metadata if there else {}, changes)
        self._get_or_begin(key).touch(metadata=merged)
        return merged

    async def sessions(
        self, *, prefix: str = "", limit: int | None = None, after: SessionInfo | None = None
    ) -> list[SessionInfo]:
        def place(info: SessionInfo) -> tuple[float, str]:
            return -info.updated_at.timestamp(), info.key.text

        infos = sorted((session.info for session in self._sessions.values()), key=place)
        return [
            info
            for info in infos
            if info.key.text.startswith(prefix) and (after is None or place(info) > place(after))
        ][:limit]

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        old, new = self._aliases.get(old, old), self._aliases.get(new, new)
        if old == new:
            return
        moved = self._sessions.pop(old, None)
        for alias, target in self._aliases.items():
            if target == old:
                self._aliases[alias] = new
        self._aliases[old] = new
        if moved is None:
            return
        there = self._sessions.pop(new, None)
        self._sessions[new] = merged = _Session(replace(moved.info, key=new), moved.turns)
        if there is not None:
            ids, epochs = moved.info.last_id, moved.info.epoch
            merged.turns = moved.turns + [shifted(turn, ids, epochs) for turn in there.turns]
            merged.info = merged_info(moved.info, there.info)
        merged.touch()

    async def forget(self, key: SessionKey) -> bool:
        target = self._aliases.pop(key, key)
        return self._sessions.pop(target, None) is not None
