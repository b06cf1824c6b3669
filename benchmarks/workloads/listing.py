"""The newest 50 of many sessions, beside a scandir and stat of the same files."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from turnkeep import SessionStore

from .rounds import bars
from .rounds import table as table_of

COLUMNS = {"sessions": "sessions", "ms": "ms"}


def run(*, short: bool) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for sessions in (200,) if short else (10_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            results += asyncio.run(_measured(Path(folder), sessions, count=3 if short else 7))
    return results


async def _measured(folder: Path, sessions: int, *, count: int) -> list[dict[str, Any]]:
    async with SessionStore(folder) as store:
        for first in range(0, sessions, 500):
            numbers = range(first, min(first + 500, sessions))
            keys = [f"benchmark:{number}" for number in numbers]
            await asyncio.gather(*(store.session(key).append("user", "Hi") for key in keys))
    scans: list[float] = []
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(count):
        scans.append(_timed(lambda: _scan(folder)))
        async with SessionStore(folder) as store:
            for times in (cold, warm):
                start = time.perf_counter()
                page = await store.list_sessions(limit=50)
                times.append(time.perf_counter() - start)
                assert len(page) == 50
    return [
        {"who": f"{who}, {sessions:,}", "sessions": sessions, **_figures(times)}
        for who, times in (
            ("scandir and stat", scans),
            ("turnkeep, the newest 50, first call", cold),
            ("turnkeep, the newest 50, next call", warm),
        )
    ]


def _scan(folder: Path) -> int:
    return sum(
        entry.stat().st_mtime_ns > 0
        for channel in os.scandir(folder)
        if channel.is_dir()
        for entry in os.scandir(channel.path)
    )


def _timed(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _figures(times: list[float]) -> dict[str, Any]:
    return {
        "ms": round(statistics.median(times) * 1000, 2),
        "ms_range": [round(min(times) * 1000, 2), round(max(times) * 1000, 2)],
    }


def table(results: list[dict[str, Any]]) -> str:
    return table_of(results, COLUMNS, "ms")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    bars(results, "ms", "ms", file)
