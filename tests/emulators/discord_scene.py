"""A scene for the tests of the emulated Discord: a place, a person, and a bot that listens."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import discord
from discord.ext import commands

from emulators._server import PATIENCE
from emulators.discord import DiscordEmulator, point_at
from emulators.discord_payloads import Payload

SECONDS = PATIENCE


class Bot(commands.Bot):
    """A bot that keeps what it is told, to be taken out in order."""

    def __init__(self, intents: discord.Intents | None = None) -> None:
        # No cache: discord.py changes cached messages in place when they are edited.
        super().__init__("!", intents=intents or discord.Intents.all(), max_messages=None)
        self._events: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)

    async def next(self, event: str) -> Any:
        return await asyncio.wait_for(self._events[event].get(), SECONDS)

    async def on_message(self, message: discord.Message) -> None:
        self._events["message"].put_nowait(message)
        if message.content == "ping":
            await message.reply("pong")

    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        self._events["edit"].put_nowait(payload)

    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        self._events["delete"].put_nowait(payload)

    async def on_raw_bulk_message_delete(self, event: discord.RawBulkMessageDeleteEvent) -> None:
        self._events["bulk_delete"].put_nowait(event)

    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        self._events["thread_delete"].put_nowait(payload)

    async def on_guild_unavailable(self, guild: discord.Guild) -> None:
        self._events["guild"].put_nowait(("unavailable", guild.id))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        self._events["guild"].put_nowait(("removed", guild.id))


class Scene:
    """A server with a channel and a person, and ways to bring bots in."""

    def __init__(self, server: DiscordEmulator) -> None:
        self.server = server
        self.guild = server.guild("Guild")
        self.general = server.channel(self.guild, "general")
        self.ada = server.user("Ada")

    @asynccontextmanager
    async def bot(self, bot: Bot | None = None) -> AsyncIterator[Bot]:
        bot = bot or Bot()
        before = len(self.server.connections)
        with point_at(self.server.url):
            task = asyncio.create_task(bot.start(self.server.token))
            try:
                await self.server.wait_ready(SECONDS, before + 1)
                await asyncio.wait_for(bot.wait_until_ready(), SECONDS)
                yield bot
            finally:
                await asyncio.wait_for(bot.close(), SECONDS)
                await asyncio.wait_for(task, SECONDS)

    async def say(self, text: str, **options: Any) -> Payload:
        return await self.server.say(self.general, self.ada, text, **options)

    def place(self, bot: Bot) -> discord.TextChannel:
        channel = bot.get_channel(int(self.general["id"]))
        assert isinstance(channel, discord.TextChannel)
        return channel
