"""One chat that many write to beside 300 others, with an edit in it: is it as fast as they are?

An edit holds its chat for as long as the disk takes, and what comes meanwhile queues.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import time
from pathlib import Path
from typing import Any

from contestants import Contestant

from .exchanges import TEXT
from .rounds import bars, rounds, tell
from .rounds import table as table_of
from .ticker import COLUMNS as LATE
from .ticker import Ticker, percentile

CONTESTANTS = (
    "turnkeep, os",
    "turnkeep, disk",
    "turnkeep, sqlite, os",
    "turnkeep, memory",
    "turnkeep, redis",
    "OpenAI Agents SQLiteSession",
    "OpenAI Agents AsyncSQLiteSession",
    "OpenAI Agents RedisSession",
    "nanobot SessionManager",
)
COLUMNS = {
    "durable": "durable to",
    "hot_p50_ms": "the busy chat's p50, ms",
    "others_p50_ms": "the others' p50, ms",
    "ratio": "ratio",
    "hot_p99_ms": "the busy chat's p99, ms",
    "others_p99_ms": "the others' p99, ms",
    **LATE,
}
HOT = "benchmark:0"
SHARE = 0.18
TASKS = 64
EDIT_AFTER = 0.2


async def measure(
    contestant: Contestant, folder: Path, chats: int, seconds: float
) -> dict[str, Any]:
    await contestant.open(folder)
    for chat in range(chats):
        await contestant.append(f"benchmark:{chat}", "user", TEXT, f"{chat}/first")
    chosen, took = random.Random(1), (list[float](), list[float]())
    numbers = itertools.count()
    begin = time.perf_counter()

    async def work() -> None:
        while (start := time.perf_counter()) < begin + seconds:
            at, number = chosen.random(), next(numbers)
            other = f"benchmark:{1 + int(at * 7919 * chats) % (chats - 1)}"
            chat = HOT if at < SHARE else other
            await contestant.append(chat, "user", f"{number} {TEXT[:80]}", f"{chat}/{number}")
            await contestant.window(chat)
            await contestant.append(chat, "assistant", f"{number} {TEXT}", f"{chat}/{number}a")
            took[chat != HOT].append(time.perf_counter() - start)

    async def edit() -> None:
        await asyncio.sleep(EDIT_AFTER)
        if change := getattr(contestant, "edit", None):  # most peers can't
            await change(HOT, "0/first", "changed")

    async with Ticker() as ticker:
        await asyncio.gather(edit(), *(work() for _ in range(TASKS)))
    await contestant.close()
    hot, others = ([time * 1000 for time in times or (seconds,)] for times in took)
    return {
        "hot_p50_ms": round(percentile(hot, 0.5), 2),
        "others_p50_ms": round(percentile(others, 0.5), 2),
        "ratio": round(percentile(hot, 0.5) / percentile(others, 0.5), 2),
        "hot_p99_ms": round(percentile(hot, 0.99), 1),
        "others_p99_ms": round(percentile(others, 0.99), 1),
        **ticker.figures(),
        "durable": contestant.durable,
    }


def run(*, short: bool) -> list[dict[str, Any]]:
    arguments = (20, 0.5) if short else (300, 4)
    return rounds("workloads.hot", CONTESTANTS, *arguments, count=1 if short else 3)


def table(results: list[dict[str, Any]]) -> str:
    return table_of(results, COLUMNS, "hot_p50_ms")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    bars(results, "hot_p50_ms", "ms for an exchange in the busy chat, p50", file)


def main() -> None:
    name, folder, chats, seconds = sys.argv[1:]
    tell(name, lambda one: measure(one, Path(folder), int(chats), float(seconds)))


if __name__ == "__main__":
    main()
