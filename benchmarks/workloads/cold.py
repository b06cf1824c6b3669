"""Opening a long chat in a new process: the first window of 50, opening included."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from contestants import Contestant, make

from .exchanges import memory
from .rounds import HERE, bars, medians
from .rounds import table as table_of
from .ticker import COLUMNS as LATE
from .ticker import Ticker

CONTESTANTS = (
    "turnkeep, os",
    "OpenAI Agents SQLiteSession",
    "OpenAI Agents AsyncSQLiteSession",
    "OpenAI Agents SQLAlchemySession",
    "LangChain FileChatMessageHistory",
    "LangChain SQLChatMessageHistory",
    "nanobot SessionManager",
    "Google ADK SqliteSessionService",
    "LangGraph AsyncSqliteSaver",
)
CHAT = "benchmark:1"
BUDGET = 40
"""Seconds: a contestant that takes longer to write a chat is not asked for a longer one."""

COLUMNS = {"turns": "turns", "ms": "first window, ms", "memory_mb": "memory added, MB", **LATE}


async def write(contestant: Contestant, folder: Path, turns: int) -> None:
    """Makes a chat of so many turns, in the quickest way that the contestant has."""
    await contestant.open(folder)
    text = "lorem ipsum dolor sit amet, consectetur " * 5
    await contestant.fill(CHAT, [("user", text), ("assistant", text)] * (turns // 2))
    await contestant.close()


async def first_window(contestant: Contestant, folder: Path) -> dict[str, float]:
    async with Ticker() as ticker:
        before, start = memory(), time.perf_counter()
        await contestant.open(folder)
        count = await contestant.window(CHAT)
        took = time.perf_counter() - start
    assert 48 <= count <= 50, count
    grown = (memory() - before) / 2**20
    await contestant.close()
    return {"ms": round(took * 1000, 3), "memory_mb": round(grown, 1), **ticker.figures()}


def run(*, short: bool) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    slow: dict[str, str] = {}
    for turns in (100,) if short else (100, 1000, 10_000, 100_000):
        for name in CONTESTANTS:
            print(f"cold: {name}, {turns:,} turns", file=sys.stderr)
            about = {"who": f"{name}, {turns:,}", "turns": turns}
            found = {"missing": slow[name]} if name in slow else _measured(name, turns, short)
            if "missing" in found:
                slow[name] = found["missing"]
            results.append({**about, **found})
    return results


def _measured(name: str, turns: int, short: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        found = [_process("write", name, folder, turns)]
        if "missing" not in found[0]:
            found = [_process("read", name, folder, turns) for _ in range(1 if short else 5)]
    return medians(found)


def _process(what: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "workloads.cold", what, *map(str, arguments)]
    try:
        ran = subprocess.run(
            command, cwd=HERE, capture_output=True, text=True, timeout=BUDGET, check=False
        )
    except subprocess.TimeoutExpired:
        return {"missing": f"a chat as long takes more than {BUDGET} seconds to {what}"}
    if ran.returncode:
        return {"missing": f"it failed: {ran.stderr.strip().splitlines()[-1][:200]}"}
    measured: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return measured


def table(results: list[dict[str, Any]]) -> str:
    return table_of(results, COLUMNS, "ms")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    bars(results, "ms", "first window, ms", file)


def main() -> None:
    what, name, folder, turns = sys.argv[1:]
    try:
        contestant = make(name)
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": f"{error.name} is not installed"}))
        return
    if what == "write":
        asyncio.run(write(contestant, Path(folder) / "data", int(turns)))
        print("{}")
    else:
        print(json.dumps(asyncio.run(first_window(contestant, Path(folder) / "data"))))


if __name__ == "__main__":
    main()
