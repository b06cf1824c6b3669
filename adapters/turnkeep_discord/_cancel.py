"""Safe cancellation of code that waits inside of discord.py."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


async def cancel_only_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, and pass on only the first cancellation.

    A cancel scope cancels its task at each turn of the loop until the task has ended. A second
    cancellation would interrupt discord.py while it releases a rate limit, and the channel's next
    sender would wait in vain.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
        raise
