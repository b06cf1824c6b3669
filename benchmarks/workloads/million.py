"""One million sessions, a message each, by 64 tasks: what stays in memory.

turnkeep alone: most peers would take hours, or hold a connection or a lock for each.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from contestants import make

from .exchanges import TEXT, memory
from .rounds import rounds
from .rounds import table as table_of
from .ticker import COLUMNS as LATE
from .ticker import Ticker

COLUMNS = {
    "sessions": "sessions",
    "memory_mb": "memory added, MB",
    "most_mb": "at most, MB",
    "per_second": "sessions/s",
    **LATE,
}
TASKS = 64
WARM = 1000
"""Sessions before the first look at the memory: what modules, threads and pools take."""


async def measure(name: str, folder: Path, sessions: int) -> dict[str, Any]:
    place = os.statvfs(folder.parent)
    if place.f_favail < 2 * sessions or place.f_bavail * place.f_frsize < 2 * sessions * 4096:
        return {"missing": f"there is no room for {sessions:,} files"}
    contestant = make(name)
    await contestant.open(folder)
    before = 0
    grown: dict[int, float] = {}
    numbers = iter(range(WARM + sessions))
    begin = time.perf_counter()

    async def work() -> None:
        nonlocal before
        for number in numbers:
            await contestant.append(f"benchmark:{number}", "user", f"{number} {TEXT[:80]}", "1")
            if number == WARM:
                before = memory()
            elif number > WARM and (number - WARM) % (sessions // 10) == 0:
                grown[number - WARM] = round((memory() - before) / 2**20, 1)

    async with Ticker() as ticker:
        await asyncio.gather(*(work() for _ in range(TASKS)))
        elapsed = time.perf_counter() - begin
    figures = {
        "sessions": sessions,
        "memory_mb": round((memory() - before) / 2**20, 1),
        "most_mb": max(grown.values()),
        "per_second": round(sessions / elapsed, 1),
        **ticker.figures(),
        "grown": [[count, grown[count]] for count in sorted(grown)],
    }
    await contestant.close()
    return figures


def run(*, short: bool) -> list[dict[str, Any]]:
    arguments = (2000 if short else 1_000_000,)
    return rounds("workloads.million", ["turnkeep, os"], *arguments, count=1, limit=1500)


def table(results: list[dict[str, Any]]) -> str:
    return table_of(results, COLUMNS, "memory_mb")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    pyplot: Any = import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(9, 4))
    for one in results:
        if "missing" not in one:
            axes.plot(*zip(*one["grown"], strict=True), label=one["who"])
    axes.set_xlabel("sessions")
    axes.set_ylabel("memory added, MB")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.tight_layout()
    figure.savefig(file)


def main() -> None:
    name, folder, sessions = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(name, Path(folder), int(sessions)))))


if __name__ == "__main__":
    main()
