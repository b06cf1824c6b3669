"""The writing thread's work on a batch: lines are added to files, and to the journal.

Each file is looked at before it is written: if somebody else changed it, nothing is.
"""

from __future__ import annotations

import os
import resource
from collections import OrderedDict
from contextlib import nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from ..._loop import Signal
from ..._records.key import SessionKey
from ._claims_file import ClaimsFile, Write
from ._disk import (
    UnsyncedError,
    close_file,
    copy_bytes,
    is_shortage,
    make_folder,
    modified_at,
    open_file,
    reading,
    set_modified,
    sync_folder,
    write_all,
    writing_anew,
)
from ._index import Index
from ._journal import Added, Journal
from ._place import FileChanged
from ._sync import sync_file_system

MAX_OPEN_FILES: Final = 512


class Job(Struct, eq=False):
    """The lines to add to one file, at the size and in the version that was read.

    `inode` and `modified`, its time of change in nanoseconds, are 0 if the file was not there.
    `written` is the time of change to give to the file.
    """

    key: SessionKey
    path: Path
    version: int
    size: int
    inode: int
    modified: int
    written: datetime
    lines: list[bytes] = []


class Batch(Struct, eq=False):
    """All that is written together. `done` is set when all of it was tried.

    The batch that `lets_go` closes all files, for want of descriptors. The batch that `closes` is
    the last one: the thread ends.
    """

    done: Signal
    finished: bool = False
    jobs: dict[int, Job] = {}
    errors: dict[int, BaseException] = {}
    retired: list[int] = []
    claims: list[Write] = []
    claims_error: BaseException | None = None
    lets_go: bool = False
    closes: bool = False

    def fail(self, error: BaseException) -> None:
        """Have all that wait for it raise this, but for those whose own error is known."""
        for version in self.jobs:
            self.errors.setdefault(version, error)
        self.claims_error = self.claims_error or error


class _Open(Struct, eq=False):
    """An open file, and what it was when it was last written."""

    fd: int
    inode: int
    synced: bool
    """All that the file held when it was opened is on the disk."""
    modified: int = 0
    """The time of change that the file was given, in nanoseconds; 0 if none could be given."""


class Appender:
    """The open files. All of it belongs to the writing thread."""

    def __init__(
        self, journal: Journal | None, claims: ClaimsFile, workplace: Path, index: Index
    ) -> None:
        self._index = index
        self._journal = journal
        """With one, a batch returns when it survives the machine."""
        self._claims = claims
        self._workplace = workplace
        self._files: OrderedDict[int, _Open] = OrderedDict()
        self._unsynced: set[Path] = set()
        self._doubtful: set[Path] = set()
        """Files whose sync failed. The kernel may have dropped some of their bytes."""
        self._all_synced = False
        """True once all that was there at the first journaled write is on the disk."""

    def write(self, batch: Batch) -> None:
        """Write a batch; what fails is in its errors."""
        left = [*batch.jobs.values()]
        begun = [job.key for job in left if not job.size]
        with self._index.touching(*begun) if begun else nullcontext():
            self._write_jobs(batch, left)
        self._index.touch([job.key for job in left])
        if batch.claims:
            try:
                self._claims.write(batch.claims)
            except OSError as error:
                batch.claims_error = error
        for version in batch.retired:
            self._forget(version)
        if batch.lets_go or batch.closes:
            self._close_all_but(0)
            self._claims.close()
        if batch.closes and self._journal is not None:
            self._journal.close()

    def _write_jobs(self, batch: Batch, left: list[Job]) -> None:
        while left:
            most = _most_open_files()
            chunk, left = left[:most], left[most:]
            # Those that found no descriptor are written once the others have let go of theirs.
            put_off = self._write_all(batch, chunk)
            self._close_all_but(0 if put_off else most)
            left = put_off + left

    def _close_all_but(self, most: int) -> None:
        while len(self._files) > most:
            close_file(self._files.popitem(last=False)[1].fd)

    def _write_all(self, batch: Batch, jobs: list[Job]) -> list[Job]:
        """Write these; return those for which there was no descriptor left."""
        written: list[tuple[Job, _Open]] = []
        put_off: list[Job] = []
        for job in jobs:
            try:
                written.append((job, self._write(job)))
            except BaseException as error:  # noqa: BLE001 - those who wait raise it
                if is_shortage(error) and (written or len(self._files) > 0):
                    put_off.append(job)
                    continue
                batch.errors[job.version] = error
                if self._journal is not None and isinstance(error, FileChanged):
                    with suppress(OSError):  # then a crash may bring back what was said before
                        self._journal.release(job.path)
        if self._journal is not None and written:
            try:
                self._sync(self._journal, written)
            except OSError as error:
                for job, file in written:
                    batch.errors[job.version] = _cut_back(file.fd, job, error)
        return put_off

    def _sync(self, journal: Journal, written: list[tuple[Job, _Open]]) -> None:
        """Return when these lines survive the machine."""
        if len(written) == 1:
            # Its own sync is as good as the journal's, and needs no other one later.
            job, file = written[0]
            self._sync_file(journal, job.path, file)
            self._sync_folders(job.path.parent)
            return
        if not self._all_synced:
            # What a dead process left unsynced must not be missing below what is journaled.
            self._all_synced = sync_file_system(self._workplace)
        for job, file in written:
            if not (file.synced or self._all_synced):
                self._sync_file(journal, job.path, file)
        journal.write([Added(job.path, job.size, b"".join(job.lines)) for job, _ in written])

    def _sync_file(self, journal: Journal, path: Path, file: _Open) -> None:
        try:
            os.fdatasync(file.fd)
        except OSError:
            self._doubtful.add(path)
            journal.doubt(path)
            raise
        file.synced = True

    def _sync_folders(self, folder: Path) -> None:
        """Sync a file's folder and the one above, where there are new names in them."""
        for one in (folder, folder.parent):
            if one in self._unsynced:
                sync_folder(one)
                self._unsynced.remove(one)

    def _write(self, job: Job) -> _Open:
        if job.path in self._doubtful:
            self._write_anew(job)
        file = self._open(job)
        try:
            write_all(file.fd, b"".join(job.lines))
            file.modified = set_modified(file.fd, job.written)
        except OSError as error:
            raise _cut_back(file.fd, job, error) from None
        return file

    def _write_anew(self, job: Job) -> None:
        """Copy a file whose sync failed: a second sync may succeed without having written it."""
        if self._journal is not None:
            self._journal.restore(job.path)
        with suppress(FileNotFoundError), reading(job.path) as source:
            status = os.fstat(source)
            with writing_anew(job.path, self._workplace, modified_at(status)) as target:
                copy_bytes(source, target, 0, status.st_size)
        self._doubtful.discard(job.path)
        raise FileChanged

    def _open(self, job: Job) -> _Open:
        """Return the file, if that is as it was when its session was read."""
        cached = self._files.get(job.version)
        try:
            stat = job.path.stat()
        except FileNotFoundError:
            if cached is not None or job.size:
                self._forget(job.version)
                raise FileChanged from None
            return self._begin(job)
        inode = job.inode if cached is None else cached.inode
        modified = job.modified if cached is None else cached.modified
        if (
            stat.st_size != job.size
            or (inode and inode != stat.st_ino)
            or (modified and modified != stat.st_mtime_ns)
        ):
            self._forget(job.version)
            raise FileChanged
        if cached is not None:
            self._files.move_to_end(job.version)
            return cached
        fd = open_file(job.path, os.O_WRONLY | os.O_APPEND)
        file = self._files[job.version] = _Open(fd, stat.st_ino, not job.size)
        return file

    def _begin(self, job: Job) -> _Open:
        """Return the new file of a session that begins."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        try:
            try:
                fd = open_file(job.path, flags)
            except FileNotFoundError:  # the first session of its channel
                if make_folder(job.path.parent):
                    self._unsynced.add(job.path.parent.parent)
                fd = open_file(job.path, flags)
        except FileExistsError:
            raise FileChanged from None
        self._unsynced.add(job.path.parent)
        file = self._files[job.version] = _Open(fd, os.fstat(fd).st_ino, True)
        return file

    def _forget(self, version: int) -> None:
        if version in self._files:
            close_file(self._files.pop(version).fd)


def _most_open_files() -> int:
    """Return how many files may stay open: a share of what the process may have."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MAX_OPEN_FILES if limit < 0 else max(1, min(MAX_OPEN_FILES, limit // 4))


def _cut_back(fd: int, job: Job, error: OSError) -> OSError:
    """Take away what a failed write left; return the error to raise."""
    try:
        os.ftruncate(fd, job.size)
    except OSError:
        # A part of it is no append, and is set aside when the file is next read.
        if os.fstat(fd).st_size == job.size + sum(map(len, job.lines)):
            return UnsyncedError(*error.args)
    return error
