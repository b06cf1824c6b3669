"""The contract *Reply*: the assistant's part as a transaction."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from turnkeep import InvalidTurnError, Session, TurnkeepError, check_messages

from .conftest import Place
from .tools import answer, failed_reply, said, stored

pytestmark = pytest.mark.anyio


async def test_the_pieces_of_a_reply_are_stored_as_one_turn(asked: Session) -> None:
    async with asked.reply() as reply:
        for piece in ("A ", "", "cat", "."):
            reply.add_text(piece)
    assert [(turn.role, turn.content) for turn in await stored(asked)][1:] == [
        ("assistant", "A cat.")
    ]


async def test_nothing_is_stored_before_the_block_ends(asked: Session) -> None:
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        reply.add_text("A cat.")
        assert await said(asked) == ["What is there?"]
    assert len(await stored(asked)) == 4


async def test_a_reply_with_tools_is_stored_in_the_order_in_which_it_came(asked: Session) -> None:
    async with asked.reply() as reply:
        reply.add_text("Let me look.")
        reply.add_tool_call("c1", "look", {"at": "roof"})
        reply.add_tool_call("c2", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        reply.add_tool_result("c2", [{"type": "text", "text": "nothing"}])
        reply.add_text("A cat.")
    calling, one, two, text = (await stored(asked))[1:]
    assert reply.turns == [calling, one, two, text]
    assert calling.content == "Let me look."
    assert calling.tool_calls is not None
    assert [call["id"] for call in calling.tool_calls] == ["c1", "c2"]
    assert calling.tool_calls[0]["function"] == {"name": "look", "arguments": '{"at":"roof"}'}
    assert (one.tool_call_id, two.tool_call_id, text.content) == ("c1", "c2", "A cat.")


async def test_an_empty_piece_does_not_part_the_calls_of_one_message(asked: Session) -> None:
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_text("")
        reply.add_tool_call("c2", "look", "{}")
    (turn,) = reply.turns
    assert turn.tool_calls is not None
    assert len(turn.tool_calls) == 2


async def test_every_turn_of_a_reply_names_the_turn_that_it_answers(asked: Session) -> None:
    assert asked.turn is not None
    await asked.append("user", "someone else")
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        reply.add_text("A cat.")
    assert {turn.answers for turn in reply.turns} == {asked.turn.id}


async def test_an_unbound_reply_answers_the_latest_user_turn(session: Session) -> None:
    await session.append("user", "first")
    latest = await session.append("user", "second")
    await session.append("assistant", "a note")
    (turn,) = await answer(session)
    assert turn.answers == latest.id


async def test_an_unbound_reply_does_not_answer_a_hidden_turn(session: Session) -> None:
    shown = await session.append("user", "Hi")
    await session.append("user", "/status", hidden=True)
    (turn,) = await answer(session, "Hello!")
    assert turn.answers == shown.id
    assert [message["content"] for message in await session.get_history()] == ["Hi", "Hello!"]


async def test_an_unbound_reply_finds_a_user_turn_far_back(session: Session) -> None:
    asked = await session.append("user", "Tell me everything.")
    await session.extend([{"role": "assistant", "content": "more"}] * 70)
    (turn,) = await answer(session)
    assert turn.answers == asked.id


async def test_a_reply_may_begin_a_session(session: Session) -> None:
    (turn,) = await answer(session, "Good morning!")
    assert (turn.id, turn.answers) == (1, None)


@pytest.mark.parametrize("keep", [False, True])
async def test_a_reply_without_anything_said_stores_nothing(asked: Session, keep: bool) -> None:
    async with asked.reply(keep_interrupted=keep) as reply:
        reply.add_text(" \n")
    assert (reply.turns, reply.discarded) == ([], False)
    assert not asked.already_answered
    assert await said(asked) == ["What is there?"]


async def test_an_exception_stores_nothing_and_goes_on(asked: Session) -> None:
    assert (await failed_reply(asked)).turns == []
    assert await said(asked) == ["What is there?"]


async def test_a_cancellation_stores_nothing(asked: Session) -> None:
    with anyio.CancelScope() as scope:
        async with asked.reply() as reply:
            reply.add_text("A c")
            scope.cancel()
            await checkpoint()
    assert await said(asked) == ["What is there?"]
    assert not asked.already_answered


async def test_a_whole_reply_is_stored_even_if_its_caller_is_cancelled_by_then(
    asked: Session,
) -> None:
    with anyio.CancelScope() as scope:
        async with asked.reply() as reply:
            reply.add_text("A cat.")
            scope.cancel()
    assert reply.turns == (await stored(asked))[1:]
    assert await said(asked) == ["What is there?", "A cat."]


async def test_keep_interrupted_stores_the_part_marked(asked: Session) -> None:
    reply = await failed_reply(asked, keep_interrupted=True)
    parts = (await stored(asked))[1:]
    assert [turn.content for turn in parts] == [None, "a cat", "A c"]
    assert all(turn.interrupted for turn in parts)
    assert reply.turns == parts


async def test_keep_interrupted_stores_the_part_of_a_cancelled_reply(asked: Session) -> None:
    with anyio.CancelScope() as scope:
        async with asked.reply(keep_interrupted=True) as reply:
            reply.add_text("A c")
            scope.cancel()
            await checkpoint()
    assert [(turn.content, turn.interrupted) for turn in await stored(asked)][1:] == [("A c", True)]


async def test_keep_interrupted_marks_nothing_of_a_reply_that_succeeds(asked: Session) -> None:
    async with asked.reply(keep_interrupted=True) as reply:
        reply.add_text("A cat.")
    assert [turn.interrupted for turn in reply.turns] == [False]


async def test_others_append_while_the_model_thinks(asked: Session) -> None:
    async with asked.reply() as reply:
        await asked.append("user", "Me too!")
        async with asked.reply() as other:
            other.add_text("Two answers.")
        reply.add_text("A cat.")
    assert await said(asked) == ["What is there?", "Me too!", "Two answers.", "A cat."]


async def test_an_answer_stands_behind_its_question_also_when_others_spoke_meanwhile(
    asked: Session,
) -> None:
    async with asked.reply() as reply:
        await asked.append("user", "Me too!")
        reply.add_text("A cat.")
    history = await asked.store.session(asked.key).get_history()
    assert [message["content"] for message in history] == ["What is there?", "A cat.", "Me too!"]


@pytest.mark.parametrize("bound", [True, False])
async def test_an_agent_loop_sees_what_it_collected(asked: Session, bound: bool) -> None:
    session = asked if bound else asked.store.session(asked.key)
    async with session.reply() as reply:
        first = await reply.get_history()
        reply.add_text("Let me look.")
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        second = await reply.get_history()
        reply.add_text("A ")
        third = await reply.get_history()
        reply.add_text("cat.")
    assert [message["role"] for message in first] == ["user"]
    assert [message["role"] for message in second] == ["user", "assistant", "tool"]
    assert second[1]["content"] == "Let me look."
    assert third[3] == {"role": "assistant", "content": "A "}
    assert not check_messages(first) + check_messages(second) + check_messages(third)
    assert (await stored(session))[-1].content == "A cat."


@pytest.mark.parametrize("bound", [True, False])
async def test_an_agent_loop_does_not_see_what_others_said_meanwhile(
    asked: Session, bound: bool
) -> None:
    session = asked if bound else asked.store.session(asked.key)
    async with session.reply() as reply:
        await asked.append("user", "Me too!")
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        history = await reply.get_history()
    assert [message["role"] for message in history] == ["user", "assistant", "tool"]


async def test_an_agent_loop_does_not_see_an_earlier_answer_to_its_message(asked: Session) -> None:
    await answer(asked, "A dog.")
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        history = await reply.get_history()
    assert [message["content"] for message in history] == ["What is there?", None, "a cat"]


async def test_the_window_of_a_reply_takes_the_bounds_of_a_window(asked: Session) -> None:
    await answer(asked)
    later = await asked.receive("And now?")
    async with later.reply() as reply:
        assert len(await reply.get_history()) == 3
        assert len(await reply.get_history(1)) == 1
        assert len(await reply.get_history(max_tokens=8, slack=0)) == 1


async def test_a_reply_answers_a_blank_message_like_any_other(asked: Session) -> None:
    session = asked.store.session(asked.key)
    blank = await session.append("user", "")
    async with session.reply() as reply:
        reply.add_text("Yes?")
    assert reply.turns[0].answers == blank.id


async def test_a_piece_that_is_no_text_is_refused_and_the_reply_goes_on(asked: Session) -> None:
    piece: Any = None
    async with asked.reply() as reply:
        reply.add_text("A cat.")
        with pytest.raises(InvalidTurnError, match="leave out pieces without text"):
            reply.add_text(piece)
    assert await said(asked) == ["What is there?", "A cat."]


async def test_a_bad_call_is_refused_and_what_was_collected_stays(asked: Session) -> None:
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        with pytest.raises(InvalidTurnError, match="a tool call is"):
            reply.add_tool_call("c2", None, "{}")  # type: ignore[arg-type]
        reply.add_tool_result("c1", "a cat")
        with pytest.raises(InvalidTurnError, match="content"):
            reply.add_tool_result("c1", object())
    assert [turn.role for turn in reply.turns] == ["assistant", "tool"]


async def test_a_reply_can_be_used_only_inside_its_block_and_only_once(asked: Session) -> None:
    reply = asked.reply()
    with pytest.raises(TurnkeepError, match="not open"):
        reply.add_text("early")
    with pytest.raises(TurnkeepError, match="not open"):
        await reply.link("m2")
    async with reply:
        reply.add_text("A cat.")
    with pytest.raises(TurnkeepError, match="not open"):
        reply.add_text("late")
    with pytest.raises(TurnkeepError, match="only once"):
        async with reply:
            pass
    assert await said(asked) == ["What is there?", "A cat."]


async def test_a_session_is_the_same_for_a_bound_handle_after_a_restart(place: Place) -> None:
    async with place() as store:
        await answer(await store.session("t:1").receive("one", source_id="m1"), "ONE")
    async with place() as store:
        bound = await store.session("t:1").receive("two", source_id="m2")
        history = await bound.get_history()
    assert [message["content"] for message in history] == ["one", "ONE", "two"]


async def test_calls_and_results_without_an_id_are_paired_in_their_order(asked: Session) -> None:
    async with asked.reply() as reply:
        for name in ("look", "listen"):
            reply.add_tool_call(None, name, "{}")
        for result in ("a cat", "a purr"):
            reply.add_tool_result(None, result)
        _, calling, *results = await reply.get_history()
    ids = [call["id"] for call in calling["tool_calls"]]
    assert [one["tool_call_id"] for one in results] == ids
    assert [one["content"] for one in results] == ["a cat", "a purr"]
