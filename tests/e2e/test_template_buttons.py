"""The templates' buttons at work: one stops a growing answer, one asks the model again."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.bots import run, said, turns
from emulators.discord import DiscordEmulator
from emulators.openai import OpenAIEmulator
from emulators.telegram import TelegramEmulator

pytestmark = pytest.mark.asyncio

QUESTION = ["user: hello", "assistant: echo: hello"]


async def test_on_telegram(telegram: TelegramEmulator, llm: OpenAIEmulator, folder: Path) -> None:
    environment = {
        "TELEGRAM_TOKEN": telegram.token,
        "TELEGRAM_API_URL": telegram.url,
        "OPENAI_BASE_URL": llm.url,
        "OPENAI_API_KEY": "x",
    }

    def buttons() -> list[str]:
        keyboards = [one["reply_markup"]["inline_keyboard"] for one in telegram.sent(7)]
        return [keyboard[0][0]["callback_data"] for keyboard in keyboards]

    async with run("telegram_bot.py", folder, environment) as bot:
        await bot.wait_for(lambda: telegram.polling, "it polled")
        llm.hold(after_chunks=1)
        telegram.say(7, "hello")
        await bot.wait_for(lambda: telegram.sent(7), "it began")
        assert buttons() == ["turnkeep:stop"]
        telegram.press(telegram.sent(7)[0], "turnkeep:stop", user_id=7)
        await bot.wait_for(lambda: buttons() == ["turnkeep:again"], "it was stopped")
        llm.release()
        await bot.wait_for(lambda: len(said(folder, "telegram/7")) == 2, "it stored the part")
        assert turns(folder, "telegram/7")[1]["interrupted"]
        telegram.press(telegram.sent(7)[0], "turnkeep:again", user_id=7)
        await bot.wait_for(lambda: said(folder, "telegram/7") == QUESTION, "it answered again")
        await bot.wait_for(lambda: len(telegram.sent(7)) == 1, "it deleted the old answer")


async def test_on_discord(discord: DiscordEmulator, llm: OpenAIEmulator, folder: Path) -> None:
    environment = discord.environment(
        DISCORD_TOKEN=discord.token, OPENAI_BASE_URL=llm.url, OPENAI_API_KEY="x"
    )
    ada = discord.user("Ada")
    dm = discord.dm(ada)
    session = f"discord/{dm['id']}"

    def buttons() -> list[str]:
        rows = [one["components"] for one in discord.sent(dm)]
        return [row[0]["components"][0]["label"] for row in rows if row]

    async with run("discord_bot.py", folder, environment) as bot:
        await bot.wait_for(lambda: discord.connections, "it connected")
        llm.hold(after_chunks=1)
        await discord.say(dm, ada, "hello")
        await bot.wait_for(lambda: buttons() == ["⏹"], "it began")
        await discord.press(ada, discord.sent(dm)[0], "⏹")
        await bot.wait_for(lambda: buttons() == ["🔄"], "it was stopped")
        llm.release()
        await bot.wait_for(lambda: len(said(folder, session)) == 2, "it stored the part")
        assert turns(folder, session)[1]["interrupted"]
        await discord.press(ada, discord.sent(dm)[0], "🔄")
        await bot.wait_for(lambda: said(folder, session) == QUESTION, "it answered again")
        await bot.wait_for(lambda: len(discord.sent(dm)) == 1, "it deleted the old answer")
