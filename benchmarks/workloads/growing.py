"""One chat growing to 100,000 turns: what an append costs at each length."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from contestants import Contestant

from .rounds import bars, rounds, tell
from .rounds import table as table_of
from .ticker import COLUMNS as LATE
from .ticker import Ticker

CONTESTANTS = (
    "turnkeep, os",
    "turnkeep, memory",
    "OpenAI Agents SQLiteSession",
    "OpenAI Agents AsyncSQLiteSession",
    "OpenAI Agents RedisSession",
    "LangChain FileChatMessageHistory",
    "nanobot SessionManager",
    "LangGraph AsyncSqliteSaver",
    "aiogram MemoryStorage",
)
CHAT = "benchmark:1"
LENGTHS = (100, 1000, 10_000, 100_000)
BUDGET = 40
"""Seconds for a round of a contestant; what it has not reached then is left out."""

SAMPLE = 300
"""Appends that are timed at each length; fewer where they take too long."""


async def measure(
    contestant: Contestant, folder: Path, longest: int, seconds: float
) -> dict[str, Any]:
    text = "lorem ipsum dolor sit amet, consectetur " * 5
    figures: dict[str, Any] = {}
    await contestant.open(folder)
    stored = 0
    deadline = time.perf_counter() + BUDGET
    for length in LENGTHS:
        while stored < min(length, longest) and time.perf_counter() < deadline:
            pairs = min(1000, (length - stored) // 2)
            await contestant.fill(CHAT, [("user", text), ("assistant", text)] * pairs)
            stored += 2 * pairs
        if stored < length:
            break
        took = []
        begin = time.perf_counter()
        async with Ticker() as ticker:
            for number in range(SAMPLE):
                start = time.perf_counter()
                await contestant.append(CHAT, "user", text, f"{length}/{number}")
                took.append(time.perf_counter() - start)
                if time.perf_counter() - begin > seconds:
                    break
        stored += len(took) + len(took) % 2
        if len(took) % 2:
            await contestant.append(CHAT, "assistant", text, f"{length}/even")
        figures[f"at_{length}"] = round(sorted(took)[len(took) // 2] * 1e6, 1)
    await contestant.close()
    return {**figures, **ticker.figures(), "durable": contestant.durable}


def run(*, short: bool) -> list[dict[str, Any]]:
    arguments = (1000, 0.2) if short else (100_000, 3)
    return rounds("workloads.growing", CONTESTANTS, *arguments, count=1 if short else 3)


def table(results: list[dict[str, Any]]) -> str:
    lengths = [length for length in LENGTHS if f"at_{length}" in results[0]]
    columns = {f"at_{length}": f"µs at {length:,} turns" for length in lengths} | LATE
    return table_of(results, {"durable": "durable to", **columns}, f"at_{lengths[-1]}")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    longest = max(length for length in LENGTHS if f"at_{length}" in results[0])
    bars(results, f"at_{longest}", f"µs for an append at {longest:,} turns", file)


def main() -> None:
    name, folder, longest, seconds = sys.argv[1:]
    tell(name, lambda one: measure(one, Path(folder), int(longest), float(seconds)))


if __name__ == "__main__":
    main()
