"""What the middleware tells its user once."""

from __future__ import annotations

import pytest
from aiogram import Bot, Dispatcher

from adapters.tools import polling
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep_aiogram import SessionMiddleware, per_account
from turnkeep_aiogram._message import Scope

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("reads_all", [True, False])
async def test_a_bot_in_privacy_mode_is_told_of_at_its_first_message_in_a_group(
    reads_all: bool, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(SessionStore("memory:")).setup(dispatcher)
    async with (
        TelegramEmulator(reads_all_messages=reads_all) as telegram,
        polling(telegram, dispatcher),
    ):
        telegram.say(7, "in private")
        await telegram.wait_for(lambda: telegram.pending() == 0)
        assert "privacy mode" not in caplog.text
        for text in ("/one@emulated_bot", "/two@emulated_bot"):
            telegram.say(-1001, text)
        await telegram.wait_for(lambda: telegram.pending() == 0)
    assert caplog.text.count("privacy mode") == (not reads_all)


@pytest.mark.parametrize(
    ("scope", "times"), [("chat_topic", 1), ("user_in_chat", 1), (per_account(), 0)]
)
async def test_bots_that_share_their_sessions_are_told_of(
    scope: Scope, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher, telegram = Dispatcher(), TelegramEmulator()
    SessionMiddleware(SessionStore("memory:"), scope=scope).setup(dispatcher)
    for number in (1, 2, 1, 3):
        await dispatcher.feed_raw_update(Bot(f"{number}:TEST"), telegram.say(7, "hello"))
    assert caplog.text.count("several bots share") == times
