"""Opening, sharing and closing a store: the contract *Concurrency*."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest

from turnkeep import ReadOnlyError, SessionStore, StoreClosedError, StoreLockedError

from .conftest import Place
from .tools import Gated, answer, said

pytestmark = pytest.mark.anyio


async def test_making_a_store_does_no_io(tmp_path: Path) -> None:
    SessionStore(tmp_path / "sessions").session("t:1")
    assert list(tmp_path.iterdir()) == []


async def test_a_store_opens_at_first_use(place: Place) -> None:
    store = place()
    await store.session("t:1").append("user", "Hi")
    assert await said(store.session("t:1")) == ["Hi"]
    await store.aclose()


async def test_reading_opens_a_store_too(place: Place) -> None:
    store = place()
    assert await store.list_sessions() == []
    await store.aclose()


async def test_many_first_uses_open_a_store_once() -> None:
    storage = Gated()
    store = SessionStore(storage)
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(store.session(f"t:{number}").append, "user", "Hi")
        tasks.start_soon(store.__aenter__)
    assert storage.opened == 1


async def test_two_who_share_a_store_open_and_close_it_once() -> None:
    storage = Gated()
    store = SessionStore(storage)
    async with store:
        async with store:
            await store.session("t:1").append("user", "one")
        assert storage.closed == 0
        await store.session("t:1").append("user", "two")
    assert (storage.opened, storage.closed) == (1, 1)


async def test_a_store_in_use_before_it_is_opened_closes_with_its_last_opener() -> None:
    storage = Gated()
    store = SessionStore(storage)
    await store.session("t:1").append("user", "early")
    async with store:
        pass
    assert (storage.opened, storage.closed) == (1, 1)


async def test_a_closed_store_refuses_to_read_and_to_write(place: Place) -> None:
    async with place() as store:
        session = await store.session("t:1").receive("Hi")
    with pytest.raises(StoreClosedError, match=r"session t:1: .*open it again"):
        await session.append("user", "late")
    with pytest.raises(StoreClosedError, match="session t:1"):
        await session.get_history()
    with pytest.raises(StoreClosedError):
        await answer(session)
    with pytest.raises(StoreClosedError):
        await store.list_sessions()
    assert not session.already_answered


async def test_a_closed_store_may_be_opened_again(place: Place) -> None:
    store = place()
    for text in ("one", "two"):
        async with store:
            await store.session("t:1").append("user", text)
    async with store:
        assert await said(store.session("t:1")) == ["one", "two"]


async def test_closing_twice_closes_once() -> None:
    storage = Gated()
    store = SessionStore(storage)
    await store.__aenter__()
    await store.aclose()
    await store.aclose()
    assert storage.closed == 1


async def test_closing_a_store_that_was_never_opened_does_nothing(place: Place) -> None:
    store = place()
    await store.aclose()
    async with store:
        await store.session("t:1").append("user", "Hi")


async def test_closing_waits_for_the_calls_under_way() -> None:
    storage = Gated()
    storage.gated = {"append"}
    store = SessionStore(storage)
    done: list[str] = []

    async def append() -> None:
        await store.session("t:1").append("user", "Hi")
        done.append("append")

    async def close() -> None:
        await store.aclose()
        done.append("close")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(append)
        await storage.reached.wait()
        tasks.start_soon(close)
        await anyio.wait_all_tasks_blocked()
        assert done == []
        storage.gate.set()
    assert done == ["append", "close"]


async def test_what_is_called_while_a_store_closes_is_refused() -> None:
    storage = Gated()
    storage.gated = {"append"}
    store = SessionStore(storage)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.session("t:1").append, "user", "Hi")
        await storage.reached.wait()
        tasks.start_soon(store.aclose)
        await anyio.wait_all_tasks_blocked()

        async def late() -> None:
            with pytest.raises(StoreClosedError):
                await store.session("t:1").append("user", "late")

        tasks.start_soon(late)
        await anyio.wait_all_tasks_blocked()
        storage.gate.set()
    assert await said(SessionStore(storage).session("t:1")) == ["Hi"]


async def test_a_store_opened_while_it_closes_is_open_after_that() -> None:
    storage = Gated()
    storage.gated = {"aclose"}
    store = SessionStore(storage)
    await store.__aenter__()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.aclose)
        await storage.reached.wait()
        tasks.start_soon(store.__aenter__)
        await anyio.wait_all_tasks_blocked()
        storage.gate.set()
    assert (storage.opened, storage.closed) == (2, 1)
    await store.session("t:1").append("user", "Hi")


async def test_an_append_of_many_is_whole_after_closing_at_once(place: Place) -> None:
    store = place()
    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(store.session("t:1").append, "user", f"{number}")
        await anyio.wait_all_tasks_blocked()
        await store.aclose()
    async with store:
        assert len(await said(store.session("t:1"))) == 30


async def test_an_opening_that_fails_leaves_the_store_openable() -> None:
    storage = Gated()
    storage.open_error = StoreLockedError("another process owns it")
    store = SessionStore(storage)
    with pytest.raises(StoreLockedError):
        async with store:
            pass
    with pytest.raises(StoreLockedError):
        await store.session("t:1").append("user", "Hi")
    storage.open_error = None
    async with store:
        await store.session("t:1").append("user", "Hi")
    assert (storage.opened, storage.closed) == (1, 1)


async def test_an_opening_that_fails_fails_for_all_who_wait_for_it() -> None:
    storage = Gated()
    storage.open_error = StoreLockedError("another process owns it")
    store = SessionStore(storage)
    failed: list[int] = []

    async def append(number: int) -> None:
        with pytest.raises(StoreLockedError):
            await store.session("t:1").append("user", "Hi")
        failed.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(append, number)
    assert len(failed) == 5


async def test_a_cancelled_opening_leaves_the_store_openable() -> None:
    storage = Gated()
    storage.gated = {"open"}
    store = SessionStore(storage)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.__aenter__)
        await storage.reached.wait()
        tasks.cancel_scope.cancel()
    storage.gate.set()
    async with store:
        await store.session("t:1").append("user", "Hi")
    assert (storage.opened, storage.closed) == (1, 1)


async def test_a_cancelled_block_closes_its_store_and_leaves_the_folder(place: Place) -> None:
    with anyio.CancelScope() as scope:
        async with place() as store:
            await store.session("t:1").append("user", "Hi")
            scope.cancel()
    async with place(lock_timeout=0) as store:
        assert await said(store.session("t:1")) == ["Hi"]


async def test_a_second_store_over_an_owned_folder_is_refused(tmp_path: Path) -> None:
    async with SessionStore(tmp_path / "s") as store:
        await store.session("t:1").append("user", "Hi")
        with pytest.raises(
            StoreLockedError, match=r"another SessionStore of this process .*read_only=True"
        ):
            async with SessionStore(tmp_path / "s", lock_timeout=0):
                pass
        async with SessionStore(tmp_path / "s", read_only=True) as reader:
            assert await said(reader.session("t:1")) == ["Hi"]
    async with SessionStore(tmp_path / "s", lock_timeout=0) as second:
        assert await said(second.session("t:1")) == ["Hi"]


async def test_a_read_only_store_reads_and_refuses_to_write(place: Place) -> None:
    async with place() as store:
        await store.session("t:1").append("user", "Hi", source_id="m1")
    async with place(read_only=True) as store:
        session = store.session("t:1")
        assert await said(session) == ["Hi"]
        assert len(await session.get_history()) == 1
        for write in (
            session.append("user", "x"),
            session.extend([{"role": "user", "content": "x"}]),
            session.receive("x"),
            answer(session),
            session.edit("m1", "x"),
            session.delete("m1"),
            session.undo(),
            session.clear(),
            session.update_metadata(k=1),
            store.forget("t:1"),
            store.rename("t:1", "t:2"),
        ):
            with pytest.raises(ReadOnlyError, match=r"session t:1: .*read_only=True"):
                await write
        with pytest.raises(ReadOnlyError, match=r"read_only=True"):
            await store.delete("m1")
        assert await said(session) == ["Hi"]


async def test_a_store_says_what_it_is_over(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "sessions")
    assert str(tmp_path / "sessions") in repr(store)
    assert " new>" in repr(store)
    async with store:
        assert " open>" in repr(store)
    assert " closed>" in repr(store)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_closing_whose_task_is_cancelled_is_finished_and_then_raises_that() -> None:
    storage = Gated()
    storage.gated = {"aclose"}
    store = SessionStore(storage)
    await store.__aenter__()
    closing = asyncio.create_task(store.aclose())
    await storage.reached.wait()
    for _ in range(3):
        closing.cancel()
        await asyncio.sleep(0)
    storage.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert (storage.opened, storage.closed) == (1, 1)
    async with store:
        await store.session("t:1").append("user", "Hi")
    assert (storage.opened, storage.closed) == (2, 2)
