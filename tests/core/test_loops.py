"""A store belongs to one event loop of one process; another one gets an error, at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio

from turnkeep import SessionStore, WrongLoopError
from turnkeep.storage.memory import MemoryStorage

from .two import Summarizer

KEY = "telegram:1"
Call = Callable[[SessionStore], Awaitable[object]]


async def _reply(store: SessionStore) -> None:
    async with store.session(KEY).reply() as reply:
        reply.add_text("Hello!")


async def _turns(store: SessionStore) -> list[object]:
    return [turn async for turn in store.session(KEY).turns()]


CALLS: dict[str, Call] = {
    "append": lambda store: store.session(KEY).append("user", "Hi"),
    "receive": lambda store: store.session(KEY).receive("Hi"),
    "get_history": lambda store: store.session(KEY).get_history(),
    "reply": _reply,
    "turns": _turns,
    "edit": lambda store: store.session(KEY).edit(1, "x"),
    "clear": lambda store: store.session(KEY).clear(),
    "list_sessions": lambda store: store.list_sessions(),
    "rename": lambda store: store.rename(KEY, "telegram:2"),
    "open": lambda store: store.__aenter__(),
    "close": lambda store: store.aclose(),
}


@pytest.fixture(params=["memory", "jsonl"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStore:
    return SessionStore("memory:" if request.param == "memory" else tmp_path)


def check_refused(
    store: SessionStore, there: str, name: str
) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return a main function in which a call raises an error that names the remedy."""

    async def main() -> None:
        with pytest.raises(WrongLoopError) as error:
            await CALLS[name](store)
        assert f"opened in another {there}" in str(error.value)
        assert "open one SessionStore in each event loop and process" in str(error.value)

    return main


async def left_open(store: SessionStore) -> None:
    await store.session(KEY).append("user", "Hi")


@pytest.mark.parametrize("name", CALLS)
def test_a_second_asyncio_run_is_refused_by_a_store_that_was_left_open(
    store: SessionStore, name: str
) -> None:
    asyncio.run(left_open(store))
    asyncio.run(check_refused(store, "event loop, and was not closed there", name)())


@pytest.mark.parametrize("name", CALLS)
def test_trio_is_refused_by_a_store_that_asyncio_left_open(store: SessionStore, name: str) -> None:
    asyncio.run(left_open(store))
    trio.run(check_refused(store, "event loop", name))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_second_trio_run_is_refused_by_a_store_that_trio_left_open(
    store: SessionStore, name: str, backend: Any
) -> None:
    trio.run(left_open, store)
    anyio.run(check_refused(store, "event loop", name), backend=backend)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_with_its_own_loop_is_refused(
    store: SessionStore, name: str, backend: Any
) -> None:
    async def main() -> None:
        async with store:
            await left_open(store)
            failed: list[BaseException] = []

            def run() -> None:
                try:
                    anyio.run(check_refused(store, "thread", name), backend=backend)
                except BaseException as error:
                    failed.append(error)

            await anyio.to_thread.run_sync(run)
            assert failed == []
            assert len(await _turns(store)) == 1

    anyio.run(main)


def test_threads_that_use_a_new_store_at_the_same_time_are_served_or_refused_at_once() -> None:
    for _ in range(20):
        store = SessionStore(MemoryStorage())
        results: list[str] = []
        start, done = threading.Barrier(4), threading.Barrier(4)

        async def main(
            store: SessionStore = store,
            results: list[str] = results,
            start: threading.Barrier = start,
            done: threading.Barrier = done,
        ) -> None:
            start.wait()
            try:
                for _ in range(10):
                    await store.session(KEY).append("user", "Hi")
                results.append("served")
            except WrongLoopError:
                results.append("refused")
            done.wait()

        threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == ["refused"] * 3 + ["served"]


def test_a_store_that_was_closed_serves_another_loop_and_another_thread(
    store: SessionStore,
) -> None:
    async def main() -> None:
        async with store:
            await left_open(store)
            await _reply(store)
            await store.session("telegram:2").append("user", "Hi")
            await store.rename("telegram:2", "telegram:3")
            await store.unlink("telegram:2")
            for _ in range(2):  # at once, so that one waits for the other
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(store.rename, "telegram:4", "telegram:5")
                    tasks.start_soon(store.session(KEY).consolidate, Summarizer())
                    tasks.start_soon(store.session(KEY).consolidate, Summarizer())

    asyncio.run(main())
    trio.run(main)
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join()

    async def count() -> int:
        async with store:
            return len(await _turns(store))

    assert asyncio.run(count()) == 6


def test_an_opening_that_failed_binds_the_store_to_no_loop() -> None:
    class Failing(MemoryStorage):
        fails = True

        async def open(self) -> None:
            if self.fails:
                raise OSError("no")

    storage = Failing()
    store = SessionStore(storage)

    async def fail() -> None:
        with pytest.raises(OSError, match="no"):
            await left_open(store)
        with pytest.raises(OSError, match="no"):
            await store.__aenter__()

    asyncio.run(fail())
    storage.fails = False
    trio.run(left_open, store)


def test_a_closed_store_that_refuses_is_bound_to_no_loop(store: SessionStore) -> None:
    async def main() -> None:
        async with store:
            pass
        with pytest.raises(RuntimeError, match="the store is closed"):
            await left_open(store)

    asyncio.run(main())
    trio.run(main)


# A forked child.

FORKED = """
import asyncio, multiprocessing, os, sys, warnings
import trio
from turnkeep import SessionStore, WrongLoopError

warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads: it is the point
where, how = sys.argv[1:]
store = SessionStore(where)
KEY = "telegram:1"

async def use():
    calls = [
        lambda: store.session(KEY).append("user", "child"),
        lambda: store.session(KEY).get_history(),
        lambda: store.list_sessions(),
        lambda: store.aclose(),
        lambda: store.__aenter__(),
    ]
    for call in calls:
        try:
            await call()
        except WrongLoopError as error:
            assert "a forked child can't use its parent's store" in str(error), error
            assert "open one SessionStore in each event loop and process" in str(error)
        else:
            raise AssertionError("it was served")

def child(run=asyncio.run):
    run(use()) if run is asyncio.run else run(use)

def check(code):
    assert code == 0, code

async def main():
    async with store:
        await store.session(KEY).append("user", "parent")
        if how == "fork":
            pid = os.fork()
            if not pid:
                code = 1
                try:
                    # The loop that was running is not the child's: it starts its own.
                    asyncio.set_event_loop(None)
                    asyncio._set_running_loop(None)
                    child()
                    code = 0
                finally:
                    sys.stderr.flush()
                    os._exit(code)
            check(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        elif how == "inside":
            pid = os.fork()
            if not pid:
                code = 1
                try:
                    # Goes on in the copy of the loop.
                    await use()
                    code = 0
                finally:
                    sys.stderr.flush()
                    os._exit(code)
            check(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        else:
            run = trio.run if how == "trio" else asyncio.run
            process = multiprocessing.get_context("fork").Process(target=child, args=(run,))
            process.start()
            await asyncio.to_thread(process.join)
            check(process.exitcode)
        await store.session(KEY).append("user", "still there")
        said = [turn.content async for turn in store.session(KEY).turns()]
        assert said == ["parent", "still there"], said

asyncio.run(main())
print("fine")
"""


@pytest.mark.parametrize("how", ["fork", "inside", "multiprocessing", "trio"])
@pytest.mark.parametrize("where", ["memory", "jsonl"])
def test_a_forked_child_is_refused_and_the_parent_goes_on(
    tmp_path: Path, where: str, how: str
) -> None:
    place = "memory:" if where == "memory" else str(tmp_path / "sessions")
    done = subprocess.run(
        [sys.executable, "-c", FORKED, place, how],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
