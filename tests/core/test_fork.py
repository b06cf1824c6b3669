"""`fork` copies a conversation up to a turn into another key."""

from __future__ import annotations

import pytest

from turnkeep import InvalidTurnError, SessionStore

from .test_reply_add import returned

pytestmark = pytest.mark.anyio


async def test_a_fork_holds_the_conversation_up_to_the_turn_and_goes_on_by_itself(
    store: SessionStore,
) -> None:
    session = store.session("a:1")
    first = await session.receive("one", source_id="m1", sender="ada")
    async with first.reply() as reply:
        reply.add(returned("anthropic", "dict"))
        reply.add_tool_result("toolu_1", "rain")
        reply.add_tool_result("toolu_2", "noon")
        reply.add_text("It rains.")
    later = await session.receive("two")
    fork = await session.fork(at=reply.turns[-1], to="b:2")
    await fork.append("user", "another two")

    copied = [turn async for turn in fork.turns()]
    here = [turn async for turn in session.turns()]
    assert [turn.text for turn in copied] == [*[turn.text for turn in here[:-1]], "another two"]
    assert [turn.answers for turn in copied[1:5]] == [copied[0].id] * 4
    assert copied[0].source_ids == ("m1",)
    assert copied[1].items == here[1].items
    assert copied[1].usage == here[1].usage
    assert here[-1].id == later.turn.id if later.turn else False
    window = await fork.get_history()
    assert window[:-1] == (await session.get_history())[:-1]


async def test_a_fork_goes_behind_the_turns_that_are_there(store: SessionStore) -> None:
    session = store.session("a:1")
    message = await session.receive("one", source_id="m1")
    async with message.reply() as reply:
        reply.add_text("answer")
    other = store.session("b:2")
    await other.append("user", "before")
    await session.fork(at="m1", to="b:2")
    await session.fork(at=2, to="b:2")
    copied = [turn async for turn in other.turns()]
    assert [turn.text for turn in copied] == ["before", "one", "one", "answer"]
    assert copied[3].answers == copied[2].id


async def test_no_such_turn_or_the_same_session_is_an_error(store: SessionStore) -> None:
    session = store.session("a:1")
    await session.append("user", "one")
    for at in (9, "m9"):
        with pytest.raises(InvalidTurnError, match="session a:1: there is no turn"):
            await session.fork(at=at, to="b:2")
    with pytest.raises(InvalidTurnError, match="another key than 'a:1'"):
        await session.fork(at=1, to="a:1")
    assert await store.session("b:2").info() is None
