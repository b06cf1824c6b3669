"""As `chats`, while another process writes and syncs 16 MiB over and over on the same disk."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .chats import TASKS, plot, table
from .rounds import rounds

__all__ = ["plot", "run", "table"]

CONTESTANTS = (
    "turnkeep, os",
    "turnkeep, disk",
    "OpenAI Agents SQLiteSession",
    "OpenAI Agents AsyncSQLiteSession",
    "OpenAI Agents RedisSession",
    "LangGraph AsyncSqliteSaver",
)
LONGEST = 900
"""Seconds after which the other process ends by itself, whatever became of this one."""

WRITER = """
import os, sys, time
end = time.monotonic() + float(sys.argv[2])
block = os.urandom(1 << 20)
with open(sys.argv[1], "wb", buffering=0) as file:
    while time.monotonic() < end:
        file.seek(0)
        for _ in range(16):
            file.write(block)
        os.fsync(file.fileno())
"""


@contextmanager
def other_writes() -> Iterator[None]:
    with tempfile.NamedTemporaryFile() as file:
        command = [sys.executable, "-c", WRITER, file.name, str(LONGEST)]
        with subprocess.Popen(command) as process:
            try:
                yield
            finally:
                process.kill()


def run(*, short: bool) -> list[dict[str, Any]]:
    chats, exchanges, seconds = (20, 100, 1) if short else (1000, 20_000, 8)
    arguments = (chats, TASKS, exchanges, seconds)
    with other_writes():
        return rounds("workloads.exchanges", CONTESTANTS, *arguments, count=1 if short else 3)
