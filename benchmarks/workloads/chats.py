"""Exchanges over 1,000 chats (Zipf 1.1) by 64 tasks: append, a window of 50, append."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contestants import NAMES

from .rounds import bars, rounds
from .rounds import table as table_of

COLUMNS = {
    "durable": "durable to",
    "per_second": "exchanges/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "stall_ms": "longest stall of the loop, ms",
    "late_p99_ms": "loop late by, p99 ms",
    "memory_mb": "memory added, MB",
    "open_files": "open files",
    "disk_mb": "on disk, MB",
}
TASKS = 64


def run(*, short: bool) -> list[dict[str, Any]]:
    chats, exchanges, seconds = (20, 100, 2) if short else (1000, 20_000, 8)
    arguments = (chats, TASKS, exchanges, seconds)
    return rounds("workloads.exchanges", list(NAMES), *arguments, count=1 if short else 3)


def table(results: list[dict[str, Any]]) -> str:
    return table_of(results, COLUMNS, "per_second")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    bars(results, "per_second", "exchanges per second", file)
