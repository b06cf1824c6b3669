"""Turns, records and claims, as the scripts give and take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import force_setattr, replace

from ..._errors import StorageError
from ..._records.identity import Origin
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Claim, Expected, SessionInfo

__all__ = [
    "claim_of",
    "encoded",
    "expectation",
    "fields_of",
    "info_of",
    "microseconds",
    "stored",
    "time_of",
    "turn_of",
    "turns_of",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND: Final = timedelta(microseconds=1)

_encode: Final = msgspec.json.Encoder().encode
_decode_turn: Final = msgspec.json.Decoder(Turn).decode
_decode_origins: Final = msgspec.json.Decoder(tuple[Origin, ...]).decode
_decode_mapping: Final = msgspec.json.Decoder(dict[str, Any]).decode


class _StoredClaim(NamedTuple):
    owner: str
    expires: str
    taken_over: int
    payload: str


_decode_claim: Final = msgspec.json.Decoder(_StoredClaim).decode


def time_of(text: bytes) -> datetime:
    """Return the time of microseconds since 1970."""
    return _EPOCH + int(text) * _MICROSECOND


def microseconds(time: datetime) -> int:
    """Return the microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def expectation(expected: Expected | None) -> tuple[str, str, str, str]:
    """Return the four arguments of a script that compares a session."""
    if expected is None:
        return ("", "", "", "")
    epoch, revision, turn = (
        "" if one is None else str(one)
        for one in (expected.epoch, expected.revision, expected.turn)
    )
    return f"={expected.generation}", epoch, revision, turn


def encoded(turn: Turn) -> bytes:
    """Return a turn's JSON without the id, epoch and generation, which its session gives it."""
    if turn.id or turn.epoch != 1 or turn.generation:
        turn = replace(turn, id=0, epoch=1, generation="")
    return _encode(turn)


def stored(turn: Turn) -> bytes:
    """Return a turn's JSON as it is stored: its id and epoch come first."""
    return b'{"id":%d,"epoch":%d,%b' % (turn.id, turn.epoch, encoded(turn)[1:])


def turn_of(text: bytes, generation: str) -> Turn | None:
    """Return a stored turn, or None if it can't be read."""
    try:
        turn = _decode_turn(text)
    except msgspec.DecodeError:
        return None
    # Nobody else has it yet.
    force_setattr(turn, "generation", generation)
    return turn


def turns_of(texts: Iterable[bytes], generation: str) -> list[Turn]:
    """Return the stored turns that can be read."""
    return [turn for text in texts if (turn := turn_of(text, generation)) is not None]


def info_of(key: str, record: Sequence[bytes | None]) -> SessionInfo:
    """Return a session's record. Raises `StorageError` if it can't be read."""
    try:
        return _info(key, record)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, ValueError, OverflowError) as error:
        raise StorageError(
            f"session {key}: its record can't be read; it was changed by something else. "
            "Restore the server's backup, or forget the session"
        ) from error


def _info(key: str, record: Sequence[Any]) -> SessionInfo:
    (
        generation,
        epoch,
        revision,
        turns,
        last_id,
        created,
        updated,
        consolidated,
        summary,
        damaged,
        origins,
        metadata,
    ) = record
    return SessionInfo(
        key=SessionKey.parse(key),
        created_at=time_of(created),
        updated_at=time_of(updated),
        metadata={} if metadata == b"{}" else _decode_mapping(metadata),
        turns=int(turns),
        last_id=int(last_id),
        epoch=int(epoch),
        last_consolidated=int(consolidated),
        summary=None if summary is None else summary.decode(),
        generation=generation.decode(),
        revision=int(revision),
        damaged=int(damaged),
        origins=() if origins == b"[]" else _decode_origins(origins),
    )


def fields_of(info: SessionInfo) -> list[str | bytes]:
    """Return the fields of a record and their values, without the time of its last change."""
    fields: Mapping[str, str | int | bytes | None] = {
        "generation": info.generation,
        "epoch": info.epoch,
        "revision": info.revision,
        "turns": info.turns,
        "last_id": info.last_id,
        "created": microseconds(info.created_at),
        "consolidated": info.last_consolidated,
        "summary": info.summary,
        "damaged": info.damaged,
        "origins": _encode(info.origins),
        "metadata": _encode(info.metadata),
    }
    pairs = ((name, value) for name, value in fields.items() if value is not None)
    return [part if isinstance(part, bytes) else str(part) for pair in pairs for part in pair]


def claim_of(key: SessionKey, name: bytes, text: bytes) -> Claim:
    """Return a claim as its session's hash holds it."""
    owner, expires, taken_over, payload = _decode_claim(text)
    return Claim(
        key=key,
        name=name.decode(),
        owner=owner,
        expires_at=time_of(expires.encode()),
        payload=_decode_mapping(payload),
        taken_over=bool(taken_over),
    )
