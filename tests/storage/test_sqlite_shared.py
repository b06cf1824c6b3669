"""Several processes over one SQLite file, some of which are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import anyio

from patience import PATIENCE
from turnkeep import SessionStore

WORKER = Path(__file__).with_name("sqlite_worker.py")
TASKS = 8
LINES = 60


def start(file: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), str(file), name, f"{TASKS}"]
    path = os.pathsep.join(sys.path)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )


def test_four_processes_of_which_each_is_killed_lose_nothing_and_store_nothing_twice(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chats.db"
    acknowledged: list[list[str]] = []
    running = [start(file, f"{n}") for n in range(4)]
    for restarted in ("4", "5", "6", "7", *[None] * 4):
        worker = running.pop(0)
        assert worker.stdout is not None
        said = [worker.stdout.readline().split() for _ in range(LINES)]
        worker.kill()
        said += [line.split() for line in worker.stdout.read().splitlines()]
        worker.stdout.close()
        assert worker.wait(PATIENCE) == -9
        acknowledged += [line for line in said if len(line) == 2]
        if restarted is not None:
            running.append(start(file, restarted))

    async def look() -> None:
        async with SessionStore(f"sqlite:{file}") as store:
            for chat in range(3):
                turns = [turn async for turn in store.session(f"test:{chat}").turns()]
                assert [turn.id for turn in turns] == list(range(1, len(turns) + 1))
                stored = [turn.text for turn in turns]
                assert len(set(stored)) == len(stored), "one was stored twice"
                told = {source for where, source in acknowledged if where == f"{chat}"}
                assert told, "no process had its turn in this session"
                assert told <= set(stored), "one was lost"
                order = defaultdict(list)
                for text in stored:
                    task, _, number = text.rpartition("/")
                    order[task].append(int(number))
                assert all(numbers == list(range(len(numbers))) for numbers in order.values())

    anyio.run(look)
