"""The contract *Agent loops*: the work of a round does not grow with the rounds before it."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from turnkeep import Reply, Session, SessionStore, Turn, TurnTooLargeError
from turnkeep._records import content
from turnkeep._session.draft import Draft
from turnkeep._window.arrange import Arrangement
from turnkeep._window.calls import CallGroup
from turnkeep._window.message import to_message
from turnkeep._window.tokens import message_tokens

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
        async with session.reply() as reply:
            with pytest.raises(TurnTooLargeError):
                _add_calls(reply, 100)
            assert 5 < len(reply.calls) < 12


@pytest.fixture
def arranged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The role of each turn that is arranged for a window, and `settled` for each call."""
    seen: list[str] = []
    add, settle = Arrangement.extend, CallGroup.settled

    def extend(self: Arrangement, turns: Iterable[Turn]) -> None:
        turns = [*turns]
        seen.extend(turn.role for turn in turns)
        add(self, turns)

    def settled(self: CallGroup, unanswered: Any) -> Any:
        seen.append("settled")
        return settle(self, unanswered)

    monkeypatch.setattr(Arrangement, "extend", extend)
    monkeypatch.setattr(CallGroup, "settled", settled)
    return seen


async def test_a_round_of_a_reply_arranges_only_its_own_turns(
    asked: Session, arranged: list[str]
) -> None:
    async with asked.reply() as reply:
        for number in range(200):
            arranged.clear()
            reply.add_tool_call(f"c{number}", "look", "{}")
            reply.add_tool_result(f"c{number}", "a cat")
            await reply.get_history(50)
            assert number == 0 or arranged == ["assistant", "tool", "settled"]


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`counted` for each turn that is counted, and `made` for each message that is not copied."""
    seen: list[str] = []
    count, make = message_tokens, to_message

    def counted(*arguments: Any) -> int:
        seen.append("counted")
        return count(*arguments)

    def made(*arguments: Any) -> Any:
        seen.append("made")
        return make(*arguments)

    monkeypatch.setattr("turnkeep._window.options.message_tokens", counted)
    monkeypatch.setattr("turnkeep._window.options.to_message", made)
    return seen


@pytest.mark.parametrize("most", [300, 3000, 300_000])
async def test_a_round_of_a_reply_counts_and_makes_only_its_own_turns(
    asked: Session, worked: list[str], most: int
) -> None:
    rounds: list[int] = []
    async with asked.reply() as reply:
        for number in range(150):
            worked.clear()
            reply.add_tool_call(f"c{number}", "look", '{"at": "somewhere"}')
            reply.add_tool_result(f"c{number}", f"result {number} " + "word " * 20)
            await reply.get_history(max_tokens=most)
            rounds.append(len(worked))
    # Its call and its result, the question for the sums of what is left, and what is cut.
    assert max(rounds[-50:]) <= 40
    assert sum(rounds[-50:]) <= sum(rounds[50:100]) + 50


async def test_a_round_at_the_session_counts_and_makes_only_its_own_turns(
    session: Session, worked: list[str]
) -> None:
    rounds: list[int] = []
    await session.append("user", "What is there?")
    for number in range(150):
        worked.clear()
        call = {"id": f"c{number}", "function": {"name": "look", "arguments": "{}"}}
        await session.append("assistant", None, tool_calls=[call])
        await session.append("tool", "a cat " * 10, tool_call_id=f"c{number}")
        await session.get_history(max_tokens=2000)
        rounds.append(len(worked))
    # Where the window needs a longer read than before, its turns are arranged anew.
    assert sorted(rounds)[-5] <= 40


async def test_a_missing_result_among_many_calls_is_counted_once(
    asked: Session, worked: list[str]
) -> None:
    async with asked.reply() as reply:
        for number in range(100):
            reply.add_tool_call(f"c{number}", "look", "{}")
        await reply.get_history(max_tokens=100_000)
        counted = worked.count("counted")
        await reply.get_history(max_tokens=100_000)
        assert worked.count("counted") <= counted + 1  # the question, which must fit alone


@pytest.mark.parametrize("bound", [{}, {"max_tokens": 1000}])
async def test_what_a_caller_does_to_the_messages_of_a_window_is_not_in_the_next_one(
    asked: Session, bound: Any
) -> None:
    async with asked.reply() as reply:
        for number in range(3):
            reply.add_tool_call(f"c{number}", "look", '{"at": 1}')
            reply.add_tool_result(f"c{number}", "a cat")
        before = await reply.get_history(**bound)
        spoilt = await reply.get_history(**bound)
        for message in spoilt:
            for call in message.get("tool_calls") or ():
                call["function"]["arguments"] = call["id"] = "spoilt"
                call["function"]["name"] = "spoilt"
            message["tool_calls"] = message["content"] = message["role"] = "spoilt"
        assert await reply.get_history(**bound) == before


async def test_a_text_in_progress_is_shown_by_one_window_and_replaced_in_the_next(
    asked: Session,
) -> None:
    async with asked.reply() as reply:
        reply.add_text("Let me")
        assert (await reply.get_history())[-1]["content"] == "Let me"
        reply.add_text(" look.")
        assert (await reply.get_history())[-1]["content"] == "Let me look."
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        shown = await reply.get_history()
    assert [message["content"] for message in shown[1:]] == ["Let me look.", "a cat"]


async def test_a_message_of_others_during_the_loop_does_not_get_into_its_windows(
    asked: Session,
) -> None:
    async with asked.reply() as reply:
        for number in range(4):
            reply.add_tool_call(f"c{number}", "look", "{}")
            reply.add_tool_result(f"c{number}", f"cat {number}")
            shown = await reply.get_history()
            await asked.append("user", "and a dog?")
            assert await reply.get_history() == shown
            assert [message["role"] for message in shown] == [
                "user",
                *["assistant", "tool"] * (number + 1),
            ]


async def test_a_tail_that_was_kept_outlives_the_first_read_of_the_next_window(
    asked: Session, arranged: list[str]
) -> None:
    for number in range(200):
        call = {"id": f"c{number}", "function": {"name": "look", "arguments": "{}"}}
        await asked.append("assistant", None, tool_calls=[call])
        await asked.append("tool", "a cat", tool_call_id=f"c{number}")
        await asked.get_history(50)
    # Each turn once, and all of them again when a longer read is needed: at 66, 132, 264.
    assert len(arranged) < 3 * 3 * 200


def _add_calls(reply: Reply, count: int) -> None:
    for number in range(count):
        reply.add_tool_call(f"c{number}", "look", {"at": "x" * 100})


@pytest.mark.parametrize("seed", range(15))
async def test_the_windows_of_a_reply_are_the_same_without_those_before_them(
    asked: Session, seed: int
) -> None:
    random = Random(seed)
    async with asked.reply() as reply:
        for number in range(12):
            step = random.choice(("text", "call", "calls", "result", "others", "window"))
            if step == "text":
                reply.add_text(f"text {number}")
            elif step.startswith("call"):
                for at in range(1 if step == "call" else 3):
                    reply.add_tool_call(f"c{number}-{at}", "look", "{}")
            elif step == "result" and reply.calls:
                reply.add_tool_result(reply.calls[0]["id"], f"result {number} " + "word " * 40)
            elif step == "others":
                await asked.append("user", f"others {number}")
            options: Any = {"max_tokens": random.choice((None, 100, 300))}
            options["unanswered"] = random.choice(("result", "result", "drop"))
            most = random.choice((3, 6, 50))
            window = await reply.get_history(most, **options)
            kept, reply._draft = reply._draft, Draft()
            assert await reply.get_history(most, **options) == window
            reply._draft = kept
