"""A bot that answers everything after a moment: `load_bot.py telegram` or `load_bot.py discord`.

What the load test starts, kills and starts again. Its address, token and folder come from the
environment.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys

import discord
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Message
from discord.ext import commands

from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware
from turnkeep_discord import SessionCog

STORE = SessionStore("sessions")


async def answer(text: str, session: ChatSession) -> None:
    await asyncio.sleep(random.uniform(0, 0.3))
    await session.answer(f"to {text}")


async def telegram() -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(STORE).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        await answer(message.text or "", chat_session)

    server = TelegramAPIServer.from_base(os.environ["TELEGRAM_API_URL"])
    async with Bot(os.environ["TELEGRAM_TOKEN"], session=AiohttpSession(api=server)) as bot:
        await dispatcher.start_polling(bot)


class DiscordBot(commands.Bot):
    async def setup_hook(self) -> None:
        # Python 3.11's `wait_for`, in which discord.py connects, may swallow the cancellation by
        # which asyncio answers Ctrl-C (https://github.com/python/cpython/issues/86296).
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self.stop)
        await self.add_cog(SessionCog(self, STORE, busy="queue", backfill=100))

    def stop(self) -> None:
        self.stopping = asyncio.create_task(self.close())

    async def on_session_message(self, message: discord.Message, session: ChatSession) -> None:
        await answer(message.content, session)


if __name__ == "__main__":
    if sys.argv[1] == "telegram":
        asyncio.run(telegram())
    else:
        DiscordBot("!", intents=discord.Intents.all()).run(os.environ["DISCORD_TOKEN"])
