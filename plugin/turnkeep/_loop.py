"""The running event loop: how a thread calls it, and waiting that no cancellation cuts short.

A shield of anyio holds off cancelled scopes, but not `asyncio.Task.cancel()`.
"""

from __future__ import annotations

import asyncio
from asyncio.events import (
    _get_running_loop,  # pyright: ignore[reportPrivateUsage] (asyncio exports it for event loops)
)
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from anyio import CancelScope, Event, get_cancelled_exc_class, move_on_after
from anyio.lowlevel import current_token

__all__ = [
    "Signal",
    "asyncio_loop",
    "loop_call",
    "own_call",
    "own_signal",
    "running_loop",
    "uninterrupted",
    "until_set",
    "wait_to_the_end",
]

LOOK_SECONDS: Final = 0.5

asyncio_loop: Final = _get_running_loop
"""Return asyncio's running loop, or None under trio, where the public function raises.

It is asked for at each verb, and costs a tenth of a question to anyio.
"""


def running_loop() -> object:
    """Return the loop that runs now; what `loop_call` returns is for this one."""
    loop = asyncio_loop()
    return current_token().native_token if loop is None else loop


class Signal(Protocol):
    """An event of one loop."""

    def set(self) -> object: ...

    def is_set(self) -> bool: ...

    async def wait(self) -> object: ...


def own_signal() -> Callable[[], Signal]:
    """Return what makes an event of the loop that runs now.

    anyio's asks each time which library runs, and takes ten times as long to make.
    """
    return Event if asyncio_loop() is None else asyncio.Event


def loop_call() -> Callable[..., object]:
    """Return the function that calls a function in the loop that runs now, from any thread."""
    native: Any = running_loop()
    # asyncio's loop and trio's token name the same thing differently.
    call: Callable[..., object] = (
        getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon
    )
    return call


def own_call() -> Callable[..., object]:
    """Return the function that calls a function in the loop that runs now, from its own thread.

    asyncio's is the cheaper one: nothing has to wake the loop.
    """
    native: Any = running_loop()
    call: Callable[..., object] = getattr(native, "call_soon", None) or native.run_sync_soon
    return call


async def until_set(event: Signal, ended: Callable[[], bool]) -> None:
    """Wait for the event, and let no cancellation through.

    A thread has the loop set it. Ctrl-C may come in the place of that call, so `ended` is asked
    now and then whether there is still something to wait for.
    """
    with CancelScope(shield=True):
        while not (event.is_set() or ended()):
            with suppress(get_cancelled_exc_class()):
                await until_set_or_ended(event, ended)


async def until_set_or_ended(event: Signal, ended: Callable[[], bool]) -> None:
    """Wait for the same, until a cancellation."""
    while not (event.is_set() or ended()):
        with move_on_after(LOOK_SECONDS):
            await event.wait()


async def wait_to_the_end(event: Signal, ended: Callable[[], bool]) -> None:
    """Wait for the same; a cancellation is raised behind the event."""
    try:
        await until_set_or_ended(event, ended)
    except get_cancelled_exc_class():
        await until_set(event, ended)
        raise


async def uninterrupted(function: Callable[[], Awaitable[None]]) -> None:
    """Run the function to its end, and raise a cancellation only after that."""
    with CancelScope(shield=True):
        if asyncio_loop() is None:
            await function()
            return
        task: asyncio.Task[None] = asyncio.ensure_future(_awaited(function))
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
        task.result()
        if cancelled is not None:
            raise cancelled


async def _awaited(function: Callable[[], Awaitable[None]]) -> None:
    await function()
