"""200 chats at once on each platform, with delays, duplicates, reconnects and restarts.

What is stored is compared with the script that was played: nothing lost, nothing twice, order
kept, and one answer to each message. It plays for TURNKEEP_LOAD_SECONDS (6 unless set; 60 is
the real thing).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import discord
import pytest
from aiogram import Dispatcher
from aiogram.types import Message
from discord.ext import commands

from adapters.tools import connected, polling
from emulators.discord import DiscordEmulator
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware
from turnkeep_discord import SessionCog

pytestmark = pytest.mark.asyncio

CHATS = 200
SECONDS = float(os.environ.get("TURNKEEP_LOAD_SECONDS", "6"))
LIVES = 3
PATIENCE = 60.0


class Script:
    """What everybody says, in its order, and when all of it was heard."""

    def __init__(self) -> None:
        self.random = random.Random(7)
        self.said: dict[Any, list[str]] = {}

    async def play(
        self, chats: list[Any], say: Callable[[Any, str], Awaitable[None]], seconds: float
    ) -> None:
        end = asyncio.get_running_loop().time() + seconds

        async def person(chat: Any) -> None:
            said = self.said.setdefault(chat, [])
            while asyncio.get_running_loop().time() < end:
                await asyncio.sleep(self.random.uniform(0.2, 4))
                said.append(f"{chat} {len(said)}")
                await say(chat, said[-1])

        await asyncio.gather(*(person(chat) for chat in chats))

    @property
    def count(self) -> int:
        return sum(map(len, self.said.values()))


async def compare(folder: Path, script: Script, prefix: str) -> None:
    async with SessionStore(folder, read_only=True) as store:
        for chat, said in script.said.items():
            turns = [turn async for turn in store.session(f"{prefix}:{chat}").turns()]
            users = [turn for turn in turns if turn.role == "user"]
            assert [turn.content for turn in users] == said, f"chat {chat}"
            answers = sorted(turn.answers or 0 for turn in turns if turn.role == "assistant")
            assert answers == [turn.id for turn in users], f"chat {chat}: one answer to each"


async def until_heard(heard: set[str], script: Script) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(heard) < script.count:
            await asyncio.sleep(0.05)


async def test_200_chats_on_telegram(tmp_path: Path) -> None:
    script, heard = Script(), set[str]()

    async def handle(message: Message, chat_session: ChatSession) -> None:
        await asyncio.sleep(script.random.uniform(0, 0.3))
        async with chat_session.reply() as reply:
            reply.add_text(f"to {message.text}")
        heard.add(message.text or "")

    async with TelegramEmulator() as telegram:

        async def say(chat: int, text: str) -> None:
            update = telegram.say(chat, text)
            if script.random.random() < 0.2:
                await asyncio.sleep(script.random.uniform(0, 0.5))
                telegram.redeliver(update)

        for _ in range(LIVES):
            dispatcher = Dispatcher()
            SessionMiddleware(SessionStore(tmp_path)).setup(dispatcher)
            dispatcher.message.register(handle)
            async with polling(telegram, dispatcher):
                await script.play([*range(1, CHATS + 1)], say, SECONDS / LIVES)
                # The last life hears out what was said at the end of those before.
                await until_heard(heard, script)
    await compare(tmp_path, script, "telegram")


async def test_200_chats_on_discord(tmp_path: Path) -> None:
    script, heard = Script(), set[str]()

    class Bot(commands.Bot):
        async def setup_hook(self) -> None:
            await self.add_cog(SessionCog(self, SessionStore(tmp_path), busy="queue"))

        async def on_session_message(self, message: discord.Message, session: ChatSession) -> None:
            await asyncio.sleep(script.random.uniform(0, 0.3))
            async with session.reply() as reply:
                reply.add_text(f"to {message.content}")
            heard.add(message.content)

    async with DiscordEmulator() as server:
        guild, ada = server.guild("Guild"), server.user("Ada")
        places = {
            place["id"]: place
            for place in (server.channel(guild, f"room-{n}") for n in range(CHATS))
        }

        async def say(chat: str, text: str) -> None:
            message = await server.say(places[chat], ada, text)
            if script.random.random() < 0.2:
                await asyncio.sleep(script.random.uniform(0, 0.5))
                await server.redeliver(message)

        async def cut(seconds: float) -> None:
            await asyncio.sleep(seconds)
            await server.drop_connection()  # what is said until the bot resumes is replayed

        for _ in range(LIVES):
            async with connected(server, Bot("!", intents=discord.Intents.all())):
                cutting = asyncio.create_task(cut(SECONDS / LIVES / 2))
                await script.play([*places], say, SECONDS / LIVES)
                await cutting
                await until_heard(heard, script)
    await compare(tmp_path, script, "discord")
