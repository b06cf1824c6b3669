"""Nobody waits longer for a session than for those who came before and had to wait themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from patience import PATIENCE
from storage.test_cancelling import Halted
from storage.tools import KEY, contents, messages, opened, path_of, put, user
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl._appender import Appender, Batch
from turnkeep.storage.jsonl._folder import Folder
from turnkeep.storage.jsonl._line import SERVED_AT_ONCE, Line

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]


async def test_all_that_queue_behind_an_edit_are_served_when_it_ends_in_one_batch_and_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    looked: list[str] = []
    write, load, read = Appender.write, Folder.load, Folder.read

    def counted(self: Appender, batch: Batch) -> None:
        written.extend(len(job.lines) for job in batch.jobs.values())
        write(self, batch)

    def looking(real: Any) -> Any:
        def look(*given: Any, **named: Any) -> Any:
            looked.append(real.__name__)
            return real(*given, **named)

        return look

    async with opened(tmp_path) as storage:
        await put(storage, "one", "two")
        halted = Halted(monkeypatch, "rewrite")
        monkeypatch.setattr(Appender, "write", counted)
        monkeypatch.setattr(Folder, "load", looking(load))
        monkeypatch.setattr(Folder, "read", looking(read))
        seen: dict[int, list[Any]] = {}

        async def append(number: int) -> None:
            await storage.append(KEY, [user(f"{number}", source_id=f"{number}")])

        async def window(number: int) -> None:
            seen[number] = await contents(storage, limit=50)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                try:
                    tasks.start_soon(storage.edit, KEY, 1, Change(content="ONE"))
                    await halted.stopped()
                    for number in range(20):
                        tasks.start_soon(append, number)
                        await begun()
                        tasks.start_soon(window, number)
                        await begun()
                    assert not seen
                finally:
                    halted.go_on()
    texts = [f"{number}" for number in range(20)]
    assert written == [20]
    assert looked == []
    assert seen == {number: ["ONE", "two", *texts[: number + 1]] for number in range(20)}
    assert messages(path_of(tmp_path)) == ["ONE", "two", *texts]


def serving(served: list[int], number: int) -> Callable[[], int]:
    """Return a quick work that notes its number."""

    def quick() -> int:
        served.append(number)
        return number

    return quick


async def begun() -> None:
    """Return when all tasks that were started have run up to where they wait."""
    for _ in range(2):  # trio may run this one before the others
        await checkpoint()


def waits() -> None:
    """Stand for a work that has to wait."""


async def test_those_who_need_not_wait_are_served_in_their_order_with_no_turn_between() -> None:
    line, served = Line(), list[int]()
    await line.turn()
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(line.turn, serving(served, number))
            await begun()
        line.leave()
        assert served == [*range(10)]
        assert not line.held


async def test_who_has_to_wait_has_the_session_before_those_behind() -> None:
    line, served = Line(), list[int]()
    await line.turn()

    async def slow() -> None:
        await line.turn(waits)
        served.append(-1)
        line.leave()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(line.turn, serving(served, 0))
        await begun()
        tasks.start_soon(slow)
        await begun()
        tasks.start_soon(line.turn, serving(served, 1))
        await begun()
        line.leave()
        assert served == [0]
        assert line.held
    assert served == [0, -1, 1]
    assert not line.held


async def test_the_event_loop_has_its_turn_while_a_long_line_is_served() -> None:
    line, served = Line(), list[int]()
    await line.turn()
    async with anyio.create_task_group() as tasks:
        for number in range(3 * SERVED_AT_ONCE):
            tasks.start_soon(line.turn, serving(served, number))
        await begun()
        line.leave()
        assert len(served) == SERVED_AT_ONCE
    assert sorted(served) == [*range(3 * SERVED_AT_ONCE)]
    assert not line.held


async def test_a_failure_is_raised_by_the_one_in_line_and_does_not_stop_the_others() -> None:
    line, served = Line(), list[int]()
    failed: list[Exception] = []

    def fails() -> None:
        raise ValueError("mine")

    async def failing() -> None:
        try:
            await line.turn(fails)
        except ValueError as error:
            failed.append(error)

    for held in (True, False):  # in another task, and in its own
        served.clear()
        failed.clear()
        if held:
            await line.turn()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(failing)
            await begun()
            tasks.start_soon(line.turn, serving(served, 1))
            await begun()
            if held:
                line.leave()
        assert (len(failed), served, line.held) == (1, [1], False)


@pytest.mark.parametrize("seed", range(30))
async def test_whoever_is_cancelled_in_line_the_others_have_their_turns_alone_and_in_order(
    seed: int,
) -> None:
    random, line = Random(seed), Line()
    came: list[int] = []
    had: list[int] = []
    ended: set[int] = set()
    inside: list[int] = []

    async def one(number: int, slow: bool, scope: anyio.CancelScope) -> None:
        def quick() -> int | None:
            assert not inside
            had.append(number)
            return None if slow else number

        with scope:
            came.append(number)
            served = await line.turn(quick)
            if served is None:
                inside.append(number)
                try:
                    for _ in range(random.randrange(3)):
                        await checkpoint()
                finally:
                    inside.remove(number)
                    line.leave()
            ended.add(number)

    scopes: list[anyio.CancelScope] = []
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                scopes.append(anyio.CancelScope())
                tasks.start_soon(one, number, random.random() < 0.5, scopes[-1])
                if random.random() < 0.3:
                    await checkpoint()
                if random.random() < 0.3:
                    random.choice(scopes).cancel()
    assert not line.held
    cancelled = {number for number, scope in enumerate(scopes) if scope.cancelled_caught}
    assert ended == set(range(40)) - cancelled
    # One who is slow tries it again when its turn has come.
    first = [*dict.fromkeys(had)]
    assert first == [number for number in came if number in first]
