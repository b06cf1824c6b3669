"""Real bots in this process, and what is in a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache
from typing import Any

import discord
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from discord.ext import commands

from emulators.discord import DiscordEmulator, point_at
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import Session, SessionStore, StoreClosedError, Turn
from turnkeep_discord import SessionCog, chat_session


class QuickSession(AiohttpSession):
    """aiogram's session without the 250 ms it sleeps at its end for the sake of TLS."""

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


@asynccontextmanager
async def polling(telegram: TelegramEmulator, dispatcher: Dispatcher) -> AsyncIterator[Bot]:
    """A real aiogram bot that polls; at the end it is told to stop, and has stopped."""
    session = QuickSession(api=TelegramAPIServer.from_base(telegram.url))
    async with Bot(telegram.token, session=session) as bot:
        run = dispatcher.start_polling(bot, handle_signals=False, close_bot_session=False)
        task = asyncio.create_task(run)
        try:
            await telegram.wait_for(lambda: telegram.polling or task.done())
            yield bot
        finally:
            with suppress(RuntimeError):  # it has stopped already
                await asyncio.wait_for(dispatcher.stop_polling(), PATIENCE)
            await task


@cache
def offline_bot() -> Bot:
    """A bot that sends nothing, so that it never opens a connection."""
    return Bot("42:TEST")


async def feed(dispatcher: Dispatcher, *updates: Mapping[str, Any]) -> None:
    """What a web framework does: each update by itself, all at the same time, in their order."""
    async with asyncio.TaskGroup() as group:
        for update in updates:
            group.create_task(dispatcher.feed_raw_update(offline_bot(), dict(update)))


@asynccontextmanager
async def connected(server: DiscordEmulator, bot: commands.Bot) -> AsyncIterator[None]:
    """A real discord.py bot that is connected and ready; at the end it has closed."""
    before = len(server.connections)
    with point_at(server.url):
        task = asyncio.create_task(bot.start(server.token))
        try:
            await server.wait_for(lambda: len(server.connections) > before or task.done())
            if not task.done():
                await asyncio.wait_for(bot.wait_until_ready(), PATIENCE)
            yield
        finally:
            await asyncio.wait_for(bot.close(), PATIENCE)
            await asyncio.wait_for(task, PATIENCE)


class RecordingBot(commands.Bot):
    """A bot with the cog, which keeps the sessions that its own handler was given."""

    def __init__(
        self, store: SessionStore, intents: discord.Intents | None = None, **options: Any
    ) -> None:
        super().__init__("!", intents=intents or discord.Intents.all())
        self.store = store
        self.options = options
        self.given: list[Session] = []

    async def setup_hook(self) -> None:
        await self.add_cog(SessionCog(self, self.store, **self.options))

    async def on_message(self, message: discord.Message) -> None:
        self.given.append(await chat_session(self, message))
        await self.process_commands(message)

    async def hears(self, server: DiscordEmulator, count: int) -> None:
        """Waits until so many messages have been handled."""
        await server.wait_for(lambda: len(self.given) >= count, what=f"{count} messages")


async def all_turns(store: SessionStore, key: str) -> list[Turn]:
    return [turn async for turn in store.session(key).turns(epoch="all")]


async def said(store: SessionStore, key: str) -> list[str]:
    """What is stored of a session, in its order: `user: …`, `assistant: …`."""
    return [f"{turn.role}: {turn.content}" for turn in await all_turns(store, key)]


async def is_closed(store: SessionStore) -> bool:
    """True if nobody has the store open any more."""
    try:
        await store.session("telegram:7").info()
    except StoreClosedError:
        return True
    return False


async def keys(store: SessionStore) -> list[str]:
    """The keys of all sessions that there are."""
    return sorted(str(info.key) for info in await store.list_sessions())
