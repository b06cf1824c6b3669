"""An open loop: 500 messages/s in 1,000 chats (Zipf 1.1), and a model that takes 200 ms.

A closed loop waits for its answers, so a slow storage is asked less. A bot's users don't wait.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path
from typing import Any

from contestants import Contestant

from .exchanges import TEXT, plan
from .rounds import bars, rounds, tell
from .rounds import table as table_of
from .ticker import COLUMNS as LATE
from .ticker import Ticker, percentile

CONTESTANTS = (
    "turnkeep, os",
    "turnkeep, disk",
    "turnkeep, sqlite, os",
    "turnkeep, sqlite, disk",
    "turnkeep, memory",
    "turnkeep, redis",
    "OpenAI Agents SQLiteSession",
    "OpenAI Agents AsyncSQLiteSession",
    "OpenAI Agents RedisSession",
    "nanobot SessionManager",
)
COLUMNS = {
    "durable": "durable to",
    "p50_ms": "append p50, ms",
    "p99_ms": "append p99, ms",
    "cpu_us": "µs of CPU a message",
    "driver_us": "of these the benchmark's",
    "answered": "answered/s",
    **LATE,
}
RATE = 500
MODEL = 0.2
"""Seconds until the model has answered."""


class Nothing:
    """The same loop without a storage: what the benchmark itself costs."""

    durable = "nothing"

    async def open(self, folder: Path) -> None: ...

    async def append(self, chat: str, role: str, text: str, id: str) -> None: ...

    async def window(self, chat: str) -> int:
        return 0

    async def close(self) -> None: ...


async def run_loop(
    contestant: Contestant | Nothing, folder: Path, chats: int, seconds: float
) -> dict[str, Any]:
    await contestant.open(folder)
    plans = plan(chats, int(RATE * seconds))
    for chat in {*plans}:  # the chats are known: what is measured is not their beginning
        await contestant.append(chat, "user", TEXT, f"{chat}/first")
        await contestant.window(chat)
    random_gaps, took = random.Random(2), list[float]()
    answered = 0

    async def message(number: int, chat: str) -> None:
        nonlocal answered
        start = time.perf_counter()
        await contestant.append(chat, "user", f"{number} {TEXT[:80]}", f"{chat}/{number}")
        took.append(time.perf_counter() - start)
        await contestant.window(chat)
        await asyncio.sleep(MODEL)
        start = time.perf_counter()
        await contestant.append(chat, "assistant", f"{number} {TEXT}", f"{chat}/{number}a")
        took.append(time.perf_counter() - start)
        answered += 1

    async with Ticker() as ticker, asyncio.TaskGroup() as messages:
        begin, spent = time.perf_counter(), time.process_time()
        due = begin
        for number, chat in enumerate(plans):
            due += random_gaps.expovariate(RATE)
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            messages.create_task(message(number, chat))
    elapsed, spent = time.perf_counter() - begin, time.process_time() - spent
    await contestant.close()
    return {
        "p50_ms": round(percentile(took, 0.5) * 1000, 3),
        "p99_ms": round(percentile(took, 0.99) * 1000, 3),
        "cpu_us": round(spent / len(plans) * 1e6, 1),
        "answered": round(answered / elapsed, 1),
        **ticker.figures(),
        "durable": contestant.durable,
    }


async def measure(
    contestant: Contestant, folder: Path, chats: int, seconds: float
) -> dict[str, Any]:
    alone = await run_loop(Nothing(), folder, chats, seconds / 2)
    found = await run_loop(contestant, folder, chats, seconds)
    return {**found, "driver_us": alone["cpu_us"]}


def run(*, short: bool) -> list[dict[str, Any]]:
    arguments = (20, 0.5) if short else (1000, 8)
    return rounds("workloads.open", CONTESTANTS, *arguments, count=1 if short else 3)


def table(results: list[dict[str, Any]]) -> str:
    return table_of(results, COLUMNS, "p99_ms")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    bars(results, "p99_ms", "ms for an append at 500 messages/s, p99", file)


def main() -> None:
    name, folder, chats, seconds = sys.argv[1:]
    tell(name, lambda one: measure(one, Path(folder), int(chats), float(seconds)))


if __name__ == "__main__":
    main()
