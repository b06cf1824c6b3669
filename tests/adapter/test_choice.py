"""The `record=` option chooses the events that are recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from turnkeep.adapter import RecordFilter


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def never() -> bool:
    raise AssertionError("this was not to be asked")


async def is_long(event: str) -> bool:
    return len(event) > 3


@pytest.mark.parametrize("name", ["some", "", None])
def test_an_unknown_name_is_refused_with_the_names_there_are(name: Any) -> None:
    with pytest.raises(ValueError, match="record is 'all', 'handled', 'addressed' or a function"):
        RecordFilter(name)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("record", "is_addressed", "accepted"),
    [
        ("all", never, True),
        ("handled", never, True),
        ("addressed", yes, True),
        ("addressed", no, False),
    ],
)
async def test_a_name_accepts_all_or_what_is_addressed_to_the_bot(
    record: Literal["all", "handled", "addressed"],
    is_addressed: Callable[[], Awaitable[bool]],
    accepted: bool,
) -> None:
    chosen: RecordFilter[str] = RecordFilter(record)
    assert await chosen.accepts("hello", is_addressed) is accepted


@pytest.mark.asyncio
@pytest.mark.parametrize("record", [lambda event: len(event) > 3, is_long], ids=["sync", "async"])
async def test_a_function_accepts_what_it_says_yes_to(record: Any) -> None:
    chosen: RecordFilter[str] = RecordFilter(record)
    assert [await chosen.accepts(one, never) for one in ("hello", "hi")] == [True, False]


@pytest.mark.parametrize(
    ("record", "by_handlers", "at_once"),
    [
        ("all", False, True),
        ("handled", True, True),
        ("addressed", False, False),
        (is_long, False, False),
    ],
)
def test_only_handled_leaves_it_to_handlers_and_only_a_question_takes_time(
    record: Any, by_handlers: bool, at_once: bool
) -> None:
    chosen: RecordFilter[str] = RecordFilter(record)
    assert (chosen.by_handlers, chosen.decides_at_once) == (by_handlers, at_once)
