"""A message delivered twice is answered once; one that failed is answered again."""

from __future__ import annotations

from datetime import datetime, timezone

import anyio
import pytest
from anyio.lowlevel import checkpoint

from turnkeep import Session, SessionStore, StorageError

from .conftest import Place
from .tools import Gated, answer, failed_reply, said, stored

pytestmark = pytest.mark.anyio


async def deliver(session: Session) -> Session:
    return await session.receive("Hi", source_id=17)


async def test_a_new_message_is_not_answered(session: Session) -> None:
    assert not (await deliver(session)).already_answered


async def test_a_handle_that_is_bound_to_no_message_is_not_answered(session: Session) -> None:
    await answer(await deliver(session))
    assert not session.already_answered


async def test_a_message_is_answered_while_a_reply_to_it_is_open(session: Session) -> None:
    first = await deliver(session)
    async with first.reply():
        assert (await deliver(session)).already_answered
        assert first.already_answered


async def test_a_message_is_answered_once_its_reply_is_stored(session: Session) -> None:
    first, early = await deliver(session), await deliver(session)
    await answer(first)
    assert first.already_answered
    assert early.already_answered
    assert (await deliver(session)).already_answered


async def test_a_message_whose_reply_failed_is_not_answered(session: Session) -> None:
    first = await deliver(session)
    await failed_reply(first)
    assert not first.already_answered
    assert not (await deliver(session)).already_answered


async def test_a_message_whose_reply_was_interrupted_is_not_answered(session: Session) -> None:
    first = await deliver(session)
    assert (await failed_reply(first, keep_interrupted=True)).turns
    assert not first.already_answered
    assert not (await deliver(session)).already_answered


async def test_a_redelivered_message_is_known_as_answered_after_a_restart(place: Place) -> None:
    async with place() as store:
        await answer(await deliver(store.session("t:1")))
    async with place() as store:
        again = await deliver(store.session("t:1"))
        assert again.already_answered
        assert await said(again) == ["Hi", "Hello!"]


async def test_a_redelivered_message_without_an_answer_is_answered_after_a_restart(
    place: Place,
) -> None:
    async with place() as store:
        await deliver(store.session("t:1"))
    async with place() as store:
        again = await deliver(store.session("t:1"))
        assert not again.already_answered
        await answer(again)
        assert await said(again) == ["Hi", "Hello!"]


async def test_an_answer_is_found_behind_many_other_turns(place: Place) -> None:
    async with place() as store:
        first = await deliver(store.session("t:1"))
        await first.extend([{"role": "user", "content": "x"}] * 500)
        await answer(first)
        await first.extend([{"role": "user", "content": "x"}] * 400)
    async with place() as store:
        assert (await deliver(store.session("t:1"))).already_answered


async def test_an_answer_to_another_message_does_not_count(session: Session) -> None:
    first = await deliver(session)
    await answer(await session.receive("Me too", source_id=18))
    assert not first.already_answered
    assert not (await deliver(session)).already_answered


async def test_one_message_delivered_twice_at_once_is_answered_once(session: Session) -> None:
    answered: list[Session] = []

    async def handle() -> None:
        chat = await deliver(session)
        if chat.already_answered:
            return
        async with chat.reply() as reply:
            answered.append(chat)
            await checkpoint()
            reply.add_text("Hello!")

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(handle)
    assert len(answered) == 1
    assert await said(session) == ["Hi", "Hello!"]


async def test_of_two_handlers_that_look_at_once_one_enters() -> None:
    storage = Gated()
    async with SessionStore(storage) as store:
        first, second = [await deliver(store.session("t:1")) for _ in range(2)]
        storage.gated = {"read"}
        entered: list[Session] = []

        async def handle(chat: Session) -> None:
            if not chat.already_answered:
                entered.append(chat)
                async with chat.reply():
                    pass

        async with anyio.create_task_group() as tasks:
            # Both are inside of `__aenter__`, at the storage's gate, if the idiom leaks.
            tasks.start_soon(handle, first)
            tasks.start_soon(handle, second)
            await storage.reached.wait()
            storage.gate.set()
        assert len(entered) == 1


async def test_a_reply_cancelled_while_it_begins_leaves_its_message_unanswered() -> None:
    storage = Gated()
    async with SessionStore(storage) as store:
        chat = await deliver(store.session("t:1"))
        storage.gated = {"read"}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chat.reply().__aenter__)
            await storage.reached.wait()
            assert chat.already_answered
            tasks.cancel_scope.cancel()
        assert not chat.already_answered


async def test_a_reply_that_could_not_be_written_leaves_its_message_unanswered() -> None:
    storage = Gated()
    async with SessionStore(storage) as store:
        chat = await deliver(store.session("t:1"))
        storage.append_error = StorageError("the disk is full")
        with pytest.raises(StorageError):
            await answer(chat)
        assert not chat.already_answered


async def test_a_message_of_two_open_replies_is_unanswered_when_both_said_nothing(
    session: Session,
) -> None:
    chat = await deliver(session)
    async with chat.reply():
        await failed_reply(chat)
        assert chat.already_answered
    assert not chat.already_answered


async def test_a_message_that_an_unbound_reply_answers_is_answered(session: Session) -> None:
    chat = await deliver(session)
    async with session.reply() as reply:
        assert chat.already_answered
        reply.add_text("Hello!")
    assert chat.already_answered


async def test_the_first_message_after_a_forget_is_not_answered(session: Session) -> None:
    await answer(await deliver(session))
    await session.store.forget(session.key)
    again = await session.receive("Hi again", source_id=18)
    assert again.turn is not None
    assert again.turn.id == 1
    assert not again.already_answered


async def test_the_first_message_after_a_forget_is_not_held_by_an_open_reply(
    session: Session,
) -> None:
    chat = await deliver(session)
    async with chat.reply():
        await session.store.forget(session.key)
        assert not (await session.receive("Hi again", source_id=18)).already_answered


async def test_messages_of_two_sessions_with_the_same_ids_are_apart(store: SessionStore) -> None:
    await answer(await deliver(store.session("t:1")))
    assert not (await deliver(store.session("t:2"))).already_answered


async def test_a_message_whose_answer_was_undone_is_not_answered(session: Session) -> None:
    chat = await deliver(session)
    await answer(chat)
    await session.undo(answers_only=True)
    assert not (await deliver(session)).already_answered
    assert await said(session) == ["Hi"]


async def test_what_is_remembered_of_answers_is_bounded(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnkeep._session.answers._ANSWERS_KEPT", 3)
    for number in range(6):
        await answer(await store.session("t:1").receive("Hi", source_id=number))
    assert len(store.desk.answers._given) == 3
    assert not store.desk.answers._open
    assert (await store.session("t:1").receive("Hi", source_id=0)).already_answered
    assert len(await stored(store.session("t:1"))) == 12


async def test_a_first_message_after_forget_is_not_answered_though_its_id_and_time_are_the_same(
    store: SessionStore,
) -> None:
    session = store.session("test:forgotten")
    when = datetime(2026, 1, 1, tzinfo=timezone.utc)
    await answer(await session.receive("Hi", source_id=1, time=when))
    await store.forget(session.key)
    assert not (await session.receive("Hi again", source_id=2, time=when)).already_answered


async def test_an_assistant_turn_appended_on_a_bound_handle_answers_its_message(
    session: Session,
) -> None:
    first = await deliver(session)
    turn = await first.append("assistant", "Hello")
    assert first.turn is not None
    assert turn.answers == first.turn.id
    assert first.already_answered
    assert (await deliver(session)).already_answered
