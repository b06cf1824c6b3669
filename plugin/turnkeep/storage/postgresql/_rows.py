"""Rows and parameters: what the server's functions take and give."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ..._errors import InvalidKeyError, StorageError
from ..._records.identity import Origin
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Claim, SessionInfo
from ..rules import shifted
from ..words import words

__all__ = [
    "LONGEST_WORD",
    "RECORD",
    "Named",
    "array",
    "as_claim",
    "as_info",
    "as_turn",
    "body_of",
    "by_names",
    "hashed",
    "names_of",
    "numbers",
    "placed",
    "spoken",
    "time_of",
]

RECORD: Final = (
    "s.key, turnkeep.micros(s.created_at), turnkeep.micros(s.updated_at), s.metadata::text, "
    "s.turns, s.last_id, s.epoch, s.last_consolidated, s.summary, s.generation, s.revision, "
    "s.damaged, s.origins::text"
)
"""The columns of a record, in the order of `as_info`."""

Named: TypeAlias = dict[tuple[Literal["token", "source"], str], Turn]
"""Turns by what an append finds them by."""

logger: Final = logging.getLogger("turnkeep")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND: Final = timedelta(microseconds=1)
LONGEST_WORD: Final = 500
"""Characters: a lexeme takes 2,046 bytes. Longer words are compared again on this side."""
_MOST_WORDS: Final = 900_000
"""Bytes: a tsvector takes a megabyte."""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Turn).decode
_decode_metadata: Final = msgspec.json.Decoder(dict[str, Any]).decode
_decode_origins: Final = msgspec.json.Decoder(tuple[Origin, ...]).decode


def time_of(micros: int) -> datetime:
    """Return the time that the server's function `micros` gave."""
    return _EPOCH + micros * _MICROSECOND


def as_info(row: Sequence[Any]) -> SessionInfo:
    """Return the record of the columns `RECORD`."""
    try:
        return SessionInfo(
            key=SessionKey.parse(row[0]),
            created_at=time_of(row[1]),
            updated_at=time_of(row[2]),
            metadata={} if row[3] == "{}" else _decode_metadata(row[3]),
            turns=row[4],
            last_id=row[5],
            epoch=row[6],
            last_consolidated=row[7],
            summary=row[8],
            generation=row[9],
            revision=row[10],
            damaged=row[11],
            origins=() if row[12] == "[]" else _decode_origins(row[12]),
        )
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        raise StorageError(f"session {row[0]}: its record can't be read: {error}") from error


def as_turn(body: str) -> Turn | None:
    """Return a turn with the id and epoch of its life; None if its body is damaged."""
    try:
        return _decode(body)
    except msgspec.DecodeError:
        return None


def placed(turn: Turn, ids: int, epochs: int, generation: str) -> Turn:
    """Return a turn that was just decoded as its session has it."""
    if ids or epochs:
        return shifted(turn, ids, epochs, generation)
    msgspec.structs.force_setattr(turn, "generation", generation)
    return turn


def as_claim(row: Sequence[Any]) -> Claim | None:
    """Return the claim of a row: key, name, owner, expiry, payload, whether it was taken over.

    Return None for the claim on a session that has no key. A payload that can't be read is empty.
    """
    try:
        key = SessionKey.parse(row[0])
    except InvalidKeyError as error:
        logger.warning("the lease %.100r is passed over: %s", row[1], error)
        return None
    try:
        payload = _decode_metadata(row[4])
    except (msgspec.DecodeError, RecursionError) as error:
        logger.warning("session %s: the payload of %.100r is left out: %s", key, row[1], error)
        payload = {}
    return Claim(
        key=key,
        name=row[1],
        owner=row[2],
        expires_at=time_of(row[3]),
        payload=payload,
        taken_over=row[5],
    )


def body_of(turn: Turn) -> str:
    """Return a turn as it is stored; the generation is its session's."""
    if turn.generation:
        turn = msgspec.structs.replace(turn, generation="")
    return _encode(turn).decode()


def hashed(kind: str, name: str) -> str:
    """Return the fixed-size name by which the server finds a source id or a token."""
    return blake2b(f"{kind} {name}".encode(errors="surrogatepass"), digest_size=16).hexdigest()


def names_of(turn: Turn, *, sources: bool = True) -> list[str]:
    """Return the names that a turn is found by: those of its source ids and its token."""
    names = [hashed("source", one) for one in turn.source_ids] if sources else []
    if turn.token:
        names.append(hashed("token", turn.token))
    return names


def by_names(turn: Turn) -> Named:
    """Return a turn by its token and its source ids."""
    found: Named = {("source", source): turn for source in turn.source_ids}
    if turn.token:
        found["token", turn.token] = turn
    return found


def spoken(turn: Turn) -> str | None:
    """Return the words of a turn as a `tsvector`; None for a turn that no search finds."""
    if turn.hidden:
        return None
    unique = {word[:LONGEST_WORD] for word in words(turn.text)}
    if not unique:
        return None
    text = "' '".join(unique)
    if len(text.encode()) > _MOST_WORDS:
        text = text.encode()[:_MOST_WORDS].decode(errors="ignore").rpartition("' '")[0]
    return f"'{text}'"


def array(texts: Iterable[str | None]) -> str:
    """Return a `text[]` literal, which is made much faster than psycopg adapts a list."""
    return (
        "{"
        + ",".join(
            "NULL" if text is None else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
            for text in texts
        )
        + "}"
    )


def numbers(values: Iterable[int | None]) -> str:
    """Return a `bigint[]` literal."""
    return "{" + ",".join("NULL" if one is None else str(one) for one in values) + "}"
