"""The changes of one session's turns and record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Change, Expected, merge_metadata
from . import _clock, _index
from ._rows import body_of
from ._sessions import Sessions
from ._sql import insert


def edit(
    sessions: Sessions, key: SessionKey, turn_id: int, change: Change, expected: Expected | None
) -> Turn | None:
    """Do what `Storage.edit` does."""
    held = sessions.expected(key, expected)
    turn = sessions.turn(held, turn_id) if held is not None else None
    if held is None or turn is None:
        return None
    changed = change.apply(turn)
    if changed is turn:
        return turn
    part = sessions.part_of(held, turn_id)
    place = part.place(turn_id)
    statement = "UPDATE turns SET body = ? WHERE place = ?"
    sessions.db.execute(statement, (body_of(changed, part), place))
    linked = [(one, place) for one in changed.source_ids if one not in turn.source_ids]
    insert(sessions.db, "REPLACE INTO sources VALUES ", linked)
    before, after = (_index.tokens(sessions.search, one) for one in (turn, changed))
    if before != after:
        insert(sessions.db, _index.DELETE, [("delete", place, before)] if before else [])
        insert(sessions.db, _index.INSERT, [(place, after)] if after else [])
    # A link takes nothing away.
    if not (change.content is msgspec.UNSET and change.extra is msgspec.UNSET):
        sessions.erasing = True
    turns = [changed if one.id == turn_id else one for one in held.turns[: held.end]]
    held = held.changed(held.info, turns)
    sessions.save(held, revision=held.info.revision + 1)
    return changed


def delete(
    sessions: Sessions, key: SessionKey, ids: Sequence[int], expected: Expected | None
) -> list[Turn]:
    """Do what `Storage.delete` does."""
    held = sessions.expected(key, expected)
    if held is None:
        return []
    gone = [turn for one in sorted(set(ids)) if (turn := sessions.turn(held, one)) is not None]
    if gone:
        sessions.remove([(sessions.part_of(held, turn.id), turn) for turn in gone])
        unwanted = {turn.id for turn in gone}
        left = [turn for turn in held.turns[: held.end] if turn.id not in unwanted]
        held = held.changed(held.info, left)
        turns, revision = held.info.turns - len(gone), held.info.revision + 1
        sessions.save(held, turns=turns, revision=revision)
    sessions.erasing = True  # what an earlier call was told of is waited for too
    return gone


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


def update_metadata(
    sessions: Sessions, key: SessionKey, changes: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Do what `Storage.update_metadata` does."""
    held = sessions.get(key)
    metadata = merge_metadata(key, held.info.metadata if held is not None else {}, changes)
    sessions.save(held or sessions.begin(key, _clock.now()), metadata=metadata)
    return metadata
