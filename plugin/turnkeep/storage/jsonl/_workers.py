"""Blocking work on threads, which a caller waits for even when it is cancelled.

A session's lock must not be left while a thread still writes its file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from ..._errors import LostAcknowledgementError, StorageError
from ..._loop import loop_call, own_signal, until_set
from ._disk import UnsyncedError, is_shortage

T = TypeVar("T")


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
        ended = own_signal()()
        call = loop_call()

        def wake(_: Future[T]) -> None:
            with suppress(RuntimeError):  # that loop is closed, and nobody waits in it any more
                call(ended.set)

        future: Future[T] = Future()
        future.add_done_callback(wake)
        try:
            self._pool.submit(_fulfil, future, function, args)
            await ended.wait()
        except BaseException:  # a cancellation; or Ctrl-C, which may come behind any call
            future.cancel()
            await until_set(ended, future.done)
            raise
        return future.result()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _fulfil(future: Future[T], function: Callable[..., T], args: Sequence[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function(*args)
    except BaseException as error:  # noqa: BLE001 - who waits raises it
        future.set_exception(error)
    else:
        future.set_result(result)


def storage_error(where: str, error: BaseException) -> StorageError:
    """Return what a verb raises when the disk failed it."""
    if isinstance(error, NotADirectoryError):
        remedy = "A file is in the place of a folder: name a folder, or a database: 'sqlite:PATH'"
    elif isinstance(error, FileNotFoundError):
        remedy = "Mend the path, or look for who removed or moved the folder"
    else:
        remedy = "Check the disk's space and the folder's permissions"
    if isinstance(error, UnsyncedError):
        return LostAcknowledgementError(
            f"{where}: the change was made, but could not be synced ({error}), so that a power "
            f"cut may take it back. Do it again, which is safe. {remedy}"
        )
    return StorageError(f"{where}: {error}; nothing was stored of this call. {remedy}")
