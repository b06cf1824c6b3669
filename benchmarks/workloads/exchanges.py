"""One contestant's exchanges over many chats, in a process of its own; prints JSON.

python -m workloads.exchanges NAME FOLDER CHATS TASKS EXCHANGES SECONDS
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from contestants import Contestant

from .rounds import tell
from .ticker import Ticker, percentile

TEXT = "lorem ipsum dolor sit amet, consectetur adipiscing elit " * 4


def plan(chats: int, exchanges: int) -> list[str]:
    """Which chat each exchange is in: Zipf's law with 1.1, the same at every run."""
    weights = list(itertools.accumulate((rank + 1) ** -1.1 for rank in range(chats)))
    chosen = random.Random(1).choices(range(chats), cum_weights=weights, k=exchanges)
    return [f"benchmark:{chat}" for chat in chosen]


async def measure(
    contestant: Contestant, folder: Path, chats: int, tasks: int, exchanges: int, seconds: float
) -> dict[str, Any]:
    await contestant.open(folder)
    before = memory()
    todo = iter(enumerate(plan(chats, exchanges)))
    took: list[float] = []
    deadline = time.perf_counter() + seconds

    async def work() -> None:
        for number, chat in todo:
            start = time.perf_counter()
            if start > deadline:
                return
            await contestant.append(chat, "user", f"{number} {TEXT[:80]}", f"{chat}/{number}")
            await contestant.window(chat)
            await contestant.append(chat, "assistant", f"{number} {TEXT}", f"{chat}/{number}a")
            took.append(time.perf_counter() - start)

    async with Ticker() as ticker:
        begin = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(tasks)))
        elapsed = time.perf_counter() - begin
    figures = {
        "exchanges": len(took),
        "per_second": round(len(took) / elapsed, 1),
        "p50_ms": round(percentile(took, 0.5) * 1000, 3),
        "p99_ms": round(percentile(took, 0.99) * 1000, 3),
        **ticker.figures(),
        "memory_mb": round((memory() - before) / 2**20, 1),
        "open_files": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None,
    }
    await contestant.close()
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {**figures, "disk_mb": round(size / 2**20, 2), "durable": contestant.durable}


def memory() -> int:
    """Bytes of this process that are in memory (Linux; elsewhere 0)."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    name, folder, *numbers = sys.argv[1:]
    chats, tasks, exchanges = map(int, numbers[:3])
    seconds = float(numbers[3])
    tell(name, lambda one: measure(one, Path(folder), chats, tasks, exchanges, seconds))


if __name__ == "__main__":
    main()
