"""The contract *Agent loops*: the work of a round does not grow with the rounds before it."""

from __future__ import annotations

import pytest

from turnkeep import Session, SessionStore, TurnTooLargeError
from turnkeep._records import content

pytestmark = pytest.mark.anyio


async def test_each_of_many_parallel_calls_is_checked_once(
    asked: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = 0
    check = content._tool_call

    def counted(*arguments: object) -> object:
        nonlocal checked
        checked += 1
        return check(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(content, "_tool_call", counted)
    async with asked.reply() as reply:
        for number in range(100):
            reply.add_tool_call(f"c{number}", "look", "{}")
        assert [call["id"] for call in reply.calls] == [f"c{number}" for number in range(100)]
    assert checked == 100
    assert len(reply.turns) == 1


async def test_parallel_calls_together_over_the_limit_are_refused_at_the_call_that_passes_it() -> (
    None
):
    async with SessionStore("memory:", max_turn_bytes=2000) as store:
        session = store.session("test:1")
        await session.append("user", "look")
        with pytest.raises(TurnTooLargeError):
            async with session.reply() as reply:
                for number in range(100):
                    reply.add_tool_call(f"c{number}", "look", '{"at": "%s"}' % ("x" * 100))
        assert 5 < number < 12
