"""What `render=` gives: each field is used where Telegram allows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.filters import Command
from aiogram.types import (
    BotCommand,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    LinkPreviewOptions,
    Message,
    ReplyKeyboardMarkup,
)

from adapters.tools import polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

GROUP = -1001234567890


async def says() -> AsyncIterator[str]:
    yield "one "
    yield "two"


async def answer(
    telegram: TelegramEmulator, store: SessionStore, fields: dict[str, Any], **options: Any
) -> None:
    """A bot whose answer has grown to "one two", with these fields in bold."""
    dispatcher = Dispatcher()

    def render(text: str) -> dict[str, Any]:
        return {"text": f"<b>{text}</b>", "parse_mode": "HTML", **fields}

    SessionMiddleware(store, render=render, **options).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        assert chat_session.outlet is not None
        chat_session.outlet.pace = 0
        await chat_session.answer(says())

    async with polling(telegram, dispatcher):
        telegram.say(7, "count")
        await telegram.wait_for(lambda: [one["text"] for one in telegram.sent(7)] == ["one two"])
    assert await said(store, "telegram:7") == ["user: count", "assistant: one two"]


async def test_what_holds_for_sending_alone_is_left_out_of_edits(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    await answer(telegram, store, {"disable_notification": True, "protect_content": True})
    (sent,), edits = telegram.called("sendMessage"), telegram.called("editMessageText")
    assert sent.params["disable_notification"]
    assert sent.params["protect_content"]
    assert edits
    assert all("disable_notification" not in one.params for one in edits)


async def test_what_holds_for_both_is_in_edits_too(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    button = InlineKeyboardButton(text="Yes", callback_data="yes")
    fields = {
        "link_preview_options": LinkPreviewOptions(is_disabled=True),
        "reply_markup": InlineKeyboardMarkup(inline_keyboard=[[button]]),
    }
    await answer(telegram, store, fields)
    for call in (*telegram.called("sendMessage"), *telegram.called("editMessageText")):
        assert "is_disabled" in str(call.params["link_preview_options"])
        assert "callback_data" in str(call.params["reply_markup"])


async def test_a_keyboard_for_replies_is_sent_and_not_edited(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    keyboard = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="Yes")]])
    await answer(telegram, store, {"reply_markup": keyboard})
    (sent,), edits = telegram.called("sendMessage"), telegram.called("editMessageText")
    assert "Yes" in str(sent.params["reply_markup"])
    assert edits
    assert all("reply_markup" not in one.params for one in edits)


async def test_a_draft_takes_what_a_draft_can_have(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    await answer(telegram, store, {"disable_notification": True}, drafts=True)
    (sent,) = telegram.called("sendMessage")
    assert sent.params["disable_notification"]
    assert telegram.called("sendMessageDraft")[0].error is None


async def test_the_place_of_an_answer_is_not_for_render_to_choose(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    telegram.open_chat(8)
    await answer(telegram, store, {"chat_id": 8, "message_id": 1, "message_thread_id": 5})
    assert telegram.sent(8) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"disable_web_page_preview": True},
        {"disable_notification": True, "protect_content": True, "message_effect_id": "5"},
        {"link_preview_options": LinkPreviewOptions(is_disabled=True)},
    ],
)
async def test_an_ephemeral_answer_takes_what_an_ephemeral_edit_can_have(
    store: SessionStore, telegram: TelegramEmulator, fields: dict[str, Any]
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, render=lambda text: {"text": text, **fields}).setup(dispatcher)

    @dispatcher.message(Command("count"))
    async def handle(message: Message, chat_session: ChatSession) -> None:
        assert chat_session.outlet is not None
        chat_session.outlet.pace = 0
        await chat_session.answer(says(), prompt="count")

    async with polling(telegram, dispatcher) as bot:
        command = BotCommand(command="count", description="Count", is_ephemeral=True)
        await bot.set_my_commands([command])
        telegram.whisper(GROUP, "/count", user_id=7)
        await telegram.wait_for(
            lambda: [one["text"] for one in telegram.whispers(GROUP, 7)] == ["one two"]
        )
    key = f"telegram:{GROUP}:thread:ephemeral:user:7"
    assert await said(store, key) == ["user: count", "assistant: one two"]
