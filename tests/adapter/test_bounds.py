"""Bounds of what one person can make a bot do: waiting messages, and answers in a time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from types import FrameType
from typing import Any, Self

import pytest
import pytest_asyncio

from turnkeep import Sender, Session, SessionStore
from turnkeep.adapter import Bounds, Busy, Overlap, RateLimit, Refusal

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def session() -> AsyncIterator[Session]:
    async with SessionStore("memory:") as store:
        yield store.session("telegram:7")


class Steps:
    """Counts the steps of the interpreter in one module, while it is entered."""

    def __init__(self, module: str) -> None:
        self.count = 0
        self._module = module

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_globals.get("__name__") != self._module:
            return None
        frame.f_trace_opcodes = True
        self.count += event == "opcode"
        return self._trace

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)


async def steps_for(busy: Busy, debounce: float, messages: int) -> int:
    """The steps for so many messages, of which one handler answers all but the first."""
    may_end = asyncio.Event()
    answered: list[int] = []

    async def handle(bound: Session) -> None:
        await may_end.wait()
        answered.append(len(bound.joined) + 1)

    async with SessionStore("memory:") as store:
        overlap, session = Overlap(busy, debounce=debounce), store.session("telegram:7")
        received = [
            await session.receive("hello", source_id=str(number), sender=Sender("1"))
            for number in range(messages)
        ]
        with Steps("turnkeep.adapter._overlap") as steps:
            tasks = [asyncio.create_task(overlap.run(one, handle)) for one in received]
            await asyncio.wait(tasks, timeout=0.01)
            may_end.set()
            await asyncio.gather(*tasks)
    assert sum(answered) == messages, answered
    return steps.count


@pytest.mark.parametrize(("busy", "debounce"), [("collect", 0), ("latest", 0), ("parallel", 0.05)])
async def test_messages_that_wait_to_be_answered_together_cost_the_same_each(
    busy: Busy, debounce: float
) -> None:
    few, many = [await steps_for(busy, debounce, messages) for messages in (50, 400)]
    assert many < few * 8 * 1.25, (few, many)


async def test_a_queue_is_no_longer_than_max_waiting(session: Session) -> None:
    overlap = Overlap("queue", bounds=Bounds(max_waiting=3))
    may_end = asyncio.Event()
    answered: list[str] = []

    async def handle(bound: Session) -> None:
        assert bound.turn is not None
        await may_end.wait()
        answered.append(bound.turn.text)

    async def say(text: str) -> None:
        await overlap.run(await session.receive(text, source_id=text), handle)

    tasks = [asyncio.create_task(say(str(number))) for number in range(6)]
    await asyncio.gather(*tasks[4:])
    may_end.set()
    await asyncio.gather(*tasks)
    assert answered == ["0", "1", "2", "3"]
    assert [turn.text async for turn in session.turns()] == [*"012345"]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


KEY = SessionStore("memory:").session("telegram:7").key


async def test_a_person_gets_so_many_answers_in_any_such_time_and_others_get_theirs() -> None:
    clock = Clock()
    bounds = Bounds(limit=RateLimit(2, per=timedelta(seconds=60)), clock=clock)
    assert bounds.charge(KEY, ["ada"]) is None
    clock.now += 50
    assert bounds.charge(KEY, ["ada"]) is None
    assert bounds.charge(KEY, ["ada"]) == Refusal("limit", 10)
    assert bounds.charge(KEY, ["bob"]) is None
    clock.now += 10
    assert bounds.charge(KEY, ["ada"]) is None
    assert bounds.charge(KEY, ["ada"]) == Refusal("limit", 50)


async def test_what_several_people_asked_is_answered_while_one_of_them_has_an_answer_left() -> None:
    bounds = Bounds(limit=RateLimit(1))
    assert bounds.charge(KEY, ["ada"]) is None
    assert bounds.charge(KEY, ["ada", "bob"]) is None
    assert bounds.charge(KEY, ["ada", "bob"]) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Bounds(max_waiting=0),
        lambda: Bounds(max_waiting=True),
        lambda: RateLimit(0),
        lambda: RateLimit(True),
        lambda: RateLimit(1, per=timedelta(0)),
    ],
)
async def test_what_is_no_bound_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"not .+"):
        wrong()
