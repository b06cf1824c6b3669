"""What aiogram's handlers have beside the session, over a real socket: flags and the FSM."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram import Dispatcher, F, Router
from aiogram.filters import Command, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.types import Message

from adapters.tools import all_turns, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

ADA = 7
GROUP = -1001234567890


def recording(store: SessionStore, **options: Any) -> Dispatcher:
    """A dispatcher without any handler."""
    dispatcher = Dispatcher(storage=MemoryStorage())
    SessionMiddleware(store, **options).setup(dispatcher)
    return dispatcher


# Flags.


async def test_the_flag_drop_records_a_message_and_does_not_handle_it(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aiogram.event")
    dispatcher, router = recording(store), Router()
    begun, go = list[str](), asyncio.Event()

    @router.message(flags={"turnkeep": {"busy": "drop"}})
    async def slow(message: Message, chat_session: ChatSession) -> None:
        begun.append(message.text or "")
        await go.wait()
        await chat_session.answer("done")

    dispatcher.include_router(router)
    async with polling(telegram, dispatcher):
        telegram.say(ADA, "first")
        await telegram.wait_for(lambda: begun)
        telegram.say(ADA, "second")
        await telegram.wait_for(lambda: "handled. Duration" in caplog.text)
        go.set()
        await telegram.wait_sent(ADA, 1)
    assert begun == ["first"]
    assert await said(store, "telegram:7") == ["user: first", "user: second", "assistant: done"]


async def test_the_flag_latest_answers_two_messages_with_one(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher, begun = recording(store), list[str]()

    @dispatcher.message(flags={"turnkeep": {"busy": "latest"}})
    async def slow(message: Message, chat_session: ChatSession) -> None:
        begun.append(message.text or "")
        if message.text == "first":
            await asyncio.Event().wait()
        await chat_session.answer(f"to {len(chat_session.joined) + 1} messages")

    async with polling(telegram, dispatcher):
        telegram.say(ADA, "first")
        await telegram.wait_for(lambda: begun)
        telegram.say(ADA, "second")
        (sent,) = await telegram.wait_sent(ADA, 1)
    assert (begun, sent["text"]) == (["first", "second"], "to 2 messages")


async def test_a_flags_debounce_joins_a_burst(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = recording(store)

    @dispatcher.message(flags={"turnkeep": {"debounce": 3}})
    async def joined(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(f"to {len(chat_session.joined) + 1} messages")

    async with polling(telegram, dispatcher):
        for text in "abc":
            telegram.say(ADA, text)
        (sent,) = await telegram.wait_sent(ADA, 1)
    assert sent["text"] == "to 3 messages"
    assert len(await all_turns(store, "telegram:7")) == 4


async def test_a_flags_debounce_of_zero_is_answered_at_once(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = recording(store, debounce=3600)

    @dispatcher.message(flags={"turnkeep": {"debounce": 0}})
    async def at_once(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer("at once")

    async with polling(telegram, dispatcher):
        telegram.say(ADA, "hello")
        await telegram.wait_sent(ADA, 1)
    assert await said(store, "telegram:7") == ["user: hello", "assistant: at once"]


@pytest.mark.parametrize("record", ["all", "addressed", "handled"])
async def test_the_flag_record_keeps_a_message_out_whatever_is_recorded_otherwise(
    store: SessionStore, telegram: TelegramEmulator, record: Any
) -> None:
    dispatcher, given = recording(store, record=record), list[object]()

    @dispatcher.message(F.text == "password", flags={"turnkeep": {"record": False}})
    async def secret(message: Message, chat_session: ChatSession) -> None:
        given.append(chat_session.turn)

    @dispatcher.message()
    async def other(message: Message, chat_session: ChatSession) -> None:
        given.append(chat_session.turn and chat_session.turn.content)

    async with polling(telegram, dispatcher):
        telegram.say(ADA, "password")
        await telegram.wait_for(lambda: len(given) == 1)
        telegram.say(ADA, "hello")
        await telegram.wait_for(lambda: len(given) == 2)
    assert given == [None, "hello"]
    assert await said(store, "telegram:7") == ["user: hello"]


# The FSM.


class Form(StatesGroup):
    name = State()


async def test_states_and_their_data_work_beside_the_session(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = recording(store, record_states=[Form.name])

    @dispatcher.message(Command("start"))
    async def start(message: Message, state: FSMContext, chat_session: ChatSession) -> None:
        await state.set_state(Form.name)
        await state.update_data(started=message.message_id)
        await chat_session.answer("What is your name?")

    @dispatcher.message(StateFilter(Form.name))
    async def name(message: Message, state: FSMContext, chat_session: ChatSession) -> None:
        data = await state.update_data(name=message.text)
        await state.set_state(None)
        await chat_session.answer(f"Hello {data['name']}, of message {data['started']}.")

    @dispatcher.message()
    async def other(message: Message, state: FSMContext, chat_session: ChatSession) -> None:
        data = await state.get_data()
        last = (await chat_session.get_history())[-1]["content"]
        await chat_session.answer(f"{data['name']} wrote: {last}")

    async with polling(telegram, dispatcher):
        for number, text in enumerate(["/start", "Ada", "and now?"]):
            telegram.say(ADA, text)
            await telegram.wait_sent(ADA, number + 1)
    assert await said(store, "telegram:7") == [
        "assistant: What is your name?",
        "user: Ada",
        "assistant: Hello Ada, of message 1.",
        "user: and now?",
        "assistant: Ada wrote: and now?",
    ]


async def test_each_user_of_a_group_has_his_state_and_all_share_the_session(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = recording(store)

    @dispatcher.message()
    async def count(message: Message, state: FSMContext, chat_session: ChatSession) -> None:
        seen = (await state.get_data()).get("seen", 0) + 1
        await state.update_data(seen=seen)
        await chat_session.answer(f"{message.text} {seen}")

    async with polling(telegram, dispatcher):
        for number, user in enumerate((11, 12, 11)):
            telegram.say(GROUP, f"user {user}", user_id=user)
            await telegram.wait_sent(GROUP, number + 1)
    assert [line for line in await said(store, f"telegram:{GROUP}") if "assistant" in line] == [
        "assistant: user 11 1",
        "assistant: user 12 1",
        "assistant: user 11 2",
    ]
