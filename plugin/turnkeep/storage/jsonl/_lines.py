"""The lines of a session's file.

A message is one line: a `Turn`, with the seed's field names. Every other line is a whole
metadata line: it says all there is to say of the session at that point, and `op` says what
happened there. So a reader needs the last metadata line and the messages behind it, and the
seed's reader, which takes the last metadata line too, opens the file as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import SessionInfo

METADATA_EVERY: Final = 64 * 1024
"""A metadata line stands at least every so many bytes, or every line if that is more."""

_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
MORE: Final = b'{"more":true,'
_META_PREFIX: Final = b'{"_type":'


class MetadataLine(msgspec.Struct, kw_only=True, tag_field="_type", tag="metadata"):
    """Everything about a session but its turns.

    `op` is what this line was written for, `about` the ids of the turns it was done to.
    """

    key: str
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, Any] = {}
    last_consolidated: int = 0
    op: str
    about: list[int] | msgspec.UnsetType = msgspec.UNSET
    epoch: int = 1
    last_id: int = 0
    turns: int = 0
    summary: str | msgspec.UnsetType | None = msgspec.UNSET

    def info(self, key: SessionKey) -> SessionInfo:
        return SessionInfo(
            key=key,
            created_at=self.created_at,
            updated_at=self.updated_at,
            metadata=self.metadata,
            turns=self.turns,
            last_id=self.last_id,
            epoch=self.epoch,
            # Out of range it came from elsewhere, and would hide what is still to be said.
            last_consolidated=max(0, min(self.last_consolidated, self.last_id)),
            summary=self.summary if isinstance(self.summary, str) else None,
        )


_Record = TypeVar("_Record", Turn, MetadataLine)

_encoder: Final = msgspec.json.Encoder()
_turn_decoder: Final = msgspec.json.Decoder(Turn)
_metadata_decoder: Final = msgspec.json.Decoder(MetadataLine)
_any_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def encode_turn(turn: Turn) -> bytes:
    return _encoder.encode(turn) + b"\n"


def with_more(line: bytes) -> bytes:
    """A message's line, marked as one behind which more of the same append stands.

    A write may be torn between two lines too. What ends with a marked line is the beginning
    of an append that was never finished, and all of it is set aside.
    """
    return MORE + line[1:]


def is_unfinished(line: bytes) -> bool | None:
    """Whether an append can't end with this line; None for one that may stand within it."""
    if line.startswith(MORE):
        return True
    return None if line.startswith(_META_PREFIX) and b'"op":"checkpoint"' in line else False


def encode_metadata(info: SessionInfo, op: str, about: Sequence[int] = ()) -> bytes:
    line = MetadataLine(
        key=info.key.text,
        created_at=info.created_at,
        updated_at=info.updated_at,
        op=op,
        about=list(about) or msgspec.UNSET,
        metadata=info.metadata,
        last_consolidated=info.last_consolidated,
        epoch=info.epoch,
        last_id=info.last_id,
        turns=info.turns,
        summary=msgspec.UNSET if info.summary is None else info.summary,
    )
    return _encoder.encode(line) + b"\n"


class Damaged(Enum):
    """A line that says nothing that can be read."""

    DAMAGED = "damaged"


DAMAGED: Final = Damaged.DAMAGED


def decode_line(line: bytes) -> Turn | MetadataLine | Damaged | None:
    """What a line holds; None for a blank one or a record of another program."""
    try:
        if not line.startswith(_META_PREFIX):
            return _sound(_turn_decoder.decode(line))
        return _sound(_metadata_decoder.decode(line))
    except _UNREADABLE:
        return _decode_oddity(line)


def _decode_oddity(line: bytes) -> Turn | MetadataLine | Damaged | None:
    """A line that is not as we write it: another program's, edited by hand, or damaged."""
    if not line.strip():
        return None
    try:
        fields = _any_decoder.decode(line)
        if "_type" not in fields:
            return DAMAGED
        if fields["_type"] != "metadata":
            return None
        return _sound(msgspec.convert(fields, MetadataLine))
    except _UNREADABLE:
        return DAMAGED


def _sound(record: _Record) -> _Record | Damaged:
    """The record, unless it lacks what order and time are told by."""
    if isinstance(record, Turn):
        return record if record.id > 0 and record.time.tzinfo else DAMAGED
    return record if record.created_at.tzinfo and record.updated_at.tzinfo else DAMAGED
