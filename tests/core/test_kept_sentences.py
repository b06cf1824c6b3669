"""Sentences of the documentation that a change of one line could break unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from turnkeep import ConsolidationPolicy, Session, SessionStore
from turnkeep._session import reading
from turnkeep.adapter import Asker, forget_and_report, privacy_texts, texts_for

from .conftest import Place
from .tools import answer, said, stored

pytestmark = pytest.mark.anyio


async def test_forget_sender_looks_through_more_sessions_than_a_page_holds(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PAGE_SESSIONS", 3)
    for number in range(10):
        await store.session(f"test:{number}").append("user", "a secret", sender="42")
    assert len(await store.forget_sender(42)) == 10
    for number in range(10):
        assert await said(store.session(f"test:{number}")) == []


async def test_forget_sender_takes_what_was_written_before_a_clear(session: Session) -> None:
    await session.append("user", "a secret", sender="42")
    await session.clear()
    await session.append("user", "another one", sender="42")
    assert await session.forget_sender(42) == 2
    assert await stored(session) == []


async def test_after_a_forget_on_a_linked_account_the_link_still_holds(
    store: SessionStore,
) -> None:
    await store.session("telegram:7").append("user", "hello", sender="7")
    await store.link("discord:9", to="telegram:7")
    linked = store.session("discord:9")
    await linked.append("user", "hello again", sender="7")
    words = texts_for(privacy_texts, None)
    report = await forget_and_report([linked], asker=Asker("7", "7"), texts=words)
    assert report.startswith(words.forgotten)
    await linked.append("user", "later")
    assert await said(store.session("telegram:7")) == ["later"]


async def test_a_stored_turn_that_is_given_to_extend_answers_nothing_there(
    store: SessionStore, session: Session
) -> None:
    asked = [await session.receive(f"{number}") for number in range(3)]
    turns = [one.turn for one in asked if one.turn is not None]
    async with session.bind(turns[-1], joined=turns[:-1]).reply() as reply:
        reply.add_text("to all three")
    (turn,) = reply.turns
    assert turn.also_answers
    (copied,) = await store.session("test:other").extend([turn])
    assert (copied.answers, copied.also_answers) == (None, ())


async def test_each_message_of_a_burst_is_already_answered_while_its_reply_is_open(
    session: Session,
) -> None:
    asked = [await session.receive(f"{number}", source_id=f"m{number}") for number in range(3)]
    turns = [one.turn for one in asked if one.turn is not None]
    async with session.bind(turns[-1], joined=turns[:-1]).reply() as reply:
        assert [one.already_answered for one in asked] == [True] * 3
        reply.add_text("to all three")
    assert [one.already_answered for one in asked] == [True] * 3


async def test_each_message_of_a_burst_is_already_answered_after_an_append(
    session: Session,
) -> None:
    asked = [await session.receive(f"{number}", source_id=f"m{number}") for number in range(3)]
    turns = [one.turn for one in asked if one.turn is not None]
    await session.bind(turns[-1], joined=turns[:-1]).append("assistant", "to all three")
    assert [one.already_answered for one in asked] == [True] * 3


async def test_of_two_open_replies_the_first_holds_the_summary(session: Session) -> None:
    asked: list[Session] = []
    for number in range(6):
        asked.append(await session.receive(f"q{number}"))
        if number not in (2, 4):
            await answer(asked[-1], f"a{number}")
    shown: list[Any] = []

    async def summarize(messages: list[Any]) -> str:
        shown.extend(messages)
        return "a summary"

    async with asked[4].reply(), asked[2].reply():
        await session.consolidate(summarize, keep=1)
    contents = [message["content"] for message in shown]
    assert "q1" in contents
    assert "q2" not in contents
    assert "q3" not in contents


async def test_an_answer_is_found_with_more_than_a_thousand_turns_behind_it(
    tmp_path: Path,
) -> None:
    where = f"sqlite:{tmp_path / 'sessions.db'}"
    async with SessionStore(where) as store:
        session = store.session("test:1")
        await answer(await session.receive("hello", source_id="m1"))
        await session.extend([{"role": "user", "content": "x"}] * 1_500)
    async with SessionStore(where) as store:
        again = await store.session("test:1").receive("hello", source_id="m1")
        assert again.turn is not None
        assert again.turn.id == 1
        assert again.already_answered


async def test_an_answer_that_came_a_thousand_turns_after_its_message_is_found(
    tmp_path: Path,
) -> None:
    where = f"sqlite:{tmp_path / 'sessions.db'}"
    async with SessionStore(where) as store:
        asked = await store.session("test:1").receive("hello", source_id="m1")
        await store.session("test:1").extend([{"role": "user", "content": "x"}] * 1_500)
        await answer(asked)
        await store.session("test:1").append("user", "x")
    async with SessionStore(where) as store:
        again = await store.session("test:1").receive("hello", source_id="m1")
        assert again.turn is not None
        assert again.turn.id == 1
        assert again.already_answered


async def test_two_replies_that_end_at_once_start_one_consolidation(place: Place) -> None:
    begun, go_on = 0, anyio.Event()

    async def summarize(_: Any) -> str:
        nonlocal begun
        begun += 1
        await go_on.wait()
        return "a summary"

    async with anyio.create_task_group() as group, place() as store:
        store.consolidation = ConsolidationPolicy(
            summarize, after_messages=4, keep=2, task_group=group
        )
        session = store.session("test:1")
        await session.extend([{"role": "user", "content": f"{number}"} for number in range(20)])
        asked = [await session.receive(f"q{number}") for number in range(2)]
        async with anyio.create_task_group() as both:
            for one in asked:
                both.start_soon(answer, one)
        await anyio.wait_all_tasks_blocked()
        await answer(await session.receive("another"))
        assert begun == 1
        go_on.set()
