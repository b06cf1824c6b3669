"""The thread that writes: what many tasks append goes to the disk in shared batches.

A write on the event loop is quick until the disk is busy, and then everyone waits; a thread
hop for each append costs more than the append. So the loop gathers lines, hands a whole
batch to one thread, and gathers the next one while that is written. With
`durability="disk"` a batch shares one sync too, that of the journal.

The order of a session's lines is the order in which they were staged: one thread, one batch
at a time.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Literal

from anyio import Event, get_cancelled_exc_class

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
from ._workers import loop_call, running_loop, wait_to_the_end

logger: Final = logging.getLogger("turnkeep")

Durability = Literal["os", "disk"]

MAX_OPEN_FILES: Final = 512


class Job:
    """The lines to add to one file, at the size and in the version that was read."""

    __slots__ = ("lines", "path", "size", "version", "written")

    def __init__(self, path: Path, version: int, size: int) -> None:
        self.path = path
        self.version = version
        self.size = size
        self.lines: list[bytes] = []
        self.written: datetime
        """What the file's time of change is to be."""


class Batch:
    """All that is written together. `done` is set when all of it was tried."""

    __slots__ = (
        "claims", "claims_error", "closes", "done", "errors", "finished", "jobs", "retired",
    )  # fmt: skip

    def __init__(self) -> None:
        self.done = Event()
        self.finished = False
        self.jobs: dict[int, Job] = {}
        self.errors: dict[int, BaseException] = {}
        self.retired: list[int] = []
        self.claims: list[Write] = []
        self.claims_error: BaseException | None = None
        self.closes = False
        """It is the last one: the thread ends."""

    def fail(self, error: BaseException) -> None:
        """Have all that wait for it raise this, but for those whose own error is known."""
        for version in self.jobs:
            self.errors.setdefault(version, error)
        self.claims_error = self.claims_error or error


class Writer:
    """Appends to files. `stage` and `aclose` belong to the loop, the rest to the thread."""

    def __init__(self, journal: Journal | None, claims: ClaimsFile) -> None:
        self._journal = journal
        """With one, a batch returns when it survives the machine."""
        self._claims = claims
        self._queue: SimpleQueue[Batch] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._gathering: Batch | None = None
        self._writing: Batch | None = None
        self._files: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._unsynced: set[Path] = set()
        self._loop: object = None
        self._call: Callable[..., object] | None = None

    # On the loop.

    def stage(self, path: Path, version: int, size: int, lines: bytes, written: datetime) -> Batch:
        """Add lines to the batch that is being gathered; wait for its `done`.

        `version` names what was read of this file, and is the key of `errors`.
        """
        batch = self._gathering or self._gather()
        job = batch.jobs.get(version)
        if job is None:
            job = batch.jobs[version] = Job(path, version, size)
        job.lines.append(lines)
        job.written = written
        return batch

    def stage_claims(self, writes: Iterable[Write]) -> Batch:
        """Add writes to the file of claims; wait for `done`, and look at `claims_error`."""
        batch = self._gathering or self._gather()
        batch.claims.extend(writes)
        return batch

    def retire(self, version: int) -> Batch:
        """Close the file that this version was written to, once what is staged is in it."""
        batch = self._gather()
        batch.retired.append(version)
        return batch

    async def wait(self, batch: Batch) -> None:
        """Return when all of the batch was tried."""
        if running_loop() is not self._loop:
            self._answer_here()
        if not batch.finished:
            await batch.done.wait()

    async def aclose(self) -> None:
        """Wait, even when cancelled, until all that was staged is written; end the thread."""
        cancelled: BaseException | None = None
        try:
            await self.drain()
        except get_cancelled_exc_class() as error:
            cancelled = error
        if self._thread is not None:
            last = Batch()
            last.closes = True
            self._writing = last
            self._queue.put(last)
            try:
                await wait_to_the_end(last.done)
            except get_cancelled_exc_class() as error:
                cancelled = error
            self._thread.join()
            self._thread = None
        if cancelled is not None:
            raise cancelled

    async def drain(self) -> None:
        """Wait, even when cancelled, until all that was staged so far is written."""
        self._answer_here()
        cancelled: BaseException | None = None
        while (batch := self._gathering or self._writing) is not None and not batch.finished:
            try:
                await wait_to_the_end(batch.done)
            except get_cancelled_exc_class() as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _gather(self) -> Batch:
        # One that an ended loop left behind is sent by the next `wait` or `aclose`.
        if self._gathering is None:
            self._answer_here()
            self._gathering = Batch()
            self._send_soon()
        return self._gathering

    def _answer_here(self) -> None:
        """Have the thread call back to the loop that runs now: an earlier one may have ended."""
        loop = running_loop()
        if loop is not self._loop:
            self._loop, self._call = loop, loop_call()
            for batch in (self._gathering, self._writing):
                if batch is not None:
                    # Those who waited there have ended with their loop.
                    batch.done = Event()
            if self._gathering is not None:
                self._send_soon()

    def _send_soon(self) -> None:
        # One turn of the loop later, so that all that run in this one are in.
        assert self._call is not None
        self._call(self._send, self._gathering)

    def _send(self, batch: Batch) -> None:
        if batch is not self._gathering:
            return
        if self._writing is not None and not self._writing.finished:
            return  # sent when that one comes back
        self._gathering, self._writing = None, batch
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="turnkeep-jsonl-writer", daemon=True
            )
            self._thread.start()
        self._queue.put(batch)

    def _come_back(self, batch: Batch) -> None:
        self._writing = None
        if self._gathering is not None:
            self._send(self._gathering)
        batch.done.set()

    # On the thread.

    def _run(self) -> None:
        batch = None
        try:
            while batch is None or not batch.closes:
                batch = self._queue.get()
                try:
                    self._do(batch)
                except BaseException as error:  # noqa: BLE001 - those who wait raise it
                    batch.fail(error)
                batch.finished = True
                self._call_back(batch)
        finally:
            # Nobody waits for a thread that is no more, and the next batch begins another one.
            self._thread = None if batch is None or not batch.closes else self._thread
            if batch is not None and not batch.finished:
                batch.fail(RuntimeError("the writing thread has ended"))
                batch.finished = True
                self._call_back(batch)

    def _do(self, batch: Batch) -> None:
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

    def _call_back(self, batch: Batch) -> None:
        while (call := self._call) is not None:
            try:
                call(self._come_back, batch)
            except RuntimeError:  # that loop is closed, and nobody waits in it any more
                if call != self._call:
                    continue
            return

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
