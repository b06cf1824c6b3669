"""Work that goes on when its caller is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from anyio import CancelScope

from ..._loop import asyncio_loop

__all__ = ["to_the_end"]


async def to_the_end(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run work to its end, and raise a cancellation only then.

    anyio's shield holds off cancelled scopes, but not `asyncio.Task.cancel`.
    """
    with CancelScope(shield=True):
        if asyncio_loop() is None:
            await work()
            return
        task = asyncio.ensure_future(work())
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
        task.result()
        if cancelled is not None:
            raise cancelled
