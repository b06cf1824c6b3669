"""Messages of one chat that several processes got are handled in their order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep.storage.base import Claim

from .queue_worker import KEY
from .test_many_processes import on_postgresql, on_redis, on_sqlite

pytestmark = [pytest.mark.anyio, pytest.mark.once]

PROCESSES = 3
MESSAGES = 12


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def claims_of(store: SessionStore) -> list[Claim]:
    async with store.desk.use() as storage:
        return await storage.claims(key=store.session(KEY).key)


@pytest.mark.parametrize("place", [on_sqlite, on_redis, on_postgresql])
async def test_a_queue_is_first_come_first_served_across_processes(
    place: object, tmp_path: Path
) -> None:
    assert callable(place)
    with place(tmp_path / "place") as url:
        async with SessionStore(url) as store:
            workers = [
                subprocess.Popen(
                    [sys.executable, "-m", "processes.queue_worker", url],
                    cwd=Path(__file__).parents[1],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for _ in range(PROCESSES)
            ]
            try:
                await _play(store, workers)
            finally:
                for worker in workers:
                    worker.kill()
                    worker.wait()
                    assert worker.stdout is not None
                    worker.stdout.close()


async def _play(store: SessionStore, workers: list[subprocess.Popen[str]]) -> None:
    for number in range(MESSAGES):
        # In an order in which no process's own messages follow each other evenly.
        worker = workers[(number * number) % PROCESSES if number > 2 else number]
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(f"{number}\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == f"in line {number}\n"
        if number < PROCESSES:
            # One is in front, and each of the others waits with a ticket.
            with anyio.fail_after(PATIENCE):
                while len({claim.owner for claim in await claims_of(store)}) <= number:
                    await anyio.sleep(0.02)
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.close()
    for worker in workers:
        with anyio.fail_after(PATIENCE):
            assert await anyio.to_thread.run_sync(worker.wait) == 0
    turns = [turn async for turn in store.session(KEY).turns()]
    answers = [turn.text for turn in turns if turn.role == "assistant"]
    assert answers == [f"to {number}" for number in range(MESSAGES)]
    assert await claims_of(store) == []
