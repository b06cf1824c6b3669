"""The thread that writes: what many tasks append goes to the disk in shared batches.

A write on the event loop is quick until the disk is busy, and then everyone waits; a thread
hop for each append costs more than the append. So the loop gathers lines, hands a whole
batch to one thread, and gathers the next one while that is written. With
`durability="disk"` a batch shares the wait for its syncs too.

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
from typing import Any, Final, Literal

from anyio import Event
from anyio.lowlevel import current_token

Durability = Literal["os", "disk"]

MAX_OPEN_FILES: Final = 128
FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


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

    __slots__ = ("call", "done", "errors", "finished", "jobs", "retired")

    def __init__(self) -> None:
        native: Any = current_token().native_token
        # asyncio's loop and trio's token name the same thing differently.
        self.call: Callable[..., object] = (
            getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon
        )
        self.done = Event()
        self.finished = False
        self.jobs: dict[int, Job] = {}
        self.errors: dict[int, BaseException] = {}
        self.retired: list[int] = []


class Writer:
    """Appends to files. `stage` and `aclose` belong to the loop, the rest to the thread."""

    def __init__(self, durability: Durability) -> None:
        self._sync = durability == "disk"
        self._queue: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._gathering: Batch | None = None
        self._writing: Batch | None = None
        self._files: OrderedDict[int, tuple[int, int]] = OrderedDict()

    # On the loop.

    def stage(self, path: Path, version: int, size: int, lines: bytes) -> Batch:
        """Adds lines to the batch that is being gathered; wait for its `done`.

        `version` names what was read of this file, and is the key of `errors`.
        """
        batch = self._gather()
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

    async def aclose(self) -> None:
        """Waits until all that was staged is written, and ends the thread."""
        while (batch := self._gathering or self._writing) is not None and not batch.finished:
            await batch.done.wait()
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _gather(self) -> Batch:
        if self._gathering is None:
            self._gathering = Batch()
            # One turn of the loop later, so that all that run in this one are in.
            self._gathering.call(self._send, self._gathering)
        return self._gathering

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
        batch.done.set()
        self._writing = None
        if self._gathering is not None:
            self._send(self._gathering)

    # On the thread.

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            jobs = iter(batch.jobs.values())
            while chunk := list(islice(jobs, MAX_OPEN_FILES)):
                self._write_all(batch, chunk)
                while len(self._files) > MAX_OPEN_FILES:
                    os.close(self._files.popitem(last=False)[1][0])
            for version in batch.retired:
                self._forget(version)
            batch.finished = True
            try:
                batch.call(self._come_back, batch)
            except RuntimeError:  # that loop is closed, and nobody waits in it any more
                if (waiting := self._gathering) is not None:
                    waiting.call(self._send, waiting)
        while self._files:
            os.close(self._files.popitem()[1][0])

    def _write_all(self, batch: Batch, jobs: list[Job]) -> None:
        folders: list[Path] = []
        written: list[tuple[Job, int]] = []
        for job in jobs:
            try:
                written.append((job, self._write(job, folders)))
            except BaseException as error:  # noqa: BLE001 - those who wait raise it
                batch.errors[job.version] = error
        if not self._sync:
            return
        for job, fd in written:
            try:
                os.fdatasync(fd)
                while folders:
                    sync_folder(folders.pop())
            except OSError as error:
                batch.errors[job.version] = error
                _cut_back(fd, job.size)

    def _write(self, job: Job, folders: list[Path]) -> int:
        fd = self._open(job, folders)
        data = b"".join(job.lines)
        written = 0
        try:
            while written < len(data):
                written += os.write(fd, data[written:] if written else data)
        except OSError:
            _cut_back(fd, job.size)
            raise
        return fd

    def _open(self, job: Job, folders: list[Path]) -> int:
        """A descriptor on the file, if the file is as it was when its session was read."""
        cached = self._files.get(job.version)
        try:
            stat = job.path.stat()
        except FileNotFoundError:
            if cached is not None or job.size:
                self._forget(job.version)
                raise FileChanged from None
            folder = job.path.parent
            folders.append(folder)
            if make_folder(folder):
                folders.append(folder.parent)
            fd = os.open(job.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, FILE_MODE)
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


def make_folder(folder: Path) -> bool:
    """Makes a folder of ours, which nobody else may look into; False if it is there."""
    try:
        folder.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive the machine."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
