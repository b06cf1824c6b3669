"""The wait for running handlers before an adapter leaves the store."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from anyio import move_on_after

__all__ = ["drain"]

logger: Final = logging.getLogger("turnkeep")


async def drain(
    running: Callable[[], int], wait_for_one: Callable[[], Awaitable[object]], seconds: float
) -> None:
    """Wait until no handler runs, at most `seconds`, and log how many still run then.

    `running` counts the handlers, and `wait_for_one` waits until at least one of them has ended.
    """
    with move_on_after(seconds):
        while running():
            await wait_for_one()
    if late := running():
        logger.warning(
            "%d handlers still run after %g seconds; their replies can't be stored any more",
            late,
            seconds,
        )
