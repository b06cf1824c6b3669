"""A closing that is cancelled closes all the same: the folder is free, and the store reopens."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from turnkeep import SessionStore

from .tools import Gated, said

KEY = "telegram:1"

ELSEWHERE = """
import asyncio, sys
from turnkeep import SessionStore

async def main():
    async with SessionStore(sys.argv[1], lock_timeout=0) as store:
        await store.session("telegram:1").append("user", "from another process")

asyncio.run(main())
"""

Cancelling = Callable[[SessionStore, int], Awaitable[None]]


async def _steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def by_task_cancel(store: SessionStore, steps: int) -> None:
    task = asyncio.create_task(store.aclose())
    await _steps(steps)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_task_cancel_twice(store: SessionStore, steps: int) -> None:
    task = asyncio.create_task(store.aclose())
    await _steps(steps)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_wait_for(store: SessionStore, steps: int) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(store.aclose(), timeout=1e-9 * steps)


async def by_a_scope(store: SessionStore, steps: int) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.aclose()
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught


async def by_a_task_group(store: SessionStore, steps: int) -> None:
    async def fail() -> None:
        await _steps(steps)
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):  # noqa: PT012 (it is raised at the end of the block)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            await store.aclose()
            await asyncio.sleep(3600)


async def on_the_way_out(store: SessionStore, steps: int) -> None:
    entered = asyncio.Event()

    async def main() -> None:
        async with store:
            # The store was opened before: now both of its users leave.
            await store.aclose()
            entered.set()
            await asyncio.sleep(0)

    task = asyncio.create_task(main())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


ALL: list[Cancelling] = [
    *(by_task_cancel, by_task_cancel_twice, by_wait_for, by_a_scope, by_a_task_group),
    on_the_way_out,
]


@pytest.mark.parametrize("cancel", ALL, ids=lambda one: one.__name__)
@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("where", ["memory", "jsonl"])
def test_a_closing_that_is_cancelled_leaves_the_folder_and_the_store_reopens(
    tmp_path: Path, cancel: Cancelling, steps: int, where: str
) -> None:
    store = SessionStore("memory:" if where == "memory" else tmp_path, lock_timeout=0)

    async def main() -> None:
        await store.__aenter__()
        await store.session(KEY).append("user", "before")
        # Something is under way, so that closing has to wait for it.
        under_way = asyncio.ensure_future(
            store.session(KEY).extend([{"role": "user", "content": "under way"}])
        )
        await asyncio.sleep(0)
        await cancel(store, steps)
        await under_way
        assert store.desk.opening.state == "closed"
        if where == "jsonl":
            async with SessionStore(tmp_path, lock_timeout=0) as other:
                await other.session(KEY).append("user", "by another store")
        async with store:
            await store.session(KEY).append("user", "after")
            expected = ["before", "under way", "by another store", "after"]
            if where == "memory":
                del expected[2]
            assert await said(store.session(KEY)) == expected

    asyncio.run(main())


@pytest.mark.parametrize("cancel", [by_task_cancel, by_wait_for, on_the_way_out])
def test_a_closing_that_is_cancelled_leaves_the_folder_to_another_process(
    tmp_path: Path, cancel: Cancelling
) -> None:
    async def main() -> None:
        store = SessionStore(tmp_path, lock_timeout=0)
        await store.__aenter__()
        await store.session(KEY).append("user", "before")
        await cancel(store, 1)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ELSEWHERE, str(tmp_path), stderr=subprocess.PIPE
        )
        _, error = await process.communicate()
        assert (process.returncode, error) == (0, b"")
        async with store:
            assert await said(store.session(KEY)) == ["before", "from another process"]

    asyncio.run(main())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_block_that_is_cancelled_at_its_first_checkpoint_on_the_way_out_leaves_the_folder(
    tmp_path: Path, backend: Any
) -> None:
    async def main() -> None:
        store = SessionStore(tmp_path, lock_timeout=0)
        with anyio.CancelScope() as scope:
            async with store:
                await store.session(KEY).append("user", "before")
                scope.cancel()
        assert store.desk.opening.state == "closed"
        async with SessionStore(tmp_path, lock_timeout=0) as other:
            assert await said(other.session(KEY)) == ["before"]
        async with store:
            await store.session(KEY).append("user", "after")

    anyio.run(main, backend=backend)


def test_a_closing_that_is_cancelled_while_its_storage_closes_ends_that_first() -> None:
    async def main() -> None:
        storage = Gated()
        store = SessionStore(storage)
        await store.__aenter__()
        storage.gated.add("aclose")
        task = asyncio.create_task(store.aclose())
        await storage.reached.wait()
        for _ in range(3):
            task.cancel()
            await _steps(3)
        assert not task.done()
        storage.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert storage.closed == 1
        async with store:
            await store.session(KEY).append("user", "after")
        assert (storage.opened, storage.closed) == (2, 2)

    asyncio.run(main())


def test_a_closing_that_fails_can_be_called_again() -> None:
    class Failing(Gated):
        fails = True

        async def aclose(self) -> None:
            if self.fails:
                raise OSError("no")
            await super().aclose()

    async def main() -> None:
        storage = Failing()
        store = SessionStore(storage)
        await store.__aenter__()
        with pytest.raises(OSError, match="no"):
            await store.aclose()
        storage.fails = False
        await store.aclose()
        assert storage.closed == 1
        async with store:
            await store.session(KEY).append("user", "after")

    asyncio.run(main())


def test_a_store_that_could_not_be_closed_is_closed_before_it_opens_again() -> None:
    class Failing(Gated):
        fails = 2

        async def aclose(self) -> None:
            self.fails -= 1
            if self.fails >= 0:
                raise OSError("no")
            await super().aclose()

    async def main() -> None:
        storage = Failing()
        store = SessionStore(storage)
        await store.session(KEY).append("user", "before")
        for _ in range(2):
            with pytest.raises(OSError, match="no"):
                await store.aclose() if storage.fails == 2 else await store.__aenter__()
        async with store:
            await store.session(KEY).append("user", "after")
        assert (storage.opened, storage.closed) == (2, 2)

    asyncio.run(main())
