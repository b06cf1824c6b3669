"""The thread that writes: what many tasks append goes to the disk in shared batches.

A write on the event loop is quick until the disk is busy, and then everyone waits; a thread
hop for each append costs more than the append. So the loop gathers lines, hands a whole
batch to one thread, and gathers the next one while that is written. With
`durability="disk"` a batch shares one sync too, that of the journal.

The order of a session's lines is the order in which they were staged: one thread, one batch
at a time.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Literal

from anyio import Event, get_cancelled_exc_class

from ._disk import FILE_MODE, make_folder, sync_folder, write_all
from ._journal import Added, Journal
from ._workers import loop_call, running_loop, wait_to_the_end

Durability = Literal["os", "disk"]

MAX_OPEN_FILES: Final = 512


class FileChanged(Exception):  # noqa: N818 - not an error: the session is read again
    """The file is not as its session was read: someone else wrote, moved or removed it."""


class Job:
    """The lines to add to one file, at the size and in the version that was read."""

    __slots__ = ("lines", "path", "size", "version")

    def __init__(self, path: Path, version: int, size: int) -> None:
        self.path = path
        self.version = version
        self.size = size
        self.lines: list[bytes] = []


class Batch:
    """What is written together. `done` is set when all of it was tried."""

    __slots__ = ("closes", "done", "errors", "finished", "jobs", "retired")

    def __init__(self) -> None:
        self.done = Event()
        self.finished = False
        self.jobs: dict[int, Job] = {}
        self.errors: dict[int, BaseException] = {}
        self.retired: list[int] = []
        self.closes = False
        """It is the last one: the thread ends."""


class Writer:
    """Appends to files. `stage` and `aclose` belong to the loop, the rest to the thread."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        """Where there is one, a batch returns when it survives the machine."""
        self._queue: SimpleQueue[Batch] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._gathering: Batch | None = None
        self._writing: Batch | None = None
        self._files: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._unsynced: set[Path] = set()
        self._loop: object = None
        self._call: Callable[..., object] | None = None

    # On the loop.

    def stage(self, path: Path, version: int, size: int, lines: bytes) -> Batch:
        """Adds lines to the batch that is being gathered; wait for its `done`.

        `version` names what was read of this file, and is the key of `errors`.
        """
        batch = self._gathering or self._gather()
        job = batch.jobs.get(version)
        if job is None:
            job = batch.jobs[version] = Job(path, version, size)
        job.lines.append(lines)
        return batch

    def retire(self, version: int) -> Batch:
        """Closes the file that this version was written to, once what is staged is in it."""
        batch = self._gather()
        batch.retired.append(version)
        return batch

    async def wait(self, batch: Batch) -> None:
        """Returns when all of the batch was tried."""
        if running_loop() is not self._loop:
            self._answer_here()
        if not batch.finished:
            await batch.done.wait()

    async def aclose(self) -> None:
        """Waits, even when cancelled, until all that was staged is written; ends the thread."""
        self._answer_here()
        cancelled: BaseException | None = None
        while (batch := self._gathering or self._writing) is not None and not batch.finished:
            try:
                await wait_to_the_end(batch.done)
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

    def _gather(self) -> Batch:
        # One that an ended loop left behind is sent by the next `wait` or `aclose`.
        if self._gathering is None:
            self._answer_here()
            self._gathering = Batch()
            self._send_soon()
        return self._gathering

    def _answer_here(self) -> None:
        """Has the thread call back to the loop that runs now: an earlier one may have ended."""
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
        closes = False
        while not closes:
            batch = self._queue.get()
            closes = batch.closes
            jobs = iter(batch.jobs.values())
            while chunk := list(islice(jobs, MAX_OPEN_FILES)):
                self._write_all(batch, chunk)
                while len(self._files) > MAX_OPEN_FILES:
                    os.close(self._files.popitem(last=False)[1][0])
            for version in batch.retired:
                self._forget(version)
            if closes:
                while self._files:
                    os.close(self._files.popitem()[1][0])
                if self._journal is not None:
                    self._journal.close()
            batch.finished = True
            self._call_back(batch)

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
                batch.errors[job.version] = error
                _cut_back(fd, job.size)

    def _sync_folders(self, folder: Path) -> None:
        """Syncs what has new names in it, of a file's folder and the one above."""
        for one in (folder, folder.parent):
            if one in self._unsynced:
                sync_folder(one)
                self._unsynced.remove(one)

    def _write(self, job: Job) -> int:
        fd = self._open(job)
        try:
            write_all(fd, b"".join(job.lines))
        except OSError:
            _cut_back(fd, job.size)
            raise
        return fd

    def _open(self, job: Job) -> int:
        """A descriptor on the file, if the file is as it was when its session was read."""
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
                fd = os.open(job.path, flags, FILE_MODE)
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
        fd = os.open(job.path, os.O_WRONLY | os.O_APPEND)
        self._files[job.version] = fd, stat.st_ino
        return fd

    def _forget(self, version: int) -> None:
        if version in self._files:
            os.close(self._files.pop(version)[0])


def _cut_back(fd: int, size: int) -> None:
    """Takes away what a failed write left, so that it is all or nothing."""
    with suppress(OSError):  # then the torn line is set aside when the file is next read
        os.ftruncate(fd, size)
