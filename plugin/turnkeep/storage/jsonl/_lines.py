"""The lines of a session's file.

A message is one line: a `Turn`, with the seed's field names. Every other line is a whole
metadata line: it says all there is to say of the session at that point, and `op` says what
happened there. So a reader needs the last metadata line and the messages behind it, and the
seed's reader, which takes the last metadata line too, opens the file as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Final, TypeVar

import msgspec

from ..._errors import TurnTooLargeError
from ..._records.identity import Origin, generation_from
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import SessionInfo

_MARKS: Final = b',"_command":true,"_hidden_history":true}'
METADATA_EVERY: Final = 64 * 1024
"""A metadata line stands at least every so many bytes, or every line if that is more."""

LONGEST_LINE: Final = 32 * 1024 * 1024
"""A longer line is not written, and not read: it is damage, see `_blocks`."""

LONGEST_TURN: Final = LONGEST_LINE - 1024
"""There are marks and a time on its line, too."""

MOST_ABOUT: Final = 100_000
"""A metadata line names so many of the turns that it is about."""

_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
MORE: Final = b'{"more":true,'
_META_PREFIX: Final = b'{"_type":'
_SEAM: Final = b'}{"'
"""Two records on a line meet here. In a string a quote is escaped, so no text looks like it."""
NO_ZEROS: Final = re.compile(rb"[^\0]+")


class MetadataLine(msgspec.Struct, kw_only=True, tag_field="_type", tag="metadata"):
    """Everything about a session but its turns.

    `op` is what this line was written for, `about` the ids of the turns it was done to. Files
    of before generations have none of the last three fields.
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
    generation: str = ""
    revision: int = 0
    origins: list[Origin] | msgspec.UnsetType = msgspec.UNSET
    earlier: int | msgspec.UnsetType = msgspec.UNSET
    """The number of turns of earlier epochs."""

    last_archived: int | msgspec.UnsetType = msgspec.UNSET
    """The number of messages that nanobot's model does not get any more; see `encode_metadata`."""

    def info(self, key: SessionKey) -> SessionInfo:
        """Return the record that this line holds."""
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
            generation=self.generation or generation_from(self.created_at),
            revision=self.revision,
            origins=() if isinstance(self.origins, msgspec.UnsetType) else tuple(self.origins),
        )

    @property
    def count_earlier(self) -> int:
        """The number of turns of earlier epochs; 0 if the line does not say."""
        return 0 if isinstance(self.earlier, msgspec.UnsetType) else self.earlier


_Record = TypeVar("_Record", Turn, MetadataLine)

encode: Final = msgspec.json.Encoder().encode
_turn_decoder: Final = msgspec.json.Decoder(Turn)
_metadata_decoder: Final = msgspec.json.Decoder(MetadataLine)
_any_decoder: Final = msgspec.json.Decoder(dict[str, Any])


class _Stamp(msgspec.Struct):
    at: int = 0


_stamp_decoder: Final = msgspec.json.Decoder(_Stamp)


def written_at(line: bytes) -> datetime | None:
    """Return when a readable message's line was written; None if it does not say.

    It ends with `"at"`, in microseconds since 1970, beside the time that its caller gave it.
    """
    try:
        at = _stamp_decoder.decode(line).at
        return datetime.fromtimestamp(at / 1e6, timezone.utc) if at > 0 else None
    except (msgspec.MsgspecError, ValueError, OverflowError, OSError):
        return None


def encode_turn(turn: Turn) -> bytes:
    """Return the turn's line; its generation is the file's, and is not repeated in each line."""
    if turn.generation:
        turn = msgspec.structs.replace(turn, generation="")
    line = encode(turn)
    if len(line) > LONGEST_TURN:
        raise too_large(line)
    return (with_marks(line) if turn.hidden else line) + b"\n"


def too_large(line: bytes, where: str = "") -> TurnTooLargeError:
    """Return the error of a turn whose line no reader would take."""
    return TurnTooLargeError(
        f"{where}a turn of {len(line):,} bytes is over the {LONGEST_TURN:,} that one may have in a "
        "JSONL file: shorten it, or keep its media as references"
    )


def with_marks(line: bytes) -> bytes:
    """Return a hidden message's line with the marks by which nanobot hides it, too."""
    return line[:-1] + _MARKS


def of_generation(turn: Turn, generation: str) -> Turn:
    """Give a turn that nobody else has yet the generation of its session; return it."""
    msgspec.structs.force_setattr(turn, "generation", generation)
    return turn


def with_more(line: bytes) -> bytes:
    """Mark a message's line as one that is followed by more of the same append.

    A write may be torn between two lines too. A file that ends with a marked line ends with
    the beginning of an append that was never finished, and all of it is set aside.
    """
    return MORE + line[1:]


def without_more(line: bytes) -> bytes:
    """Return a message's line without that mark."""
    return b"{" + line[len(MORE) :] if line.startswith(MORE) else line


def is_metadata(line: bytes) -> bool:
    """Return whether a line begins as a metadata line of ours."""
    return line.startswith(_META_PREFIX)


def is_unfinished(line: bytes) -> bool | None:
    """Return True if no append ends with this line, None if one may go on behind it."""
    if line.startswith(MORE):
        return True
    return None if line.startswith(_META_PREFIX) and b'"op":"checkpoint"' in line else False


def encode_metadata(
    info: SessionInfo, op: str, about: Sequence[int] = (), *, earlier: int
) -> bytes:
    """Return the metadata line of a session that stands so, with `earlier` turns before its epoch.

    nanobot's model gets the messages of a file from its `last_archived` on, so that it does not
    see what was said before a reset.
    """
    archived = min(info.turns, max(earlier, info.last_consolidated))
    line = MetadataLine(
        key=info.key.text,
        created_at=info.created_at,
        updated_at=info.updated_at,
        op=op,
        about=list(about[:MOST_ABOUT]) or msgspec.UNSET,
        metadata=info.metadata,
        last_consolidated=info.last_consolidated,
        epoch=info.epoch,
        last_id=info.last_id,
        turns=info.turns,
        summary=msgspec.UNSET if info.summary is None else info.summary,
        generation=info.generation,
        revision=info.revision,
        origins=list(info.origins) or msgspec.UNSET,
        earlier=earlier or msgspec.UNSET,
        last_archived=archived or msgspec.UNSET,
    )
    return encode(line) + b"\n"


class Damaged(Enum):
    """A line that says nothing that can be read."""

    DAMAGED = "damaged"


DAMAGED: Final = Damaged.DAMAGED


def decode_line(line: bytes) -> Turn | MetadataLine | Damaged | None:
    """Return what a line holds; None for a blank one or a record of another program."""
    try:
        if not line.startswith(_META_PREFIX):
            return _sound(_turn_decoder.decode(line))
        return _sound(_metadata_decoder.decode(line))
    except _UNREADABLE:
        return _decode_oddity(line)


def _decode_oddity(line: bytes) -> Turn | MetadataLine | Damaged | None:
    """Read a line that is not as we write it: another program's, edited by hand, or damaged."""
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
    """Return the record, or DAMAGED if it lacks an id or a time zone."""
    if isinstance(record, Turn):
        return record if record.id > 0 and record.time.tzinfo else DAMAGED
    return record if record.created_at.tzinfo and record.updated_at.tzinfo else DAMAGED


def is_odd(data: bytes) -> bool:
    """Return whether a line in these bytes may be more than one record: see `parts`."""
    return b"\0" in data or _SEAM in data


def parts(start: int, line: bytes) -> list[tuple[int, bytes]]:
    """Return the records of a line that a crash joined to others, or put behind zeros.

    Each comes with its offset; `start` is that of the line. A line that holds no record stays
    as it is.
    """
    if not is_odd(line) or decode_line(line) is not DAMAGED:
        return [(start, line)]
    found: list[tuple[int, bytes]] = []
    begun = -1  # where the damage begins that is before this part
    readable = False
    for begin, end in _pieces(line):
        record = decode_line(line[begin:end])
        if record is DAMAGED:
            begun = begin if begun < 0 else begun
            continue
        if begun >= 0:
            found.append((start + begun, line[begun:begin]))
            begun = -1
        found.append((start + begin, line[begin:end]))
        readable = readable or record is not None
    if begun >= 0:
        found.append((start + begun, line[begun:]))
    return found if readable else [(start, line)]


def _pieces(line: bytes) -> Iterator[tuple[int, int]]:
    """Give where what may be records on a line begin and end."""
    for run in NO_ZEROS.finditer(line):
        begin, end = run.span()
        while (seam := line.find(_SEAM, begin, end)) >= 0:
            yield begin, seam + 1
            begin = seam + 1
        yield begin, end
