"""Two stores over one shared storage: who answers a message, and where the answer goes."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import anyio
import pytest

from turnkeep import Session

from .tools import answer, said, stored
from .two import KEY, Two

pytestmark = pytest.mark.anyio

OLD = "telegram:1"
NOON = datetime(2031, 5, 1, 12, tzinfo=timezone.utc)


def again(source_id: str | None) -> Any:
    """What two replicas receive the same message with; without a source id it is one call."""
    return {"token": "t1"} if source_id is None else {"source_id": source_id}


# 1. A message redelivered to another replica is answered once.


@pytest.mark.parametrize("source_id", ["m1", None])
async def test_a_message_redelivered_while_it_is_answered_is_answered_once(
    two: Two, source_id: str | None
) -> None:
    mine = await two.a.session(KEY).receive("Hi", **again(source_id))
    async with mine.reply() as reply:
        theirs = await two.b.session(KEY).receive("Hi", **again(source_id))
        if source_id is not None:
            assert theirs.already_answered
        async with theirs.reply() as second:
            second.add_text("to the second delivery")
        assert second.discarded
        reply.add_text("to the first one")
    assert await said(mine) == ["Hi", "to the first one"]


async def test_a_message_redelivered_after_it_was_answered_is_answered_once(two: Two) -> None:
    await answer(await two.a.session(KEY).receive("Hi", source_id="m1"))
    theirs = await two.b.session(KEY).receive("Hi", source_id="m1")
    assert theirs.already_answered
    assert await said(theirs) == ["Hi", "Hello!"]


@pytest.mark.parametrize("source_id", ["m1", None])
async def test_of_two_replicas_that_hold_a_message_one_answers_it(
    two: Two, source_id: str | None
) -> None:
    mine = await two.a.session(KEY).receive("Hi", **again(source_id))
    theirs = await two.b.session(KEY).receive("Hi", **again(source_id))
    assert not mine.already_answered
    discarded: dict[bool, Session] = {}

    async def reply_to(session: Session) -> None:
        async with session.reply() as reply:
            reply.add_text("Hello!")
        discarded[reply.discarded] = session

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reply_to, mine)
        tasks.start_soon(reply_to, theirs)
    assert discarded.keys() == {False, True}
    # Also where the second one comes when the first one has ended.
    async with discarded[True].reply() as late:
        late.add_text("again")
    assert late.discarded
    assert await said(mine) == ["Hi", "Hello!"]
    assert await two.storage.claims() == []


@pytest.mark.parametrize("merged", [False, True])
async def test_a_message_redelivered_after_its_session_was_renamed_is_answered_once(
    two: Two, merged: bool
) -> None:
    mine = await two.a.session(OLD).receive("Hi", source_id="m1")
    if merged:
        await two.a.session(KEY).append("user", "there before")
    async with mine.reply() as reply:
        await two.a.rename(OLD, KEY)
        theirs = await two.b.session(KEY).receive("Hi", source_id="m1")
        assert theirs.already_answered
        async with theirs.reply() as second:
            second.add_text("twice")
        assert second.discarded
        reply.add_text("once")
    assert [one for one in await said(theirs) if one in ("once", "twice")] == ["once"]


async def test_a_message_that_is_answered_together_with_a_later_one_is_answered_once(
    two: Two,
) -> None:
    session = two.a.session(KEY)
    first = await session.receive("part 1", source_id="m1")
    second = await session.receive("part 2", source_id="m2")
    assert first.turn is not None
    assert second.turn is not None
    async with session.bind(second.turn, joined=[first.turn]).reply() as reply:
        theirs = await two.b.session(KEY).receive("part 1", source_id="m1")
        assert theirs.already_answered
        async with theirs.reply() as other:
            other.add_text("twice")
        assert other.discarded
        reply.add_text("once")
    assert await said(session) == ["part 1", "part 2", "once"]


async def test_a_message_whose_answer_failed_is_answered_by_the_other_replica(two: Two) -> None:
    mine = await two.a.session(KEY).receive("Hi", source_id="m1")
    with pytest.raises(ZeroDivisionError):
        async with mine.reply():
            raise ZeroDivisionError
    theirs = await two.b.session(KEY).receive("Hi", source_id="m1")
    assert not theirs.already_answered
    await answer(theirs)
    assert await said(mine) == ["Hi", "Hello!"]


@pytest.mark.parametrize("source_id", ["m1", None])
@pytest.mark.parametrize("bound", [True, False])
async def test_of_two_replicas_that_answer_the_latest_message_one_is_refused(
    two: Two, source_id: str | None, bound: bool
) -> None:
    asked = await two.a.session(KEY).receive("Hi", source_id=source_id)
    async with (asked if bound else two.a.session(KEY)).reply() as first:
        async with two.b.session(KEY).reply() as second:
            second.add_text("twice")
        assert second.discarded
        theirs = await two.b.session(KEY).receive("Hi", source_id=source_id)
        assert theirs.already_answered == (source_id is not None)
        first.add_text("once")
    assert "twice" not in await said(asked)
    assert "once" in await said(asked)
    assert await two.storage.claims() == []


async def test_a_reply_to_the_latest_message_is_refused_if_it_was_answered_since_the_look(
    two: Two,
) -> None:
    await two.a.session(KEY).append("user", "Hi")

    async def answer_it() -> None:
        await answer(two.a.session(KEY), "once")

    two.after_next("read", answer_it)
    async with two.b.session(KEY).reply() as reply:
        reply.add_text("twice")
    assert reply.discarded
    assert await said(two.a.session(KEY)) == ["Hi", "once"]
    assert await two.storage.claims() == []


async def test_the_latest_message_may_be_answered_again_by_another_replica(two: Two) -> None:
    await two.a.session(KEY).append("user", "Hi")
    await answer(two.a.session(KEY), "once")
    await answer(two.b.session(KEY), "and more")
    assert await said(two.a.session(KEY)) == ["Hi", "once", "and more"]


# 2. A consolidation in A does not fold a question to which B has an open reply.


@pytest.mark.parametrize("source_id", ["m1", None])
@pytest.mark.parametrize("bound", [True, False])
async def test_a_consolidation_does_not_fold_a_question_to_which_another_replica_replies(
    two: Two, source_id: str | None, bound: bool
) -> None:
    session = two.b.session(KEY)
    await session.append("user", "long ago")
    asked = await session.receive("Why?", source_id=source_id)
    async with (asked if bound else session).reply() as reply:
        await two.a.session(KEY).append("user", "later")
        await two.a.session(KEY).append("user", "latest")
        assert await two.a.session(KEY).consolidate(two.summarize, keep=0)
        reply.add_text("Because.")
    assert "Why?" not in str(two.summarize.calls)
    window = [one["content"] for one in await two.a.session(KEY).get_history()]
    assert window[1:] == ["Why?", "Because.", "later", "latest"]


async def test_a_consolidation_whose_summarizer_runs_when_the_reply_begins_gives_it_up(
    two: Two,
) -> None:
    asked = await two.b.session(KEY).receive("Why?", source_id="m1")
    await two.b.session(KEY).append("user", "latest")
    reply = asked.reply()

    async def begin_reply() -> None:
        await reply.__aenter__()
        reply.add_text("Because.")

    two.summarize.meanwhile = begin_reply
    assert not await two.a.session(KEY).consolidate(two.summarize, keep=0)
    await reply.__aexit__(None, None, None)
    window = [one["content"] for one in await two.a.session(KEY).get_history()]
    assert window == ["Why?", "Because.", "latest"]


# 3. A renames while B answers: the answer arrives.


@pytest.mark.parametrize("there", [0, 1, 5])
@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("times", [1, 3])
async def test_the_other_replica_renames_while_a_reply_is_open_and_the_answer_arrives(
    two: Two, there: int, bound: bool, times: int
) -> None:
    for step in range(times):
        for number in range(there):
            await two.a.session(f"{KEY}{step}").append("user", f"there {number}")
    asked = await two.b.session(OLD).receive("Why?", source_id="m1")
    async with (asked if bound else two.b.session(OLD)).reply() as reply:
        key = OLD
        for step in range(times):
            await two.a.rename(key, f"{KEY}{step}")
            key = f"{KEY}{step}"
        if there == 0 or bound:
            assert (await reply.get_history())[-1]["content"] == "Why?"
        reply.add_text("Because.")
        await reply.link("m2")
    assert not reply.discarded
    session = two.a.session(key)
    turns = await stored(session)
    question = next(turn for turn in turns if turn.content == "Why?")
    (found,) = [turn for turn in turns if turn.role == "assistant"]
    assert (found.content, found.answers, found.source_ids) == ("Because.", question.id, ("m2",))
    await reply.link("m3")
    linked = await session.find("m3")
    assert linked is not None
    assert linked.content == "Because."


# 4. A renames, B appends an answer bound to its message: it goes to that message alone.


@pytest.mark.parametrize("there", [0, 1, 5])
@pytest.mark.parametrize("source_id", ["m1", None])
@pytest.mark.parametrize("role", ["assistant", "tool"])
async def test_an_answer_that_is_appended_after_a_rename_goes_to_its_message(
    two: Two, there: int, source_id: str | None, role: str
) -> None:
    for number in range(there):
        await two.a.session(KEY).append("user", f"there {number}")
    asked = await two.b.session(OLD).receive("Why?", source_id=source_id)
    await two.b.session(OLD).append("user", "another one")
    await two.a.rename(OLD, KEY)
    fields: dict[str, Any] = {"tool_call_id": "c1"} if role == "tool" else {}
    turn = await asked.append(role, "Because.", **fields)
    question = next(one for one in await stored(two.a.session(KEY)) if one.content == "Why?")
    assert turn.answers == question.id


async def test_an_answer_to_a_forgotten_message_answers_no_other(two: Two) -> None:
    asked = await two.b.session(KEY).receive("Why?")
    await two.a.forget(KEY)
    await two.a.session(KEY).append("user", "innocent")
    turn = await asked.append("assistant", "Because.")
    assert turn.answers is None
