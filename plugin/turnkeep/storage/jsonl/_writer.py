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
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Literal

from anyio import Event, get_cancelled_exc_class

from ..._loop import (
    Signal,
    asyncio_loop,
    loop_call,
    own_call,
    own_signal,
    running_loop,
    wait_to_the_end,
)
from ._appender import Appender, Batch, Job
from ._chat import Chat
from ._claims_file import ClaimsFile, Write
from ._index import Index
from ._journal import Journal

logger: Final = logging.getLogger("turnkeep")

Durability = Literal["os", "disk"]

_NO_LOOP: Final = object()
"""In the place of a loop, before there was one; under trio `asyncio_loop` returns None."""


class Writer:
    """Gathers batches on the loop, and writes them on a thread."""

    def __init__(
        self, journal: Journal | None, claims: ClaimsFile, workplace: Path, index: Index
    ) -> None:
        self._appender = Appender(journal, claims, workplace, index)
        self._queue: SimpleQueue[Batch] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._gathering: Batch | None = None
        self._writing: Batch | None = None
        self._loop: object = _NO_LOOP
        self._call: Callable[..., object] | None = None
        """Calls a function in the loop, from the thread."""
        self._soon: Callable[..., object] | None = None
        """Calls a function in the loop, one turn later."""
        self._signal: Callable[[], Signal] = Event
        """Makes an event of the loop."""

    # On the loop.

    def stage(self, chat: Chat, size: int, lines: bytes) -> Batch:
        """Add lines to the batch that is being gathered; wait for its `done`.

        `size` is that of the file without these lines. The chat's version names what was read
        of the file, and is the key of `errors`.
        """
        batch = self._gathering or self._gather()
        assert chat.info is not None
        job = batch.jobs.get(chat.version)
        if job is None:
            written = chat.info.updated_at
            job = batch.jobs[chat.version] = Job(
                chat.key, chat.path, chat.version, size, chat.inode, chat.modified, written
            )
            chat.modified, chat.written = 0, True  # the thread knows from now on
        job.lines.append(lines)
        job.written = chat.info.updated_at
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

    async def let_go(self) -> None:
        """Close all files, since there is no descriptor left for another thread."""
        batch = self._gather()
        batch.lets_go = True
        await self.wait(batch)

    async def wait(self, batch: Batch) -> None:
        """Return when all of the batch was tried."""
        if asyncio_loop() is not self._loop:
            self._answer_here()
        if not batch.finished:
            try:
                await batch.done.wait()
            except BaseException:  # Ctrl-C may have come in the place of that call
                if self._gathering is not None:
                    self._send(self._gathering)
                raise

    async def aclose(self) -> None:
        """Wait, even when cancelled, until all that was staged is written; end the thread."""
        cancelled: BaseException | None = None
        try:
            await self.drain()
        except get_cancelled_exc_class() as error:
            cancelled = error
        if self._thread is not None:
            last = Batch(self._signal())
            last.closes = True
            self._writing = last
            self._queue.put(last)
            try:
                await wait_to_the_end(last.done, lambda: last.finished)
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
        while True:
            batch = self._writing
            if batch is None or batch.finished:
                batch = self._gathering
                if batch is None:
                    break
                self._send(batch)  # Ctrl-C may have come in the place of the call that does it
            try:
                await wait_to_the_end(batch.done, partial(_is_finished, batch))
            except get_cancelled_exc_class() as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _gather(self) -> Batch:
        # One that an ended loop left behind is sent by the next `wait` or `aclose`.
        if self._gathering is None:
            if asyncio_loop() is not self._loop:
                self._answer_here()
            self._gathering = Batch(self._signal())
            # One turn of the loop later, so that all that run in this one are in.
            assert self._soon is not None
            self._soon(self._send, self._gathering)
        return self._gathering

    def _answer_here(self) -> None:
        """Have the thread call back to the loop that runs now: an earlier one may have ended."""
        loop = running_loop()
        if loop is not self._loop:
            self._loop, self._call, self._soon = loop, loop_call(), own_call()
            self._signal = own_signal()
            for batch in (self._gathering, self._writing):
                if batch is not None:
                    # Those who waited there have ended with their loop.
                    batch.done = self._signal()
            if self._gathering is not None:
                self._soon(self._send, self._gathering)

    def _send(self, batch: Batch) -> None:
        if batch is not self._gathering:
            return
        if self._writing is not None and not self._writing.finished:
            return  # sent when that one comes back
        self._gathering, self._writing = None, batch
        try:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="turnkeep-jsonl-writer", daemon=True
                )
                self._thread.start()
        finally:  # also at Ctrl-C
            self._queue.put(batch)

    def _come_back(self, batch: Batch) -> None:
        if batch is self._writing:
            self._writing = None
        try:
            if self._gathering is not None:
                self._send(self._gathering)
        finally:
            batch.done.set()

    # On the thread.

    def _run(self) -> None:
        batch = None
        try:
            while batch is None or not batch.closes:
                batch = self._queue.get()
                try:
                    self._appender.write(batch)
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

    def _call_back(self, batch: Batch) -> None:
        while (call := self._call) is not None:
            try:
                call(self._come_back, batch)
            except RuntimeError:  # that loop is closed, and nobody waits in it any more
                if call != self._call:
                    continue
            return


def _is_finished(batch: Batch) -> bool:
    return batch.finished
