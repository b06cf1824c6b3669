"""Blocking work on threads, which a caller waits for even when it is cancelled.

A session's lock must not be left while a thread still writes its file. A shield holds off
anyio's own cancellations, but not asyncio's `Task.cancel()`, so the end is waited for here.
"""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from anyio import CancelScope, Event, get_cancelled_exc_class
from anyio.lowlevel import current_token

from ..._errors import LostAcknowledgementError, StorageError
from ._disk import UnsyncedError, is_shortage

T = TypeVar("T")


def running_loop() -> object:
    """Return the loop that runs now; what `loop_call` returns is for this one."""
    try:
        return get_running_loop()  # at once, where anyio first finds out which library it is
    except RuntimeError:
        return current_token().native_token


def loop_call() -> Callable[..., object]:
    """Return what calls a function in the loop that runs now, from any thread."""
    native: Any = current_token().native_token
    # asyncio's loop and trio's token name the same thing differently.
    call: Callable[..., object] = (
        getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon
    )
    return call


async def wait_to_the_end(event: Event, give_up: Callable[[], object] | None = None) -> None:
    """Wait for the event; a cancellation calls `give_up`, and is raised behind the event."""
    try:
        await event.wait()
    except get_cancelled_exc_class():
        if give_up is not None:
            give_up()
        with CancelScope(shield=True):
            while not event.is_set():
                with suppress(get_cancelled_exc_class()):  # asyncio's heeds no shield
                    await event.wait()
        raise


class Workers:
    """A few threads, from `open` to `close`."""

    def __init__(self, threads: int, let_go: Callable[[], Awaitable[object]]) -> None:
        self._threads = threads
        self._let_go = let_go
        """Closes what files it can, where there was no descriptor left."""
        self._pool: ThreadPoolExecutor

    def open(self) -> None:
        """Make ready; a thread starts when there is work for it."""
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="turnkeep-jsonl")

    async def run(self, where: str, function: Callable[..., T], *args: Any) -> T:
        """Run the function; when this returns or raises, it has ended or never begins.

        Its `OSError` is raised as a `StorageError` that begins with `where`. It is called again
        if it found no descriptor left.
        """
        try:
            return await self._run(function, *args)
        except UnsyncedError as error:
            raise storage_error(where, error) from error
        except OSError as error:
            if not is_shortage(error):
                raise storage_error(where, error) from error
        await self._let_go()
        try:
            return await self._run(function, *args)
        except OSError as error:
            raise storage_error(where, error) from error

    async def _run(self, function: Callable[..., T], *args: Any) -> T:
        ended = Event()
        call = loop_call()

        def wake(_: Future[T]) -> None:
            with suppress(RuntimeError):  # that loop is closed, and nobody waits in it any more
                call(ended.set)

        future = self._pool.submit(function, *args)
        future.add_done_callback(wake)
        await wait_to_the_end(ended, future.cancel)
        return future.result()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def storage_error(where: str, error: BaseException) -> StorageError:
    """Return what a verb raises when the disk failed it."""
    remedy = "Check the disk's space and the folder's permissions"
    if isinstance(error, UnsyncedError):
        return LostAcknowledgementError(
            f"{where}: the change was made, but could not be synced ({error}), so that a power "
            f"cut may take it back. Do it again, which is safe. {remedy}"
        )
    return StorageError(f"{where}: {error}; nothing was stored of this call. {remedy}")
