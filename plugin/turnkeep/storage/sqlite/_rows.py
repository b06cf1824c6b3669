"""Rows and records, each made of the other."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

import msgspec

from ..._errors import StorageError
from ..._records.identity import Origin
from ..._records.info import SessionInfo
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..rules import shifted

ID_BITS: Final = 32
LAST_ID: Final = (1 << ID_BITS) - 1

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND: Final = timedelta(microseconds=1)

_decode_turn: Final = msgspec.json.Decoder(Turn).decode
_decode_metadata: Final = msgspec.json.Decoder(dict[str, Any]).decode
_decode_origins: Final = msgspec.json.Decoder(tuple[Origin, ...]).decode
_encode: Final = msgspec.json.Encoder().encode
_set: Final = msgspec.structs.force_setattr
replace: Final = msgspec.structs.replace

COLUMNS: Final = (
    "id, key, created, updated, turns, last_id, epoch, last_consolidated, summary, generation, "
    "revision, metadata, origins"
)
READABLE: Final = (
    "typeof(created) = 'integer' AND typeof(updated) = 'integer' AND typeof(turns) = 'integer' "
    "AND typeof(last_id) = 'integer' AND typeof(epoch) = 'integer' "
    "AND typeof(last_consolidated) = 'integer' AND typeof(revision) = 'integer' "
    "AND typeof(generation) = 'text' AND typeof(summary) IN ('text', 'null') "
    "AND (metadata IS NULL OR typeof(metadata) = 'text' AND json_valid(metadata)) "
    "AND (origins IS NULL OR typeof(origins) = 'text' AND json_valid(origins))"
)
"""SQLite's condition that a session's row is readable."""

BODIES: Final = "CAST(group_concat(place || ' ' || epoch || ' ' || body, x'0a') AS BLOB)"
"""All rows in one, since each row that SQLite gives waits for the interpreter's lock."""


class Part(NamedTuple):
    """Turns of one session before any merge; see the table `parts`."""

    part: int
    ids: int
    epochs: int

    def place(self, turn_id: int) -> int:
        """Return the place of a turn by the id that it has in the session now."""
        return (self.part << ID_BITS) + turn_id - self.ids

    @property
    def first(self) -> int:
        """The lowest place that a turn of this part can have, less one."""
        return self.part << ID_BITS

    @property
    def last(self) -> int:
        """The highest place that a turn of this part can have."""
        return self.part << ID_BITS | LAST_ID


class Row(NamedTuple):
    """A turn as it was read; `turn` is None if it is unreadable."""

    place: int
    turn: Turn | None


def micros(time: datetime) -> int:
    """Return a time in microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def moment(count: int) -> datetime:
    """Return the time that is so many microseconds after 1970."""
    return _EPOCH + count * _MICROSECOND


def info_of(row: tuple[Any, ...], damaged: int = 0) -> SessionInfo:
    """Return the record of a row of `COLUMNS`. Raises `StorageError` if it is unreadable."""
    try:
        _check_types(row)
        summary, generation, revision, metadata, origins = row[8:]
        return SessionInfo(
            key=SessionKey.parse(row[1]),
            created_at=moment(row[2]),
            updated_at=moment(row[3]),
            turns=row[4],
            last_id=row[5],
            epoch=row[6],
            last_consolidated=row[7],
            summary=summary,
            generation=generation,
            revision=revision,
            metadata={} if metadata is None else _decode_metadata(metadata),
            origins=() if origins is None else _decode_origins(origins),
            damaged=damaged,
        )
    except (ValueError, TypeError, OverflowError, msgspec.MsgspecError, RecursionError) as error:
        raise StorageError(
            f"session {row[1]}: its row in the table 'sessions' is unreadable ({error}); mend it, "
            "or forget the session"
        ) from error


def _check_types(row: tuple[Any, ...]) -> None:
    """Raise `TypeError` for a value of another type: SQLite takes any in any column."""
    counts, summary, generation = (*row[2:8], row[10]), row[8], row[9]
    if not all(type(one) is int for one in counts):
        raise TypeError("a time or a count is no whole number")
    if type(generation) is not str or not (summary is None or type(summary) is str):
        raise TypeError("its generation or its summary is no text")


def row_of(info: SessionInfo) -> tuple[Any, ...]:
    """Return the values of `COLUMNS` but the first."""
    return (
        info.key.text,
        micros(info.created_at),
        micros(info.updated_at),
        info.turns,
        info.last_id,
        info.epoch,
        info.last_consolidated,
        info.summary,
        info.generation,
        info.revision,
        _encode(info.metadata).decode() if info.metadata else None,
        _encode(info.origins).decode() if info.origins else None,
    )


def body_of(turn: Turn, part: Part) -> str:
    """Return the JSON of a turn that is stored in this part."""
    if part.ids:
        turn = shifted(turn, -part.ids, 0, "")
    if turn.id or turn.epoch != 1 or turn.generation:
        turn = replace(turn, id=0, epoch=1, generation="")
    return _encode(turn).decode()


def decoded(rows: bytes | None) -> list[Row]:
    """Return the turns of `BODIES`, as they are within their part."""
    found: list[Row] = []
    for line in rows.split(b"\n") if rows else ():
        place, _, rest = line.partition(b" ")
        epoch, _, body = rest.partition(b" ")
        # A damaged body may hold a line feed: what follows it is no row.
        if place.isdigit() and epoch.lstrip(b"-").isdigit():
            found.append(Row(int(place), _turn(int(place), int(epoch), body)))
    return found


def _turn(place: int, epoch: int, body: bytes) -> Turn | None:
    try:
        turn = _decode_turn(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if turn.time.tzinfo is None:
        return None
    # Nobody else has it yet.
    _set(turn, "id", place & LAST_ID)
    _set(turn, "epoch", epoch)
    return turn


def of_session(turn: Turn, part: Part, generation: str) -> Turn:
    """Return a turn that was just decoded, as its session has it now."""
    if part.ids or part.epochs:
        return shifted(turn, part.ids, part.epochs, generation)
    _set(turn, "generation", generation)
    return turn


def part_of(place: int, parts: Iterable[Part]) -> Part | None:
    """Return the part that a place is in, or None if it is in none of these."""
    return next((part for part in parts if part.part == place >> ID_BITS), None)
