"""Cancelling what waits inside of discord.py."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


async def cancelled_once(work: Coroutine[Any, Any, T]) -> T:
    """Runs it, and hands on one cancellation alone.

    A cancel scope cancels again at each turn of the loop, until what it cancels has ended. The
    second time interrupts how discord.py leaves its rate limits, and holds up whoever sends to
    that channel next.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
        raise
