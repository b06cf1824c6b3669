"""The changes of one session, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..._records.identity import Expected, TurnRef
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Appended, Change, SessionInfo
from ..rules import applied, have_duplicates, merge_metadata, placed, restored
from ._rows import as_turn, by_names
from ._sessions import Sessions

__all__ = ["append", "change", "clear", "consolidate", "restore", "set_aside", "update_metadata"]


_RECORD: Final = (
    *("created_at", "updated_at", "metadata", "turns", "last_id", "epoch"),
    *("last_consolidated", "summary", "revision", "damaged", "origins"),
)
"""The fields of a record that `restore` stores."""


def append(
    held: Sessions,
    key: SessionKey,
    turns: Sequence[Turn],
    expected: Expected | None,
    *,
    dedupe: bool,
    at: TurnRef | None,
) -> Appended | None:
    """Append turns of which some may be known."""
    session = held.get(key, expected)
    refused = expected is not None and session is None
    if session is None:
        # Where nothing may be stored, no session begins.
        misplaced = at is not None and (at.id != 1 or (dedupe and have_duplicates(turns)))
        begins = not (refused or misplaced) and bool(turns)
        session = held.get_or_begin(key, at) if begins else held.get(key)
    if session is None:
        return None if refused or turns else Appended([], [])
    info, new = session.info, list[Turn]()
    known = held.named(session, turns, sources=dedupe)

    def put(turn: Turn) -> None:
        new.append(turn)
        known.update(by_names(turn))

    found = placed(
        info,
        turns,
        named=lambda kind, name: known.get((kind, name)),
        put=put,
        refused=refused,
        dedupe=dedupe,
        at=at,
    )
    if found is None:
        return None
    done, added = found
    if added:
        held.add(session, new)
        held.save(session, turns=info.turns + added, last_id=info.last_id + added)
    return done._replace(info=session.info)


def restore(held: Sessions, info: SessionInfo, turns: Sequence[Turn]) -> bool:
    """Store turns as they are, and the record."""
    key = info.key
    there = held.get(key)
    done = restored(there.info if there else None, info, turns)
    if done is None or held.resolve(key) != key:
        return False
    record, added = done
    session = there or held.get_or_begin(key, TurnRef(info.generation, 1))
    held.add(session, added)
    held.save(session, **{name: getattr(record, name) for name in _RECORD})
    return True


def change(
    held: Sessions,
    key: SessionKey,
    changes: Mapping[int, Change | None],
    expected: Expected | None,
) -> list[Turn]:
    """Edit and delete turns, in a few statements for all of them."""
    session = held.get(key, expected)
    if session is None or not changes:
        return []
    # A row that says another id than its own is none of those that were asked for.
    there = [one for one in held.turns(session, changes) if one.turn.id in changes]
    done, differing = applied((one.turn for one in there), changes)
    gone = [one for one in there if differing.get(one.turn.id, one) is None]
    edited = [(one, after) for one in there if (after := differing.get(one.turn.id)) is not None]
    if gone:
        held.remove(gone)
    if edited:
        held.rewrite(edited)
    if differing:
        info = session.info
        held.save(session, turns=info.turns - len(gone), revision=info.revision + 1)
    return done


def clear(held: Sessions, key: SessionKey, expected: Expected | None, *, erase: bool) -> bool:
    """Begin a new epoch."""
    session = held.get(key, expected)
    if session is None:
        return False
    info = session.info
    gone = held.erase(session) if erase else 0
    held.save(
        session,
        turns=0 if erase else info.turns,
        revision=info.revision + bool(gone),
        epoch=info.epoch + 1,
        summary=None,
    )
    return True


def consolidate(
    held: Sessions, key: SessionKey, last_consolidated: int, summary: str, expected: Expected
) -> bool:
    """Set the summary."""
    session = held.get(key, expected)
    reached = min(last_consolidated, session.info.last_id) if session else 0
    if session is None or reached <= session.info.last_consolidated:
        return False
    held.save(session, last_consolidated=reached, summary=summary)
    return True


def update_metadata(
    held: Sessions, key: SessionKey, changes: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Merge changes into the metadata."""
    session = held.get_or_begin(key)
    metadata = merge_metadata(key, session.info.metadata, changes)
    held.save(session, metadata=metadata)
    return metadata


def set_aside(held: Sessions, key: SessionKey) -> None:
    """Move the turns of a session that can't be read out of the way, and count them."""
    session = held.get(key)
    if session is None:
        return
    bad = [
        (life, turn_id)
        for life, turn_id, body in held.rows(
            "SELECT t.life, t.id, t.body FROM turnkeep.part p "
            "JOIN turnkeep.turn t ON t.life = p.life WHERE p.sid = %s",
            session.sid,
        )
        if as_turn(body) is None
    ]
    for place in bad:
        held.run(
            "WITH gone AS (DELETE FROM turnkeep.turn WHERE (life, id) = (%s, %s) RETURNING *) "
            "INSERT INTO turnkeep.damaged_turn SELECT * FROM gone",
            *place,
        )
    held.run(
        "UPDATE turnkeep.session SET damaged = damaged + %s WHERE sid = %s", len(bad), session.sid
    )
