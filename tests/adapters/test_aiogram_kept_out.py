"""What is kept out of the history on Telegram does not come back by a reply to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher, F
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import Message

from adapters.discord_bots import on_disk
from adapters.test_aiogram_forms import Form
from adapters.tools import keys, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

ADA, GROUP = 7, -1001234567890


def with_secrets(store: SessionStore, **options: Any) -> Dispatcher:
    """A bot with a form, and with a handler whose messages are not recorded."""
    dispatcher = Dispatcher()
    SessionMiddleware(store, **options).setup(dispatcher)

    @dispatcher.message(Command("form"))
    async def begin(message: Message, state: FSMContext) -> None:
        await state.set_state(Form.key)
        await message.answer("Your key?")

    @dispatcher.message(Form.key)
    async def typed(message: Message, state: FSMContext) -> None:
        await state.clear()
        await message.answer("Thank you.")

    @dispatcher.message(F.text.startswith("login"), flags={"turnkeep": {"record": False}})
    async def login(message: Message) -> None:
        await message.answer("Welcome.")

    @dispatcher.message()
    async def other(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer("I see.")

    return dispatcher


@pytest.mark.parametrize("scope", ["chat_topic", "user_in_chat", "reply_chain"])
@pytest.mark.parametrize("chat", [ADA, GROUP], ids=["private", "group"])
@pytest.mark.parametrize("by", ["a form", "a flag"])
@pytest.mark.parametrize("restart", [False, True], ids=["at once", "after a restart"])
async def test_a_reply_does_not_repeat_what_is_kept_out(
    store: SessionStore,
    telegram: TelegramEmulator,
    tmp_path: Path,
    scope: Any,
    chat: int,
    by: str,
    restart: bool,
) -> None:
    async with polling(telegram, with_secrets(store, scope=scope)):
        if by == "a form":
            telegram.say(chat, "/form", user_id=ADA)
            await telegram.wait_sent(chat, 1)
        secret = telegram.say(chat, "login: sk-1", user_id=ADA)
        count = len(await telegram.wait_sent(chat, 2 if by == "a form" else 1))
        if not restart:
            telegram.say(chat, "that was it", user_id=ADA, reply_to=secret)
            await telegram.wait_sent(chat, count + 1)
    if restart:
        async with polling(telegram, with_secrets(store, scope=scope)):
            telegram.say(chat, "that was it", user_id=ADA, reply_to=secret)
            await telegram.wait_sent(chat, count + 1)
    (key,) = await keys(store)
    assert await said(store, key) == [
        "user: [reply to a message]\nthat was it",
        "assistant: I see.",
    ]
    assert "sk-1" not in on_disk(tmp_path), "not even in what a restart would handle again"
