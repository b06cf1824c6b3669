"""The newest 50 of many sessions; ours beside a scandir and stat of the same files."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contestants import Contestant, make

from .rounds import bars, in_process, medians
from .rounds import table as table_of
from .ticker import COLUMNS as LATE
from .ticker import Ticker

NEWEST = 50
BUDGET = 150
"""Seconds to make the sessions in; who takes longer is not asked to list more."""

CONTESTANTS = (
    "turnkeep, os",
    "nanobot SessionManager",
    "Google ADK SqliteSessionService",
    "LangGraph AsyncSqliteSaver",
)
COLUMNS = {"sessions": "sessions", "ms": "ms", "to_scan": "to scandir and stat", **LATE}


def run(*, short: bool) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    slow: dict[str, dict[str, Any]] = {}
    for sessions in (200,) if short else (10_000, 100_000):
        for name in CONTESTANTS:
            print(f"listing: {name}, {sessions:,} sessions", file=sys.stderr)
            arguments = (sessions, 3 if short else 7)
            found = slow.get(name) or in_process("workloads.listing", name, *arguments)
            if "missing" in found:
                slow[name] = found
                found = {"calls": {"": found}}
            for call, figures in found["calls"].items():
                who = f"{name}{call}, {sessions:,}"
                results.append({"who": who, "sessions": sessions, **figures})
    return results


async def measure(
    make_one: Callable[[], Contestant], folder: Path, sessions: int, count: int
) -> Any:
    deadline = time.perf_counter() + BUDGET
    contestant = make_one()
    await contestant.open(folder)
    for first in range(0, sessions, 64):
        numbers = range(first, min(first + 64, sessions))
        appends = (contestant.append(f"benchmark:{one}", "user", "Hi", f"{one}") for one in numbers)
        await asyncio.gather(*appends)
        if time.perf_counter() > deadline:
            await contestant.close()
            return {"missing": f"{sessions:,} sessions take more than {BUDGET} seconds to make"}
    await contestant.close()
    found: dict[str, list[dict[str, float]]] = {", first call": [], ", next call": []}
    for _ in range(count):
        contestant = make_one()
        await contestant.open(folder)
        for call, measured in found.items():
            scan = _scan(folder)
            async with Ticker() as ticker:
                start = time.perf_counter()
                listed = await contestant.newest(NEWEST)  # type: ignore[attr-defined]
                took = time.perf_counter() - start
            assert listed == NEWEST, (call, listed)
            figures = {"ms": round(took * 1000, 2), "to_scan": round(took / scan, 2)}
            measured.append({**figures, **ticker.figures()})
        await contestant.close()
    return {"calls": {call: medians(measured) for call, measured in found.items()}}


def _scan(folder: Path) -> float:
    """The seconds that a scandir and stat of all files take."""
    start = time.perf_counter()
    for above, _, _ in os.walk(folder):
        with os.scandir(above) as entries:
            for entry in entries:
                entry.stat()
    return time.perf_counter() - start


def table(results: list[dict[str, Any]]) -> str:
    return table_of(results, COLUMNS, "ms")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    bars(results, "ms", "ms", file)


def main() -> None:
    name, _, sessions, count = sys.argv[1:]
    try:
        make(name)
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": f"{error.name} is not installed"}))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = measure(lambda: make(name), Path(folder) / "data", int(sessions), int(count))
        print(json.dumps(asyncio.run(found)))


if __name__ == "__main__":
    main()
