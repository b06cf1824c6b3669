"""The bot that `kills` kills: an agent with a tool, on either platform.

With `DIES=before append` or `after append` it kills itself there, at the first message of its
first life.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Message
from discord.ext import commands
from openai import AsyncOpenAI

from turnkeep import Reply, SessionStore
from turnkeep.adapter import ChatSession
from turnkeep.storage.jsonl import JsonlStorage
from turnkeep_aiogram import SessionMiddleware
from turnkeep_discord import SessionCog

TOOL: Any = {"type": "function", "function": {"name": "look_up", "description": "Look it up."}}


class Deadly(JsonlStorage):
    """A storage that kills its process when a message is stored."""

    async def append(self, *args: Any, **kwargs: Any) -> Any:
        mark = Path("died.txt")
        dies = "" if mark.exists() else os.environ.get("DIES", "")
        if dies == "after append":
            await super().append(*args, **kwargs)
        if dies:
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().append(*args, **kwargs)


def note_run(what: str) -> None:
    """Notes that a tool's result was used by the next call of the model."""
    with Path("tools.txt").open("a") as file:
        file.write(f"{what}\n")


async def agent(reply: Reply) -> AsyncIterator[str]:
    async with AsyncOpenAI() as client:
        ran: list[str] = []
        while True:
            messages: Any = await reply.get_history()
            for what in ran:  # the results are stored now
                note_run(what)
            ran.clear()
            stream: Any = await client.chat.completions.create(
                model="gpt-4o-mini", messages=messages, tools=[TOOL], stream=True
            )
            calls: dict[int, Any] = {}
            async for chunk in stream:
                delta = chunk.choices[0].delta if chunk.choices else None
                if delta is None:
                    continue
                if delta.content:
                    yield delta.content
                for part in delta.tool_calls or ():
                    call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                    call["id"] += part.id or ""
                    call["name"] += part.function.name or ""
                    call["arguments"] += part.function.arguments or ""
            if not calls:
                return
            for call in calls.values():
                reply.add_tool_call(call["id"], call["name"], call["arguments"])
                await asyncio.sleep(0.05)
                what = json.loads(call["arguments"])["what"]
                ran.append(what)
                reply.add_tool_result(call["id"], f"looked up {what}")


async def telegram(store: SessionStore) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, busy="queue").setup(dispatcher)

    @dispatcher.message()
    async def on_message(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(agent)

    api = TelegramAPIServer.from_base(os.environ["TELEGRAM_API_URL"])
    await dispatcher.start_polling(
        Bot(os.environ["TELEGRAM_TOKEN"], session=AiohttpSession(api=api))
    )


class OnDiscord(commands.Bot):
    def __init__(self, store: SessionStore) -> None:
        super().__init__((), intents=discord.Intents.all())
        self.store = store

    async def setup_hook(self) -> None:
        await self.add_cog(SessionCog(self, self.store, busy="queue", backfill=50))

    async def on_ready(self) -> None:
        print("is ready")

    async def on_session_message(self, message: discord.Message, chat_session: ChatSession) -> None:
        await chat_session.answer(agent)


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    async with SessionStore(Deadly("sessions")) as store:
        if os.environ["PLATFORM"] == "telegram":
            await telegram(store)
            return
        async with OnDiscord(store) as bot:

            def stop() -> None:
                stopping.append(asyncio.create_task(bot.close()))

            stopping: list[asyncio.Task[None]] = []
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
            await bot.start(os.environ["DISCORD_TOKEN"])


if __name__ == "__main__":
    asyncio.run(main())
