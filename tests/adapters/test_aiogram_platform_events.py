"""Telegram's buttons and queries over a real socket, and what the bot asks Telegram for."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InlineQuery,
    InlineQueryResultArticle,
    InputTextMessageContent,
    Message,
)

from adapters.tools import keys, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open", "log_of_aiogram")]

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


def recording(store: SessionStore, **options: Any) -> Dispatcher:
    """A dispatcher without any handler."""
    dispatcher = Dispatcher()
    SessionMiddleware(store, **options).setup(dispatcher)
    return dispatcher


async def ended(caplog: pytest.LogCaptureFixture, telegram: TelegramEmulator, count: int) -> None:
    """Until aiogram is done with so many updates."""
    await telegram.wait_for(lambda: caplog.text.count("handled. Duration") >= count)


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
    title = ["user: [topic: Topic 9]"] if key == f"telegram:{GROUP}:topic:9" else []
    assert await said(store, key) == [
        *title,
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
