"""The ownership of a folder: an operating-system lock, which dies with its process.

The lock file stays when the lock is released, since removing it would let two processes
lock two files of one name. Beside it stands a note of who the owner is, for the error that
the second one gets; the note is a hint and is never trusted.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import socket
import sys
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Final
from weakref import WeakValueDictionary

import anyio
from filelock import FileLock, Timeout

from ..._errors import StorageError, StoreLockedError
from ._disk import IrregularFileError, close_file, open_file, read_side_file

logger: Final = logging.getLogger("turnkeep")

LOCK_NAME: Final = "lock"
OWNER_NAME: Final = "owner"
POLL_SECONDS: Final = 0.05

NEIGHBOUR_SECONDS: Final = 1.0
"""So long a store waits for another one of its process, which may be about to close."""

_owned: Final[WeakValueDictionary[tuple[int, str], FolderLock]] = WeakValueDictionary()
"""The locks that this process holds, by its id (a fork owns none of its parent's) and path."""


class FolderLock:
    """The ownership of `folder`, by a lock file in its folder `workplace`."""

    def __init__(self, folder: Path, workplace: Path, timeout: float) -> None:
        self._folder = folder
        self._note = workplace / OWNER_NAME
        self._timeout = timeout
        self._path = workplace / LOCK_NAME
        self._lock = FileLock(self._path, mode=0o600, thread_local=False)
        self._name = os.path.realpath(self._path)
        self._leaves = False

    def acquire_now(self) -> bool:
        """Take the folder if it has no owner; return whether it did."""
        if os.path.lexists(self._path) and (self._path.is_symlink() or not self._path.is_file()):
            raise IrregularFileError(self._path)
        if not self._try():
            return False
        self._write_note()
        return True

    async def acquire(self) -> None:
        """Wait for the folder, `timeout` seconds at most, as a redeploy overlaps.

        A worker beside the owner gets the error at once: its sibling will not leave. So does a
        second store of a process, unless the first one closes.
        """
        if (sibling := self._sibling()) is not None:
            raise StoreLockedError(
                f"{self._folder}: another worker of this server (process {sibling}) owns this "
                f"folder, and one process at a time can write a JSONL folder. {self._remedy()}"
            )
        logger.info(
            "%s: waiting up to %g seconds for another %s to leave this folder (%s)",
            self._folder,
            self._timeout,
            "SessionStore of this process" if self._neighbour() else "process",
            self._owner(),
        )
        begun, until = monotonic(), monotonic() + self._timeout
        # An operating-system lock can only be asked for again and again without blocking.
        while not (self._lock.is_locked or self._try()):
            now, neighbour = monotonic(), self._neighbour()
            stays = neighbour is not None and not neighbour.is_leaving
            if stays and now >= min(until, begun + NEIGHBOUR_SECONDS):
                raise StoreLockedError(
                    f"{self._folder}: another SessionStore of this process owns this folder, and "
                    "does not close. Make one SessionStore and share it, or open with "
                    "read_only=True to read alone"
                )
            if now >= until:
                raise StoreLockedError(
                    f"{self._folder}: another process owns this folder ({self._owner()}) and did "
                    f"not leave within {self._timeout:g} seconds. One process at a time can write "
                    "a JSONL folder: stop that one, or open with read_only=True to read alone. "
                    f"{self._remedy()}"
                )
            await anyio.sleep(POLL_SECONDS)
        self._write_note()

    @property
    def is_leaving(self) -> bool:
        """True if the storage that holds it is being closed."""
        return self._leaves

    def leave(self) -> None:
        """Take note that the folder will soon be free."""
        self._leaves = True

    def release(self) -> None:
        """Leave the folder to the next one. If that fails, it can be called again."""
        try:
            self._lock.release()
        except OSError as error:
            raise StorageError(
                f"{self._folder}: its lock could not be released ({error}), so nobody else can "
                "open it. What was acknowledged is stored. Close again, or end this process"
            ) from error
        _owned.pop((os.getpid(), self._name), None)

    def _try(self) -> bool:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        _owned[os.getpid(), self._name] = self
        return True

    def _neighbour(self) -> FolderLock | None:
        """Return the lock of a storage of this process that owns the folder, if one does."""
        return _owned.get((os.getpid(), self._name))

    def _write_note(self) -> None:
        note = {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "host": socket.gethostname(),
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        with suppress(OSError):  # a full disk must not keep a bot from its history
            line = json.dumps(note).encode() + b"\n"
            # Not truncated first: some file systems then allocate it anew while one waits.
            fd = open_file(self._note, os.O_WRONLY | os.O_CREAT)
            try:
                os.ftruncate(fd, os.write(fd, line))
            finally:
                close_file(fd)

    def _remedy(self) -> str:
        return (
            "For several processes, name another storage: "
            f"SessionStore('sqlite:{self._folder}.db') on one machine (pip install "
            "'turnkeep[sqlite]'), 'postgresql://…' or 'redis://…' on several"
        )

    def _sibling(self) -> int | None:
        """Return the owner's process id if it is a worker beside this one, such as uvicorn's."""
        if multiprocessing.parent_process() is None and "gunicorn" not in sys.modules:
            return None
        try:
            note = json.loads(read_side_file(self._note))
            if (note["host"], note["parent"]) != (socket.gethostname(), os.getppid()):
                return None
            os.kill(note["pid"], 0)
        except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return None
        return None if note["pid"] == os.getpid() else int(note["pid"])

    def _owner(self) -> str:
        try:
            note = json.loads(read_side_file(self._note))
            return f"process {note['pid']} on {note['host']}, since {note['since']}"
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "it left no note of who it is"
