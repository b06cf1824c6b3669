"""A store outlives its event loop, and the order of appends holds while a session is cold."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
import trio

from patience import PATIENCE
from storage.tools import KEY, OTHER, contents, messages, opened, path_of, put, user
from turnkeep import SessionStore
from turnkeep.storage.jsonl import JsonlStorage


def test_one_store_serves_two_event_loops_one_after_the_other(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)

    async def talk(text: str) -> list[object]:
        async with store:
            await store.session("test:1").append("user", text)
            return [turn.content async for turn in store.session("test:1").turns()]

    assert asyncio.run(talk("one")) == ["one"]
    assert asyncio.run(talk("two")) == ["one", "two"]


def test_a_storage_that_was_not_closed_goes_on_in_the_next_loop(tmp_path: Path) -> None:
    storage = JsonlStorage(tmp_path)
    asyncio.run(storage.open())

    async def talk(text: str) -> None:
        await put(storage, text)
        under_way = [asyncio.ensure_future(put(storage, f"{text} {n}")) for n in range(20)]
        await asyncio.sleep(0)
        # The loop ends here, and cancels what is under way.
        assert not all(task.done() for task in under_way)

    async def end() -> Sequence[object]:
        turns = await contents(storage)
        await storage.aclose()
        return turns

    for text in ("one", "two", "three"):
        asyncio.run(asyncio.wait_for(talk(text), PATIENCE))
    turns = asyncio.run(asyncio.wait_for(end(), PATIENCE))
    assert [turn for turn in turns if " " not in str(turn)] == ["one", "two", "three"]
    assert turns == messages(path_of(tmp_path))


def test_a_loop_that_ends_at_any_moment_does_not_stop_the_next_one(tmp_path: Path) -> None:
    storage = JsonlStorage(tmp_path)
    asyncio.run(storage.open())

    async def talk(steps: int) -> None:
        tasks = [asyncio.ensure_future(put(storage, f"{steps} {n}")) for n in range(3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        tasks += [asyncio.ensure_future(put(storage, f"{steps} {n}")) for n in range(3, 5)]

    for steps in range(12):
        asyncio.run(talk(steps))
        asyncio.run(asyncio.wait_for(put(storage, f"done {steps}"), PATIENCE))
    asyncio.run(asyncio.wait_for(storage.aclose(), PATIENCE))
    done = [text for text in messages(path_of(tmp_path)) if text.startswith("done")]
    assert done == [f"done {steps}" for steps in range(12)]


def test_a_storage_moves_between_asyncio_and_trio(tmp_path: Path) -> None:
    storage = JsonlStorage(tmp_path)

    async def talk(text: str) -> None:
        await storage.open()
        await put(storage, text)
        await storage.aclose()

    asyncio.run(talk("one"))
    trio.run(talk, "two")
    asyncio.run(talk("three"))
    assert messages(path_of(tmp_path)) == ["one", "two", "three"]


@pytest.mark.anyio
async def test_closing_ends_every_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        assert set(threading.enumerate()) - before
    assert not set(threading.enumerate()) - before


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_appends_to_a_cold_session_are_stored_in_the_order_they_first_ran(
    tmp_path: Path, anyio_backend: str
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *["old"] * 1500)
    order: list[str] = []

    async def append(storage: JsonlStorage, text: str, source_id: str | None) -> None:
        order.append(text)
        await storage.append(KEY, [user(text, source_id=source_id)])

    for round in range(4):
        async with opened(tmp_path) as storage, anyio.create_task_group() as tasks:
            for number in range(60):
                source_id = f"{round} {number}" if number % (round + 2) == 1 else None
                tasks.start_soon(append, storage, f"{number}", source_id)
                if number % 7 == 0:
                    await anyio.lowlevel.checkpoint()
                if number % 20 == 3:
                    tasks.start_soon(storage.read, KEY)
        assert messages(path_of(tmp_path))[1500:] == order


@pytest.mark.anyio
async def test_a_long_read_of_one_session_does_not_hold_up_another(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "mine", key=OTHER)
        for _ in range(50):
            await storage.append(KEY, [user("x" * 100)] * 3000)
    async with opened(tmp_path) as storage:
        order: list[str] = []

        async def read() -> None:
            assert len(await contents(storage)) == 150_000
            order.append("long")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.lowlevel.checkpoint()
            await put(storage, "more", key=OTHER)
            order.append("short")
    assert order == ["short", "long"]
