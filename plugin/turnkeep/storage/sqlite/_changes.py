"""The changes of one session's turns and record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Change, Expected, SessionInfo
from ..rules import applied, merge_metadata, restored
from . import _clock
from ._rows import Part
from ._sessions import Sessions


def change(
    sessions: Sessions,
    key: SessionKey,
    changes: Mapping[int, Change | None],
    expected: Expected | None,
) -> list[Turn]:
    """Do what `Storage.change` does, in a few statements of many rows."""
    held = sessions.expected(key, expected)
    if held is None:
        return []
    stored = [turn for one in sorted(changes) if (turn := sessions.turn(held, one)) is not None]
    there, differing = applied(stored, changes)
    # What an earlier call was told of is waited for too.
    sessions.erasing = (
        sessions.erasing
        or None in changes.values()
        or any(not change.is_link for turn in stored if (change := changes[turn.id]) is not None)
    )
    if differing:
        gone: list[tuple[Part, Turn]] = []
        edited: list[tuple[Part, Turn, Turn]] = []
        for turn in stored:
            if turn.id in differing:
                part, after = sessions.part_of(held, turn.id), differing[turn.id]
                if after is None:
                    gone.append((part, turn))
                else:
                    edited.append((part, turn, after))
        sessions.remove(gone)
        sessions.replace(edited)
        kept = [differing.get(turn.id, turn) for turn in held.turns[: held.end]]
        held = held.changed(held.info, [turn for turn in kept if turn is not None])
        turns, revision = held.info.turns - len(gone), held.info.revision + 1
        sessions.save(held, turns=turns, revision=revision)
    return there


def clear(sessions: Sessions, key: SessionKey, erase: bool, expected: Expected | None) -> bool:
    """Do what `Storage.clear` does; the turns of a long session are erased in steps."""
    held = sessions.expected(key, expected)
    if held is None:
        return False
    info = held.info
    gone = erase and bool(info.turns)
    if erase:
        sessions.give_up(held.parts)
        held = msgspec.structs.replace(
            held, parts=(sessions.new_part(held.row),), turns=[], end=0, after=0
        )
    sessions.save(
        held,
        turns=0 if erase else info.turns,
        revision=info.revision + gone,
        epoch=info.epoch + 1,
        summary=None,
    )
    return True


def consolidate(
    sessions: Sessions, key: SessionKey, last_consolidated: int, summary: str, expected: Expected
) -> bool:
    """Do what `Storage.consolidate` does."""
    held = sessions.expected(key, expected)
    if held is None:
        return False
    reached = min(last_consolidated, held.info.last_id)
    if reached <= held.info.last_consolidated:
        return False
    sessions.save(held, last_consolidated=reached, summary=summary)
    return True


def restore(sessions: Sessions, info: SessionInfo, turns: Sequence[Turn]) -> bool:
    """Do what `Storage.restore` does."""
    held = sessions.get(info.key)
    done = restored(held.info if held else None, info, turns)
    if done is None or sessions.resolve(info.key) != info.key:
        return False
    record, added = done
    held = held or sessions.begin(info.key, sessions.begun(info.key, info.created_at))
    sessions.add([(held.parts[-1], turn) for turn in added])
    sessions.put(held.appended(record, added))
    # What the record said before is gone when this returns.
    sessions.erasing = sessions.erasing or held.info.summary is not None
    return True


def update_metadata(
    sessions: Sessions, key: SessionKey, changes: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Do what `Storage.update_metadata` does."""
    held = sessions.get(key)
    metadata = merge_metadata(key, held.info.metadata if held is not None else {}, changes)
    held = held or sessions.begin(key, sessions.begun(key, _clock.now()))
    sessions.save(held, metadata=metadata)
    return metadata
