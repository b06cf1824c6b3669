"""How late the event loop is, told by a task that sleeps a millisecond over and over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Self

TICK = 0.001


class Ticker:
    """Ticks as long as its block runs."""

    def __init__(self) -> None:
        self._late: list[float] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _tick(self) -> None:
        while True:
            start = time.perf_counter()
            try:
                await asyncio.sleep(TICK)
            finally:  # also for one that never had its turn before the end
                self._late.append(max(0.0, time.perf_counter() - start - TICK))

    def figures(self) -> dict[str, float]:
        return {
            "stall_ms": round(max(self._late, default=0) * 1000, 2),
            "late_p99_ms": round(percentile(self._late, 0.99) * 1000, 2),
        }


COLUMNS = {"stall_ms": "longest stall of the loop, ms", "late_p99_ms": "loop late by, p99 ms"}


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0
