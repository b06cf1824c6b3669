"""A cancelled verb has had its whole effect or none, however it was cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from patience import PATIENCE
from storage.tools import KEY, OTHER, contents, lines, messages, opened, path_of, put, user
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage
from turnkeep.storage.jsonl._folder import Folder

pytestmark = pytest.mark.anyio

Verb = Callable[[JsonlStorage], Coroutine[Any, Any, Any]]
VERBS: dict[str, tuple[str, Verb, list[list[str]]]] = {
    "edit": (
        "rewrite",
        lambda storage: storage.edit(KEY, 1, Change(content="ONE")),
        [["one", "two"], ["ONE", "two"]],
    ),
    "delete": ("rewrite", lambda storage: storage.delete(KEY, [1]), [["one", "two"], ["two"]]),
    "erase": ("erase", lambda storage: storage.clear(KEY, erase=True), [["one", "two"], []]),
    "forget": ("forget", lambda storage: storage.forget(KEY), [["one", "two"], []]),
    "rename": ("rename", lambda storage: storage.rename(KEY, OTHER), [["one", "two"]]),
    "first look": ("load", lambda storage: storage.append(KEY, [user("three")]), [
        ["one", "two"], ["one", "two", "three"],
    ]),
}  # fmt: skip


class Halted:
    """One function of the folder, which stops before its work and goes on when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self._stopped, self._go_on = threading.Event(), threading.Event()
        real = getattr(Folder, name)

        def work(*arguments: Any, **options: Any) -> Any:
            self._stopped.set()
            assert self._go_on.wait(PATIENCE)
            return real(*arguments, **options)

        monkeypatch.setattr(Folder, name, work)

    async def stopped(self) -> None:
        """Wait until it has begun, in its thread."""
        with anyio.fail_after(PATIENCE):
            while not self._stopped.is_set():
                await anyio.sleep(0.001)

    def go_on(self) -> None:
        self._go_on.set()


Halt = Callable[[str], Halted]


@pytest.fixture
def halt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Halt]:
    """Stop a function of the folder in its middle, so that it is cancelled there."""
    halted: list[Halted] = []

    def stop(name: str) -> Halted:
        halted.append(Halted(monkeypatch, name))
        return halted[-1]

    yield stop
    for one in halted:
        one.go_on()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("times", [1, 2])
async def test_a_native_cancel_in_the_middle_of_a_rewrite_loses_no_later_append(
    tmp_path: Path, halt: Halt, verb: str, times: int
) -> None:
    name, call, states = VERBS[verb]
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two")
    async with opened(tmp_path) as storage:
        halted = halt(name)
        task: asyncio.Future[object] = asyncio.ensure_future(call(storage))
        await halted.stopped()
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.01)
        assert not task.done(), "it waits for its thread"
        halted.go_on()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The thread has ended with the verb, so nothing is written behind the next one's back.
        state = await contents(storage)
        assert state in states
        await put(storage, "later")
        assert await contents(storage) == [*state, "later"]
        renamed = path_of(tmp_path, OTHER)
        assert messages(renamed if renamed.exists() else path_of(tmp_path)) == [*state, "later"]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize("verb", VERBS)
async def test_a_cancelled_scope_in_the_middle_of_a_rewrite_loses_no_later_append(
    tmp_path: Path, halt: Halt, verb: str, anyio_backend: str
) -> None:
    name, call, states = VERBS[verb]
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two")
    async with opened(tmp_path) as storage:
        halted = halt(name)

        async def run() -> None:
            await call(storage)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await halted.stopped()
            tasks.cancel_scope.cancel()
            halted.go_on()
        state = await contents(storage)
        assert state in states
        await put(storage, "later")
        assert await contents(storage) == [*state, "later"]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_appends_that_are_cancelled_at_any_moment_are_whole_or_not_there(
    tmp_path: Path, anyio_backend: str
) -> None:
    group = ["a", "b", "c"]
    returned = 0

    async def append(storage: JsonlStorage) -> None:
        nonlocal returned
        await storage.append(KEY, [user(text) for text in group])
        returned += 1

    async with opened(tmp_path) as storage:
        await append(storage)
    for round in range(12):
        async with opened(tmp_path) as storage:
            for steps in range(8):
                async with anyio.create_task_group() as tasks:
                    for _ in range(3):
                        tasks.start_soon(append, storage)
                    for _ in range(steps):
                        await anyio.lowlevel.checkpoint()
                    if round % 2:
                        await anyio.sleep(0.0002 * round)
                    tasks.cancel_scope.cancel()
            stored = await contents(storage)
            assert stored == group * (len(stored) // 3)
        assert stored == messages(path_of(tmp_path))
    assert returned <= len(stored) // 3 <= 1 + 12 * 8 * 3
    ids = [line["id"] for line in lines(path_of(tmp_path)) if "id" in line]
    assert ids == list(range(1, len(stored) + 1))


async def test_a_closing_that_is_cancelled_stores_all_and_leaves_the_folder(
    tmp_path: Path,
) -> None:
    storage = JsonlStorage(tmp_path)
    await storage.open()
    await put(storage, "first")
    appends = [asyncio.ensure_future(put(storage, f"{n}")) for n in range(100)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(storage.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, *appends, return_exceptions=True)
    async with opened(tmp_path, lock_timeout=0) as storage:
        assert await contents(storage) == ["first", *(f"{n}" for n in range(100))]
