"""The file of all claims of a folder: one line each, changed in place.

`.turnkeep/claims` is small and short-lived, so it is never read but at opening. A claim that
lasts longer has its time overwritten; one that ends is overwritten with spaces, so that its
payload is gone. What a crash tore is no line, and is skipped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from ..._errors import InvalidKeyError
from ..._records.key import SessionKey
from ..base import Claim
from ._blocks import EndlessLineError, whole_lines
from ._disk import close_file, move_aside, open_file, reading, write_at, writing_anew

logger: Final = logging.getLogger("turnkeep")

NAME: Final = "claims"
_HEAD: Final = b'{"expires_at":"'


class Write(NamedTuple):
    """Bytes to write at an offset. ANEW makes them all of the file; SYNC has none."""

    offset: int
    data: bytes


ANEW: Final = -1
SYNC: Final = Write(0, b"")


class Held(NamedTuple):
    """A claim, and its line in the file."""

    claim: Claim
    offset: int
    length: int

    def lasting_until(self, expires_at: datetime) -> Write:
        """Return what makes its line say so."""
        return Write(self.offset + len(_HEAD), _stamp(expires_at))

    def erased(self) -> Write:
        """Return what takes its line away."""
        return Write(self.offset, b" " * (self.length - 1))


class _Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    key: str
    name: str
    owner: str
    payload: dict[str, Any] = {}
    taken_over: bool = False


class _TimedLine(_Line, kw_only=True):
    expires_at: datetime


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(_TimedLine)


def encode_claim(claim: Claim) -> bytes:
    """Return the claim's line. Its time comes first, in a fixed width."""
    line = _Line(
        key=claim.key.text,
        name=claim.name,
        owner=claim.owner,
        payload=claim.payload,
        taken_over=claim.taken_over,
    )
    return b'%b%b",%b\n' % (_HEAD, _stamp(claim.expires_at), _encode(line)[1:])


def _stamp(time: datetime) -> bytes:
    return time.isoformat(timespec="microseconds").encode()


class ClaimsFile:
    """The file. All that blocks runs on one thread at a time: at opening, then the writer's."""

    def __init__(self, workplace: Path) -> None:
        self._workplace = workplace
        self._path = workplace / NAME
        self._fd: int | None = None
        self._failed = False
        self._end = 0
        self._endless = False
        """It has a line that is none of ours, and goes aside before the next one is written."""
        self._unsynced = False
        """Something was erased, or may have been by an earlier process."""

    def read(self) -> tuple[list[Held], int, bool]:
        """Return the claims, in file order, the file's size, and whether all of it was read."""
        self._failed = self._endless = False
        self._end = size = unread = 0
        whole = True
        found: list[Held] = []
        try:
            with reading(self._path) as fd:
                size = os.fstat(fd).st_size
                whole = not size or os.pread(fd, 1, size - 1) == b"\n"
                for offset, line in whole_lines(fd, 0, size):
                    if not line.strip(b" "):
                        continue
                    claim = _decode(line.strip(b" \0"))  # a write that failed leaves zeros
                    if claim is None:
                        unread += 1
                    else:
                        found.append(Held(claim, offset, len(line) + 1))
        except FileNotFoundError:
            return [], 0, True
        except EndlessLineError as error:
            logger.error("%s: %s; what stands before it counts", self._path, error)
            self._endless = True
        if unread:
            logger.warning("%s: lines that can't be read are skipped: %d", self._path, unread)
        self._unsynced = True
        self._end = size
        return found, size, whole and not (unread or self._endless)

    def write(self, writes: Iterable[Write]) -> None:
        """Do what these say, one after the other.

        After a failure all that follows fails too, since it builds on what was not written,
        until the file is read again.
        """
        if self._failed:
            raise OSError("an earlier write of the claims failed")
        self._failed = True
        self._do(writes)
        self._failed = False

    def _do(self, writes: Iterable[Write]) -> None:
        added: list[bytes] = []
        changed: list[Write] = []
        for write in writes:
            if write.offset == ANEW or write == SYNC:
                self._flush(added, changed)
                added, changed = [], []
                if write.offset == ANEW:
                    self._write_anew(write.data)
                elif self._unsynced:
                    os.fdatasync(self._open())
                    self._unsynced = False
            elif write.offset == self._end:
                added.append(write.data)
                self._end += len(write.data)
            else:
                changed.append(write)
        self._flush(added, changed)

    def _flush(self, added: list[bytes], changed: list[Write]) -> None:
        """Add lines, in one write, and then change others, of which some may be among them."""
        if not (added or changed):
            return
        fd = self._open()
        if lines := b"".join(added):
            write_at(fd, lines, self._end - len(lines))
        for offset, data in changed:
            write_at(fd, data, offset)
        self._unsynced = True

    def _write_anew(self, data: bytes) -> None:
        self._end = len(data)
        if self._endless:
            self.close()
            logger.error("%s is set aside in %s", self._path, move_aside(self._path).name)
            self._endless = False
        if not data:
            os.ftruncate(self._open(), 0)
            self._unsynced = True
            return
        self.close()
        with writing_anew(self._path, self._workplace) as file:
            file.write(data)
        self._unsynced = False

    def _open(self) -> int:
        if self._fd is None:
            self._fd = open_file(self._path, os.O_RDWR | os.O_CREAT)
        return self._fd

    def close(self) -> None:
        """Let go of the file."""
        if self._fd is not None:
            close_file(self._fd)
            self._fd = None


def _decode(line: bytes) -> Claim | None:
    try:
        fields = _decoder.decode(line)
        key = SessionKey.parse(fields.key)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidKeyError):
        return None
    if fields.expires_at.tzinfo is None:
        return None
    return Claim(
        key=key,
        name=fields.name,
        owner=fields.owner,
        expires_at=fields.expires_at,
        payload=fields.payload,
        taken_over=fields.taken_over,
    )
