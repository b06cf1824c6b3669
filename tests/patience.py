"""How long a test waits for what must come.

A machine that runs tests is busy with other things, and a bot that starts there takes as long as
it takes. So every wait of a test has the one limit, which only a hang meets; how fast something
is, the benchmarks say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from emulators._server import PATIENCE

__all__ = ["PATIENCE", "until"]


async def until(happened: Callable[[], Awaitable[object]], what: str) -> None:
    """Wait until a question that has to be awaited is answered with something true."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await happened():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise TimeoutError(f"waited {PATIENCE} s in vain for {what}") from None
