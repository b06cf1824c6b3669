"""The writing thread's work on a batch: lines are added to files, and to the journal.

Each file is looked at before it is written: if somebody else changed it, nothing is.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from anyio import Event
from msgspec import Struct, field

from ._claims_file import ClaimsFile, Write
from ._disk import (
    UnsyncedError,
    close_file,
    make_folder,
    open_file,
    set_modified,
    sync_folder,
    write_all,
)
from ._journal import Added, Journal
from ._place import FileChanged

MAX_OPEN_FILES: Final = 512


class Job(Struct, eq=False):
    """The lines to add to one file, at the size and in the version that was read.

    `written` is the time of change to give to the file.
    """

    path: Path
    version: int
    size: int
    written: datetime
    lines: list[bytes] = []


class Batch(Struct, eq=False):
    """All that is written together. `done` is set when all of it was tried.

    The batch that `closes` is the last one: the thread ends.
    """

    done: Event = field(default_factory=Event)
    finished: bool = False
    jobs: dict[int, Job] = {}
    errors: dict[int, BaseException] = {}
    retired: list[int] = []
    claims: list[Write] = []
    claims_error: BaseException | None = None
    closes: bool = False

    def fail(self, error: BaseException) -> None:
        """Have all that wait for it raise this, but for those whose own error is known."""
        for version in self.jobs:
            self.errors.setdefault(version, error)
        self.claims_error = self.claims_error or error


class Appender:
    """The open files. All of it belongs to the writing thread."""

    def __init__(self, journal: Journal | None, claims: ClaimsFile) -> None:
        self._journal = journal
        """With one, a batch returns when it survives the machine."""
        self._claims = claims
        self._files: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._unsynced: set[Path] = set()

    def write(self, batch: Batch) -> None:
        """Write a batch; what fails is in its errors."""
        jobs = iter(batch.jobs.values())
        while chunk := list(islice(jobs, MAX_OPEN_FILES)):
            self._write_all(batch, chunk)
            while len(self._files) > MAX_OPEN_FILES:
                close_file(self._files.popitem(last=False)[1][0])
        if batch.claims:
            try:
                self._claims.write(batch.claims)
            except OSError as error:
                batch.claims_error = error
        for version in batch.retired:
            self._forget(version)
        if batch.closes:
            while self._files:
                close_file(self._files.popitem()[1][0])
            self._claims.close()
            if self._journal is not None:
                self._journal.close()

    def _write_all(self, batch: Batch, jobs: list[Job]) -> None:
        written: list[tuple[Job, int]] = []
        for job in jobs:
            try:
                written.append((job, self._write(job)))
            except BaseException as error:  # noqa: BLE001 - those who wait raise it
                batch.errors[job.version] = error
                if self._journal is not None and isinstance(error, FileChanged):
                    with suppress(OSError):  # then a crash may bring back what was said before
                        self._journal.release(job.path)
        if self._journal is None or not written:
            return
        try:
            if len(written) == 1:
                # Its own sync is as good as the journal's, and needs no other one later.
                os.fdatasync(written[0][1])
                self._sync_folders(written[0][0].path.parent)
            else:
                added = [Added(job.path, job.size, b"".join(job.lines)) for job, _ in written]
                self._journal.write(added)
        except OSError as error:
            for job, fd in written:
                batch.errors[job.version] = _cut_back(fd, job, error)

    def _sync_folders(self, folder: Path) -> None:
        """Sync a file's folder and the one above, where there are new names in them."""
        for one in (folder, folder.parent):
            if one in self._unsynced:
                sync_folder(one)
                self._unsynced.remove(one)

    def _write(self, job: Job) -> int:
        fd = self._open(job)
        try:
            write_all(fd, b"".join(job.lines))
            set_modified(fd, job.written)
        except OSError as error:
            raise _cut_back(fd, job, error) from None
        return fd

    def _open(self, job: Job) -> int:
        """Return a descriptor of the file, if that is as it was when its session was read."""
        cached = self._files.get(job.version)
        try:
            stat = job.path.stat()
        except FileNotFoundError:
            if cached is not None or job.size:
                self._forget(job.version)
                raise FileChanged from None
            if make_folder(job.path.parent):
                self._unsynced.add(job.path.parent.parent)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
            try:
                fd = open_file(job.path, flags)
            except FileExistsError:
                raise FileChanged from None
            self._unsynced.add(job.path.parent)
            self._files[job.version] = fd, os.fstat(fd).st_ino
            return fd
        if stat.st_size != job.size or (cached is not None and cached[1] != stat.st_ino):
            self._forget(job.version)
            raise FileChanged
        if cached is not None:
            self._files.move_to_end(job.version)
            return cached[0]
        fd = open_file(job.path, os.O_WRONLY | os.O_APPEND)
        self._files[job.version] = fd, stat.st_ino
        return fd

    def _forget(self, version: int) -> None:
        if version in self._files:
            close_file(self._files.pop(version)[0])


def _cut_back(fd: int, job: Job, error: OSError) -> OSError:
    """Take away what a failed write left; return the error to raise."""
    try:
        os.ftruncate(fd, job.size)
    except OSError:
        # A part of it is no append, and is set aside when the file is next read.
        if os.fstat(fd).st_size == job.size + sum(map(len, job.lines)):
            return UnsyncedError(*error.args)
    return error
