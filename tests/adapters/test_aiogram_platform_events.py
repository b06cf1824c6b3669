"""Telegram's buttons and queries, and what aiogram has beside the adapter, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiogram import Bot, Dispatcher, F, Router
from aiogram.filters import Command, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InlineQuery,
    InlineQueryResultArticle,
    InputTextMessageContent,
    Message,
)

from adapters.tools import all_turns, keys, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio

ADA = 7
GROUP = -1001234567890
YES_NO = InlineKeyboardMarkup(
    inline_keyboard=[
        [InlineKeyboardButton(text=text, callback_data=data)]
        for text, data in (("Yes, please", "y"), ("No", "n"))
    ]
)
DIRECT = {"topic_id": ADA, "user": {"id": ADA, "is_bot": False, "first_name": "Ada"}}
ARTICLE = InlineQueryResultArticle(
    id="1", title="A cat", input_message_content=InputTextMessageContent(message_text="Meow.")
)


@pytest_asyncio.fixture(autouse=True)
async def kept_open(store: SessionStore) -> AsyncIterator[None]:
    """The store stays open when the bot has stopped, to be looked into."""
    async with store:
        yield


def recording(store: SessionStore, **options: Any) -> Dispatcher:
    """A dispatcher without any handler."""
    dispatcher = Dispatcher(storage=MemoryStorage())
    SessionMiddleware(store, **options).setup(dispatcher)
    return dispatcher


async def ended(caplog: pytest.LogCaptureFixture, telegram: TelegramEmulator, count: int) -> None:
    """Until aiogram is done with so many updates."""
    await telegram.wait_for(lambda: caplog.text.count("handled. Duration") >= count)


@pytest.fixture(autouse=True)
def log_of_aiogram(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "aiogram.event")


# What the bot asks Telegram for.


async def test_the_bot_asks_for_what_the_middleware_needs_without_any_handler(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, recording(store)):
        asked = telegram.called("getUpdates")[0].params["allowed_updates"]
    assert sorted(asked) == [
        "deleted_business_messages",
        "edited_business_message",
        "edited_channel_post",
        "edited_message",
        "message",
    ]


async def test_an_edit_reaches_the_history_of_a_bot_that_handles_no_edits(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, recording(store)):
        message = telegram.say(ADA, "hello")
        await telegram.wait_taken()
        telegram.edit(message, "hello!")
        await telegram.wait_taken()
    assert await said(store, "telegram:7") == ["user: hello!"]


# Buttons.


@pytest.mark.parametrize(
    ("chat", "fields", "key"),
    [
        (ADA, {}, "telegram:7"),
        (ADA, {"thread_id": 9}, "telegram:7:topic:9"),
        (GROUP, {"thread_id": 9}, f"telegram:{GROUP}:topic:9"),
        (GROUP, {"direct_messages_topic": DIRECT}, f"telegram:{GROUP}:direct:7"),
        (ADA, {"business_connection_id": "shop"}, "telegram:7:business:shop"),
    ],
    ids=["private", "private topic", "forum topic", "direct messages", "business"],
)
async def test_a_pressed_button_is_recorded_by_its_label_and_answered_where_it_is(
    store: SessionStore, telegram: TelegramEmulator, chat: int, fields: dict[str, Any], key: str
) -> None:
    dispatcher = recording(store)
    direct = ADA if "direct_messages_topic" in fields else None

    @dispatcher.message()
    @dispatcher.business_message()
    async def ask(message: Message) -> None:
        await message.answer("Tea?", reply_markup=YES_NO, direct_messages_topic_id=direct)

    @dispatcher.callback_query()
    async def pressed(query: CallbackQuery, chat_session: ChatSession) -> None:
        await query.answer("noted")
        await chat_session.answer("Tea it is.")

    connection = fields.get("business_connection_id", "")
    async with polling(telegram, dispatcher):
        telegram.say(chat, "hello", user_id=ADA, **fields)
        (asked,) = await telegram.wait_sent(chat, 1, connection=connection)
        telegram.press(asked, "y", user_id=ADA)
        _, answered = await telegram.wait_sent(chat, 2, connection=connection)
    for place in ("message_thread_id", "direct_messages_topic", "business_connection_id"):
        assert answered.get(place) == asked.get(place)
    assert await keys(store) == [key]
    assert await said(store, key) == [
        "user: hello",
        "user: [button: Yes, please]",
        "assistant: Tea it is.",
    ]
    (call,) = telegram.called("answerCallbackQuery")
    assert call.error is None


async def test_a_press_that_is_delivered_again_is_recorded_once(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher, given = recording(store), list[bool]()

    @dispatcher.callback_query()
    async def pressed(query: CallbackQuery, chat_session: ChatSession) -> None:
        given.append(chat_session.already_answered)
        if not chat_session.already_answered:
            await chat_session.answer("Tea it is.")

    async with polling(telegram, dispatcher):
        message = telegram.say(ADA, "Tea?")
        press = telegram.press(message, "y", user_id=ADA)
        await ended(caplog, telegram, 2)
        telegram.redeliver(press)
        telegram.redeliver(press, same_update_id=True)
        await ended(caplog, telegram, 4)
        telegram.press(message, "y", user_id=ADA)
        await ended(caplog, telegram, 5)
    assert given[0] is False
    assert given[-1] is False, "another press of the same button is another one"
    assert (await said(store, "telegram:7"))[1:] == [
        "user: [button: y]",
        "assistant: Tea it is.",
    ] * 2


# Queries from where there is no chat.


async def test_inline_queries_and_guest_messages_have_no_session_and_leave_nothing(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher, given = recording(store, capture=True), list[ChatSession | None]()

    @dispatcher.inline_query()
    async def on_query(query: InlineQuery, chat_session: ChatSession | None) -> None:
        given.append(chat_session)
        await query.answer([ARTICLE])

    @dispatcher.guest_message()
    async def on_guest(message: Message, bot: Bot, chat_session: ChatSession | None) -> None:
        given.append(chat_session)
        await bot(message.answer_guest_query(ARTICLE))

    async with polling(telegram, dispatcher):
        telegram.ask_inline("cats")
        telegram.summon(GROUP, "@emulated_bot cats")
        telegram.summon(ADA, "@emulated_bot cats", user_id=ADA)
        await telegram.wait_for(lambda: len(telegram.bot.answers) == 3)
    assert given == [None, None, None]
    assert await keys(store) == []


# Flags.


async def test_the_flag_drop_records_a_message_and_does_not_handle_it(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
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
        await ended(caplog, telegram, 1)
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

    @dispatcher.message(flags={"turnkeep": {"debounce": 0.05}})
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
    dispatcher = recording(store)

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
