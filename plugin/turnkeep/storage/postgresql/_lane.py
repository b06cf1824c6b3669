"""A thread with a connection: calls that wait together make one round trip.

The event loop puts requests into a queue, and the thread takes all that wait. While it is on the
way to the server and back, the next ones gather. So the busier a bot is, the more of its calls
share a statement and a commit, and the order of the calls is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, ClassVar, Final

from anyio import Event, get_cancelled_exc_class

from ..._errors import LostAcknowledgementError, StorageError
from ..._loop import loop_call, until_set, wait_to_the_end
from ._link import Connection, Link

__all__ = ["Lane", "Request", "Work"]

MOST: Final = 256
"""The most requests of one statement."""


class Request:
    """A call that waits for the server. `together` answers many of a kind in one statement."""

    together: ClassVar[Callable[[Connection, Sequence[Any]], None] | None] = None
    """Sets the `answer` of each request, or its `later` if it has to be asked alone."""

    def __init__(self, *, changes: bool) -> None:
        self.changes = changes
        self.done = Event()
        self.answer: Any = None
        self.later = False
        self.error: BaseException | None = None
        self.begun = False
        self.is_over = False
        self.withdrawn = False

    def alone(self, connection: Connection) -> Any:
        """Return the answer to this request alone."""
        raise NotImplementedError


class Work(Request):
    """A request of any statements."""

    def __init__(self, work: Callable[[Connection], Any], *, changes: bool) -> None:
        super().__init__(changes=changes)
        self._work = work

    def alone(self, connection: Connection) -> Any:
        """Run the statements."""
        return self._work(connection)


class Lane:
    """A thread that answers requests in their order, from `open` to `aclose`."""

    def __init__(self, link: Link, name: str) -> None:
        self.link = link
        self._name = name
        self._queue: SimpleQueue[Request | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._call: Callable[..., object]
        self._ended: Event

    def open(self) -> None:
        """Answer to the loop that runs now. The thread starts with the first request."""
        self._call = loop_call()

    async def ask(self, request: Request) -> Any:
        """Return the answer. A cancellation withdraws the request, or waits for its end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._queue.put(request)
        try:
            await request.done.wait()
        except get_cancelled_exc_class():
            request.withdrawn = True
            if request.begun:
                await until_set(request.done, lambda: request.is_over)
            raise
        if request.error is not None:
            raise request.error
        return request.answer

    async def aclose(self) -> None:
        """Answer all requests, and end the thread and the connection."""
        thread = self._thread
        if thread is None:
            return
        # Nothing is asked of the server for this, which may be gone.
        self._ended = Event()
        self._queue.put(None)
        try:
            await wait_to_the_end(self._ended, lambda: not thread.is_alive())
        finally:
            thread.join()
            self._thread = None

    # On the thread.

    def _run(self) -> None:
        ends = False
        while not ends:
            waiting = [self._queue.get()]
            while not self._queue.empty() and len(waiting) < MOST:
                waiting.append(self._queue.get_nowait())
            ends = None in waiting
            requests = [one for one in waiting if one is not None]
            for request in requests:
                request.begun = True  # before the look; who withdraws it looks at this after
            if any(request.withdrawn for request in requests):
                self._deliver([request for request in requests if request.withdrawn])
                requests = [request for request in requests if not request.withdrawn]
            for kind, some in _groups(requests):
                self._answer(kind, some)
        self.link.close()
        with suppress(RuntimeError):
            self._call(self._ended.set)

    def _answer(self, kind: type[Request], requests: list[Request]) -> None:
        together = kind.together
        if together is not None:
            error = self._try(lambda connection: together(connection, requests), requests)
            if error is not None:
                # One that the server refuses costs the others nothing.
                refused = isinstance(error, StorageError) and not isinstance(
                    error, LostAcknowledgementError
                )
                for request in requests:
                    request.later = refused and len(requests) > 1
                    request.error = _own(error)
        for request in requests:
            if together is None or request.later:
                request.error = None
                request.error = self._try(partial(_alone, request), [request])
        self._deliver(requests)

    def _deliver(self, requests: list[Request]) -> None:
        for request in requests:
            request.is_over = True
        with suppress(RuntimeError):  # that loop is closed, and nobody waits in it any more
            self._call(_deliver, requests)

    def _try(
        self, work: Callable[[Connection], None], requests: Sequence[Request]
    ) -> BaseException | None:
        try:
            self.link.run(work, changes=requests[0].changes)
        except BaseException as error:  # noqa: BLE001 - those who wait raise it
            return error
        return None


def _groups(requests: Sequence[Request]) -> list[tuple[type[Request], list[Request]]]:
    """Return what is answered together. Nothing passes a request that is answered alone."""
    groups: list[tuple[type[Request], list[Request]]] = []
    open_groups: dict[type[Request], list[Request]] = {}
    for request in requests:
        kind = type(request)
        if kind.together is None:
            open_groups = {}
            groups.append((kind, [request]))
        elif kind in open_groups:
            open_groups[kind].append(request)
        else:
            open_groups[kind] = [request]
            groups.append((kind, open_groups[kind]))
    return groups


def _alone(request: Request, connection: Connection) -> None:
    request.answer = request.alone(connection)


def _deliver(requests: Sequence[Request]) -> None:
    for request in requests:
        request.done.set()


def _own(error: BaseException) -> BaseException:
    """Return a copy of an error for one of those who raise it."""
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
