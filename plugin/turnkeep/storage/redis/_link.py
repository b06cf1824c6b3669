"""The thread that talks to the servers: all that waits goes in one pipeline.

redis-py's asyncio client does not run under trio, and writes each command by itself. One thread
with plain connections serves both loops. While it waits for the server, the loop goes on, and
what comes meanwhile is the next pipeline. So commands keep their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, TypeAlias

from anyio import Event

from ..._loop import asyncio_loop, loop_call
from ._exchange import Command, Exchange
from ._servers import shard_of

__all__ = ["Link"]

Work: TypeAlias = "Command | Job"

_MOST: Final = 1000
"""The most commands of one pipeline."""


class Job:
    """A function to run between two pipelines, such as connecting."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.waiter: asyncio.Future[None] | Event | None = None
        self.is_abandoned = False
        self.answer: Any = None
        self.error: Exception | None = None


class Link:
    """The thread, from `open` to `aclose`, and its queue."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._queue: SimpleQueue[Sequence[Work] | None] = SimpleQueue()
        self._collected: list[Work] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._call_soon: Callable[..., object] = print
        self._runs = False

    def start(self) -> None:
        """Start the thread, for the event loop that runs now."""
        self._loop = asyncio_loop()
        self._call_soon = loop_call()
        self._queue, self._collected = SimpleQueue(), []
        Thread(target=self._work, args=(self._queue,), name="turnkeep-redis", daemon=True).start()
        self._runs = True

    async def stop(self) -> None:
        """End the thread when it has done all that it was given."""
        if not self._runs:
            return
        try:
            await self.run(self._exchange.close)
        finally:
            self._runs = False
            self._queue.put(None)  # nothing is given to the thread behind the job above

    async def run(self, function: Callable[[], object]) -> Any:
        """Run a function in the thread, in its order."""
        return await self._do(Job(function))

    async def call(
        self, key: str, script: str, arguments: Sequence[str | bytes | int], *, changes: bool
    ) -> Any:
        """Run a script at a session's key, and return its answer."""
        command = self.command(key, script, arguments, changes=changes)
        self.submit(command)
        return await self.answer(command)

    def command(
        self, key: str, script: str, arguments: Sequence[str | bytes | int], *, changes: bool
    ) -> Command:
        """Return a command for `submit` and `answer`: a script to run at a session's key."""
        command = Command(shard_of(key), key, script, arguments, changes)
        command.waiter = self._waiter()
        return command

    async def read_all(self, script: str, reads: Iterable[tuple[int, Sequence[str]]]) -> list[Any]:
        """Run a script that reads, at several shards with their arguments, in one pipeline."""
        commands = [Command(shard, "", script, arguments, False) for shard, arguments in reads]
        for command in commands:
            self.submit(command)
        return [await self.answer(command) for command in commands]

    @property
    def is_cluster(self) -> bool:
        """True if no script can read two shards."""
        return self._exchange.servers.is_cluster

    async def _do(self, work: Work) -> Any:
        self.submit(work)
        return await self.answer(work)

    def submit(self, work: Work) -> None:
        """Give work to the thread, behind all that it was given before."""
        if not self._collected:
            # All that comes in this turn of the loop goes to the thread at once.
            if self._loop is not None:
                self._loop.call_soon(self._hand_over)
            else:
                self._call_soon(self._hand_over)
        self._collected.append(work)
        if work.waiter is None:
            work.waiter = self._waiter()

    def _waiter(self) -> asyncio.Future[None] | Event:
        return Event() if self._loop is None else self._loop.create_future()

    @staticmethod
    async def answer(work: Work) -> Any:
        """Wait for the answer to submitted work, and return it; raise its error."""
        waiter = work.waiter
        try:
            if isinstance(waiter, Event):
                await waiter.wait()
            elif waiter is not None:
                await waiter
        except BaseException:  # cancelled: nobody takes the answer
            work.is_abandoned = True
            raise
        if work.error is not None:
            raise work.error
        return work.answer

    def _hand_over(self) -> None:
        collected, self._collected = self._collected, []
        self._queue.put(collected)

    @staticmethod
    def _deliver(done: Sequence[Work]) -> None:
        for work in done:
            if isinstance(work, Command) and work.then is not None and work.then(work):
                continue
            waiter = work.waiter
            if isinstance(waiter, Event):
                waiter.set()
            elif waiter is not None and not waiter.done():  # else its task was cancelled
                waiter.set_result(None)

    # In the thread.

    def _work(self, queue: SimpleQueue[Sequence[Work] | None]) -> None:
        while True:
            got = queue.get()
            if got is None:
                return
            todo = list(got)
            # Only `stop` gives None, and behind it comes nothing.
            with suppress(Empty):
                while len(todo) < _MOST and (more := queue.get_nowait()):
                    todo.extend(more)
            self._do_all(todo)
            try:
                self._call_soon(self._deliver, todo)
            except RuntimeError:
                return  # the loop is closed, and nobody waits in it any more

    def _do_all(self, todo: Sequence[Work]) -> None:
        commands: list[Command] = []
        for work in todo:
            if isinstance(work, Command):
                commands.append(work)
                continue
            self._exchange.run(commands)
            commands = []
            try:
                work.answer = work.function()
            except Exception as error:  # noqa: BLE001 (it is raised where the job was given)
                work.error = error
        self._exchange.run(commands)
