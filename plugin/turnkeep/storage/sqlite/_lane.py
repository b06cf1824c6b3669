"""A thread that does blocking work, and wakes those who wait for it.

Work is gathered for one turn of the loop. The thread takes all that was sent meanwhile, so what
waits together is done together. Asyncio and trio may both be the loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import sleep
from typing import Any, Final, Protocol

import anyio
from msgspec import Struct, field

from ..._loop import loop_call, running_loop, until_set

_NO_LOOP: Final = object()


class Op(Struct, eq=False):
    """A piece of work, and what became of it."""

    result: Any = None
    error: BaseException | None = None
    finished: bool = False
    ticket: list[None] = field(default_factory=lambda: [None])
    """The right to decide: the thread takes it to do the work, or the caller to withdraw it."""
    event: anyio.Event | None = None

    def take(self) -> bool:
        """Return True to the first one who asks."""
        try:
            self.ticket.pop()
        except IndexError:
            return False
        return True


class Worker(Protocol):
    """The work of a lane's thread. Its methods run on that thread."""

    def open(self) -> None:
        """Make ready."""
        ...

    def close(self) -> None:
        """Let go; it is called once, and after the last work."""
        ...

    def work(self, ops: Sequence[Op]) -> None:
        """Take each of these, and do it; what is not `finished` then, a later `tidy` finishes."""
        ...

    def tidy(self) -> float | None:
        """Do a little of what can wait; return the seconds until there is more, or None."""
        ...


class Lane:
    """One thread with a queue, from `open` to `aclose`."""

    def __init__(self, name: str, worker: Worker) -> None:
        self._name = name
        self._worker = worker
        self._queue: SimpleQueue[list[Op] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: object = _NO_LOOP
        self._call: Callable[..., object] | None = None
        self._gathering: list[Op] = []
        self._event: anyio.Event | None = None
        self._opened = Op()
        self._closed: anyio.Event

    # On the loop.

    async def open(self) -> None:
        """Start the thread, and raise what its worker's opening raises."""
        self._loop, self._call = running_loop(), loop_call()
        self._opened, self._closed = Op(event=anyio.Event()), anyio.Event()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()
        assert self._opened.event is not None
        try:
            await self._opened.event.wait()
        except BaseException:  # cancelled: nobody closes what did not open
            with anyio.CancelScope(shield=True):
                await self.aclose()
            raise
        if self._opened.error is not None:
            await self.aclose()
            raise self._opened.error

    async def aclose(self) -> None:
        """End the thread when all that was sent is done."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not running_loop():
            self._loop, self._call = running_loop(), loop_call()
        self._send()
        self._queue.put(None)
        await until_set(self._closed, lambda: not thread.is_alive())
        thread.join()

    async def run(self, op: Op) -> Any:
        """Return the result of the work, or raise its error.

        A cancelled caller takes it back if it has not begun, and else waits for its end.
        """
        event = self._stage(op)
        try:
            await event.wait()
        except BaseException:  # cancelled; or Ctrl-C, which may come behind any call
            if not op.take():
                await until_set(event, lambda: op.finished)
            self._send()  # it is still to come if Ctrl-C took its place
            raise
        if op.error is not None:
            raise op.error
        return op.result

    def _stage(self, op: Op) -> anyio.Event:
        event = self._event
        if event is None or self._loop is not running_loop():
            event = self._gather()
        self._gathering.append(op)
        if op.event is None:
            op.event = event
        return op.event

    def _gather(self) -> anyio.Event:
        loop = running_loop()
        if loop is not self._loop:
            self._loop, self._call = loop, loop_call()
        self._event = anyio.Event()
        assert self._call is not None
        self._call(self._send)
        return self._event

    def _send(self) -> None:
        # At once, since Ctrl-C may come behind any call.
        gathering, self._gathering, self._event = self._gathering, [], None
        if gathering:
            self._queue.put(gathering)

    # From any thread.

    def post(self, op: Op) -> None:
        """Have something done for which nobody waits."""
        self._queue.put([op])

    # On the thread.

    def _run(self) -> None:
        self._guarded(self._worker.open, [self._opened])
        assert self._opened.event is not None
        self._wake([self._opened.event])
        parked: list[Op] = []
        pause: float | None = None
        while True:
            ops: list[Op] = []
            closing = False
            with suppress(Empty):
                batch = self._queue.get(timeout=pause)
                while True:
                    if batch is None:
                        closing = True
                        break
                    ops += batch
                    batch = self._queue.get_nowait()
            if ops:
                self._guarded(partial(self._worker.work, ops), ops)
            parked += [op for op in ops if not op.finished]
            pause = self._guarded(self._worker.tidy, parked)
            while closing and pause is not None:
                sleep(pause)
                pause = self._guarded(self._worker.tidy, parked)
            done = [op for op in (*ops, *parked) if op.finished]
            parked = [op for op in parked if not op.finished]
            self._wake([op.event for op in done if op.event is not None])
            if closing:
                self._guarded(self._worker.close, [])
                self._wake([self._closed])
                return

    def _guarded(self, function: Callable[[], Any], waiting: Sequence[Op]) -> Any:
        try:
            return function()
        except BaseException as error:  # noqa: BLE001 - those who wait raise it
            for op in waiting:
                op.error = op.error or error
                op.finished = True
        return None

    def _wake(self, events: list[anyio.Event]) -> None:
        if events and self._call is not None:
            with suppress(RuntimeError):  # that loop is closed, and nobody waits in it any more
                self._call(_set_all, dict.fromkeys(events))


def _set_all(events: dict[anyio.Event, None]) -> None:
    for event in events:
        event.set()
