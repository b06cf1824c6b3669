"""Each call of the write path fails in turn, or is the last one of its process."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from faults.calls import FAULTS, Calls, failing
from faults.conftest import TRIALS, Tally
from faults.story import STEPS, found_in, states, view
from patience import PATIENCE
from storage.tools import opened
from turnkeep import LostAcknowledgementError, StorageError

pytestmark = pytest.mark.anyio

DURABILITIES = ("os", "disk")


async def calls_of(folder: Path, durability: str) -> dict[str, list[str]]:
    """The calls that each step makes."""
    found: dict[str, list[str]] = {}
    with Calls(folder).watched() as calls:
        async with opened(folder, durability=durability) as storage:
            for name, step in STEPS.items():
                before = len(calls.names)
                await step(storage)
                found[name] = calls.names[before:]
    return found


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_call_that_fails_loses_nothing_and_the_session_goes_on(
    tmp_path: Path, durability: str, tally: Tally
) -> None:
    expected = await states(tmp_path / "clean", durability)
    made = await calls_of(tmp_path / "counted", durability)
    cases: list[tuple[object, ...]] = [
        (name, at, fault)
        for name, calls in made.items()
        for at in range(len(calls))
        for fault in FAULTS
        if fault != "short" or calls[at] in ("write", "pwrite")
        if fault != "EMFILE" or calls[at] == "open"
    ]
    for number, (name, at, fault) in enumerate(tally.some(cases, 25)):
        folder = tmp_path / f"{number}"
        place = [*STEPS].index(cast("str", name))
        case = f"{name}: call {at} ({made[cast('str', name)][cast('int', at)]}) {fault}"
        try:
            with anyio.fail_after(PATIENCE):
                await _try(folder, durability, place, cast("int", at), cast("str", fault), expected)
        except Exception as error:
            raise AssertionError(case) from error
        tally.count(f"{fault} with {durability!r}")
        shutil.rmtree(folder)


def open_now() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def _try(
    folder: Path, durability: str, place: int, at: int, fault: str, expected: list[str]
) -> None:
    steps = [*STEPS.values()]
    threads = threading.active_count()
    descriptors = open_now()
    async with opened(folder, durability=durability) as storage:
        for step in steps[:place]:
            await step(storage)
        error: StorageError | None = None
        with Calls(folder).watched() as calls:
            calls.before = failing(at, fault)
            try:
                await steps[place](storage)
            except StorageError as caught:
                error = caught
        there = await view(storage)
        if error is None:
            assert there == expected[place + 1]
        elif isinstance(error, LostAcknowledgementError):
            assert there in expected[place : place + 2]
        else:
            assert there == expected[place]
        # The fault is lifted: the same call has its effect, once.
        await steps[place](storage)
        assert await view(storage) == expected[place + 1]
        for step in steps[place + 1 :]:
            await step(storage)
        assert await view(storage) == expected[-1]
    assert threading.active_count() == threads
    assert open_now() == descriptors
    async with opened(folder) as storage:
        assert await view(storage) == expected[-1]


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_process_that_dies_before_any_call_leaves_each_step_done_or_not_begun(
    tmp_path: Path, durability: str, tally: Tally
) -> None:
    expected = await states(tmp_path / "clean", durability)
    folder = tmp_path / "folder"
    place = 0
    copies: list[tuple[int, str, Path]] = []

    def snap(number: int, name: str, given: tuple[Any, ...]) -> None:
        if name not in ("open", "close", "utime"):  # these change nothing that counts
            copy = tmp_path / f"copy {len(copies)}"
            shutil.copytree(folder, copy)
            copies.append((place, f"{[*STEPS][place]}: before call {number}, {name}", copy))

    with Calls(folder).watched() as calls:
        async with opened(folder, durability=durability) as storage:
            calls.before = snap
            for step in STEPS.values():
                await step(storage)
                place += 1
            calls.before = lambda number, name, given: None
    for index in sorted(tally.dice.sample(range(len(copies)), min(len(copies), int(25 * TRIALS)))):
        place, what, copy = copies[index]
        assert await found_in(copy) in expected[place : place + 2], what
        tally.count(f"deaths with {durability!r}")
