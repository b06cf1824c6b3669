"""The memory storage's costs."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from types import FrameType
from typing import Any

import pytest

from storage.tools import user
from turnkeep import SessionKey, SessionStore
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
