"""The memory storage's costs."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from types import FrameType
from typing import Any

import pytest

from storage.tools import user
from turnkeep import SessionKey, SessionStore
from turnkeep.storage.base import Change
from turnkeep.storage.memory import MemoryStorage

pytestmark = pytest.mark.anyio


async def test_an_append_does_not_look_at_the_turns_before_it() -> None:
    storage = MemoryStorage()
    work = list[int]()
    for count in (19, 20, 1000):  # Python 3.12 traces no operation of what it has not traced yet
        key = SessionKey("telegram", str(count))
        await storage.append(key, [user("Hi!", source_id=str(n)) for n in range(count)])
        again = [user("Hi!", source_id="5"), user("Ho!", source_id="new", token="t")]
        work.append(await operations(storage.append(key, again)))
    _, few, many = work
    assert many < 1.2 * few


async def operations(verb: Awaitable[Any]) -> int:
    """Return the number of Python's operations that a verb takes."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        await verb
    finally:
        sys.settrace(before)
    return count


async def test_a_receipt_names_the_storage() -> None:
    async with SessionStore("memory:") as store:
        await store.session("telegram:7").append("user", "Hi!", sender="7")
        assert (await store.forget("telegram:7")).looked_in == ["MemoryStorage()"]


async def test_a_deletion_and_a_find_do_not_look_at_the_other_turns() -> None:
    storage = MemoryStorage()
    work = list[list[int]]()
    for count in (100, 120, 3000):  # as above
        key = SessionKey("telegram", str(count))
        await storage.append(key, [user("Hi!", source_id=str(n)) for n in range(count)])
        verbs = [
            storage.find(key, "5"),
            storage.find(key, "none"),
            storage.delete(key, [count // 2]),
            storage.delete(key, [count]),
        ]
        work.append([await operations(verb) for verb in verbs])
    for few, many in zip(*work[1:], strict=True):
        assert many < 1.2 * few + 50


async def test_a_source_id_of_two_turns_is_the_earlier_ones_again_once_the_later_is_gone() -> None:
    storage, key = MemoryStorage(), SessionKey("telegram", "1")
    await storage.append(key, [user("Hi!", source_id=str(n)) for n in range(4)])
    await storage.edit(key, 4, Change(link=("1", "2")))
    for expected in (4, 2):
        found = await storage.find(key, "1")
        assert found is not None
        assert found.id == expected
        assert await storage.delete(key, [expected]) == [found]
    assert await storage.find(key, "1") is None
    again = await storage.append(key, [user("again", source_id="1"), user("x", source_id="2")])
    assert again is not None
    assert again.new == [True, False]
    assert [turn.id for turn in again.turns] == [5, 3]
