"""What becomes of a reply when its session is cleared, forgotten or renamed meanwhile."""

from __future__ import annotations

import pytest

from turnkeep import Session

from .tools import answer, said, stored

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("erase", [True, False])
async def test_a_reply_begun_before_a_clear_stores_nothing_after_it(
    session: Session, bound: bool, erase: bool
) -> None:
    asked = await session.receive("Hi")
    async with (asked if bound else session).reply() as reply:
        reply.add_text("Hello!")
        await session.clear(erase=erase)
    assert (reply.discarded, reply.turns) == (True, [])
    assert "Hello!" not in await said(session)


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("begun_anew", [True, False])
async def test_a_reply_begun_before_a_forget_stores_nothing_after_it(
    session: Session, bound: bool, begun_anew: bool
) -> None:
    asked = await session.receive("Hi")
    async with (asked if bound else session).reply() as reply:
        reply.add_text("Hello!")
        await session.store.forget(session.key)
        if begun_anew:
            await session.append("user", "new life")
    assert (reply.discarded, reply.turns) == (True, [])
    assert await said(session) == (["new life"] if begun_anew else [])


@pytest.mark.parametrize("begun_anew", [True, False])
async def test_a_message_forgotten_before_its_reply_begins_is_not_answered(
    session: Session, begun_anew: bool
) -> None:
    asked = await session.receive("Hi")
    await session.store.forget(session.key)
    if begun_anew:
        await session.append("user", "new life")
    async with asked.reply() as reply:
        reply.add_text("Hello!")
    assert (reply.discarded, reply.turns) == (True, [])
    assert await said(session) == (["new life"] if begun_anew else [])


async def test_a_message_of_before_a_clear_is_not_answered_after_it(session: Session) -> None:
    asked = await session.receive("Hi")
    await session.clear()
    async with asked.reply() as reply:
        reply.add_text("Hello!")
    assert reply.discarded
    assert await said(session) == ["Hi"]


async def test_a_discarded_part_of_a_reply_does_not_hide_its_exception(session: Session) -> None:
    asked = await session.receive("Hi")
    reply = asked.reply(keep_interrupted=True)

    async def fail() -> None:
        async with reply:
            reply.add_text("Hel")
            await session.clear()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert reply.discarded
    assert await said(session) == ["Hi"]


async def test_a_reply_begun_after_a_clear_is_stored(session: Session) -> None:
    await session.append("user", "old")
    await session.clear()
    await session.append("user", "new")
    assert [(turn.content, turn.epoch) for turn in await answer(session)] == [("Hello!", 2)]


async def test_an_unbound_reply_right_after_a_clear_answers_nothing_of_before(
    session: Session,
) -> None:
    await session.append("user", "old")
    await session.clear()
    (turn,) = await answer(session, "Let us begin anew.")
    assert (turn.answers, turn.epoch) == (None, 2)


async def test_a_reply_is_stored_under_the_new_name_of_its_session(session: Session) -> None:
    asked = await session.receive("Hi")
    async with asked.reply() as reply:
        reply.add_text("Hello!")
        await session.store.rename(session.key, "telegram:-100777")
    assert not reply.discarded
    assert await said(session.store.session("telegram:-100777")) == ["Hi", "Hello!"]


async def test_a_reply_answers_its_message_after_sessions_were_joined(
    session: Session,
) -> None:
    other = session.store.session("telegram:-100777")
    await session.append("user", "of the old one")
    asked = await other.receive("of the new one")
    await session.store.rename(session.key, other.key)
    async with asked.reply() as reply:
        reply.add_text("Hello!")
    assert not reply.discarded
    assert [turn.answers for turn in await stored(other)] == [None, None, 2]
    assert await said(other) == ["of the old one", "of the new one", "Hello!"]


@pytest.mark.parametrize("bound", [True, False])
async def test_after_a_clear_the_window_of_an_open_reply_ends_with_the_question_in_hand(
    session: Session, bound: bool
) -> None:
    await session.append("user", "old")
    await session.append("assistant", "of old")
    asked = await session.receive("Hi")
    async with (asked if bound else session).reply() as reply:
        reply.add_tool_call("1", "start_over", {})
        await session.clear()
        reply.add_tool_result("1", "done")
        window = await reply.get_history()
        await session.append("user", "of the next conversation")
        assert await reply.get_history() == window
    assert [one["content"] for one in window] == ["Hi", None, "done"]
    assert reply.discarded


async def test_after_a_clear_a_message_in_hand_has_itself_as_its_window(session: Session) -> None:
    asked = await session.receive("Hi")
    await session.clear()
    assert await asked.get_history() == [{"role": "user", "content": "Hi"}]
    assert await session.get_history() == []
    await session.clear(erase=True)
    assert await asked.get_history() == []


async def test_it_has_so_too_if_the_session_was_merged_before_the_clear(session: Session) -> None:
    asked = await session.receive("Hi")
    other = session.store.session("telegram:-100777")
    await other.append("user", "there")
    await session.store.rename(session.key, other.key)
    async with asked.reply() as reply:
        assert [one["content"] for one in await reply.get_history()] == ["Hi"]
        await other.clear()
        assert [one["content"] for one in await reply.get_history()] == ["Hi"]
