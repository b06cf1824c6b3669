"""nanobot's messages as turns, and what differs from one save to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from .._records.info import SessionInfo
from .._records.turn import Turn
from .._store import Session
from ._conversation import made_turn

__all__ = ["STATE", "Written", "differing", "in_order", "is_hidden", "row_of", "turn_of"]

Row = dict[str, Any]
STATE: Final = "nanobot_state"
"""The key, in `extra`, of a hidden turn that holds metadata over the limit."""

_SHAPE: Final = "nanobot"
_BEFORE: Final = "nanobot_before"
"""The key, in `extra`, of the id of the turn that a later message was put in front of."""

_FIELDS: Final = ("role", "content", "name", "tool_calls", "tool_call_id", "sender_id")
_MARKS: Final = ("_command", "_hidden_history")
_ROLES: Final = ("system", "user", "assistant", "tool")


class Written(NamedTuple):
    """A session as it is stored: its record, its messages with their ids, and its state."""

    info: SessionInfo
    rows: list[tuple[Row, int]]
    state: Row
    beside: int | None = None
    """The id of the turn that holds the state, if it is too large for the metadata."""

    def is_now(self, info: SessionInfo) -> bool:
        """Return True if the turns are still those of this record."""
        return (info.generation, info.epoch, info.revision, info.last_id) == (
            self.info.generation,
            self.info.epoch,
            self.info.revision,
            self.info.last_id,
        )


def is_hidden(row: Mapping[str, Any]) -> bool:
    """Return True for a message that nanobot does not show."""
    return any(row.get(mark) for mark in _MARKS)


def turn_of(session: Session, row: Row, before: int | None = None) -> Turn:
    """Return the turn that holds a message."""
    role = row.get("role")
    role = role if role in _ROLES else "user"
    extra = {name: value for name, value in row.items() if name not in _FIELDS}
    if before is not None:
        extra[_BEFORE] = before
    fields: Row = {
        "extra": extra,
        "hidden": is_hidden(row) or role != row.get("role"),
        "name": row.get("name") or None,
        "sender": row.get("sender_id") or None,
        "tool_calls": (row.get("tool_calls") or None) if role == "assistant" else None,
    }
    if role == "tool":
        fields["tool_call_id"] = row.get("tool_call_id") or ""
    if (time := _time(row.get("timestamp"))) is not None:
        fields["time"] = time
    content = row.get("content")
    whole = {"shape": _SHAPE, "items": [{"item": row}]}
    if content is None and not fields["tool_calls"]:
        return made_turn(session, role, None, **fields, **whole)
    turn = made_turn(session, role, content, **fields)
    return turn if row_of(turn) == row else made_turn(session, role, content, **fields, **whole)


def row_of(turn: Turn) -> Row:
    """Return a turn as nanobot's message."""
    if turn.shape == _SHAPE and turn.items:
        return {**turn.items[0]["item"]}
    row: Row = {"role": turn.role, "content": turn.content, **turn.extra}
    row.pop(_BEFORE, None)
    row.setdefault("timestamp", turn.time.astimezone().replace(tzinfo=None).isoformat())
    if turn.hidden and not is_hidden(row):
        row |= dict.fromkeys(_MARKS, True)
    optional = {
        "name": turn.name,
        "tool_calls": turn.tool_calls,
        "tool_call_id": turn.tool_call_id,
        "sender_id": turn.sender and turn.sender.id,
    }
    return row | {name: value for name, value in optional.items() if value is not None}


def in_order(turns: Iterable[Turn]) -> list[tuple[Row, int]]:
    """Return the messages of turns in nanobot's order, each with its turn's id."""
    found: list[tuple[Row, int]] = []
    for turn in turns:
        if STATE in turn.extra:
            continue
        before = turn.extra.get(_BEFORE)
        place = next((n for n, (_, id) in enumerate(found) if id == before), len(found))
        found.insert(place, (row_of(turn), turn.id))
    return found


def differing(old: Sequence[Row], new: Sequence[Row]) -> tuple[int, int]:
    """Return how many messages are the same at the beginning, and behind that at the end."""
    most = min(len(old), len(new))
    first = next((n for n in range(most) if old[n] != new[n]), most)
    most -= first
    last = next((n for n in range(most) if old[-1 - n] != new[-1 - n]), most)
    return first, last


def _time(value: object) -> datetime | None:
    """Read a naive local time in ISO format, as nanobot writes it."""
    try:
        return datetime.fromisoformat(str(value)).astimezone()
    except (ValueError, OverflowError):
        return None
