"""Commands that ask the model stand in line with the messages of their session."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, Self

import discord
import pytest
import pytest_asyncio
from aiogram import Dispatcher
from aiogram.filters import Command
from aiogram.types import Message
from discord.ext import commands

from adapters.tools import connected, polling, said
from emulators._server import LocalServer
from emulators.discord import DiscordEmulator
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import Busy, ChatSession, RateLimit, RefusedError
from turnkeep_aiogram import SessionMiddleware
from turnkeep_discord import SessionCog

pytestmark = pytest.mark.asyncio


class Bot(ABC):
    """A bot with `/retry`, `/again`, `/early` and `/tell`; its model waits until it may speak."""

    server: LocalServer
    key: str

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.called = 0
        self.running = 0
        self.most = 0
        self.refused = 0
        self.done = 0

    async def model(self) -> AsyncIterator[str]:
        self.called += 1
        self.running += 1
        self.most = max(self.most, self.running)
        self.server.notify()
        try:
            await self.may_end.wait()
            yield f"answer {self.called}"
        finally:
            self.running -= 1

    async def retry(self, session: ChatSession) -> None:
        await session.undo(answers_only=True)
        await session.answer(self.model())
        self._end()

    async def again(self, session: ChatSession) -> None:
        await session.answer(self.model(), replace=True)
        self._end()

    async def early(self, session: ChatSession) -> None:
        """Ask the model before there is an answer to show."""
        try:
            await session.get_history()
        except RefusedError:
            self.refused += 1
            self._end()
            raise
        await session.append("assistant", "".join([piece async for piece in self.model()]))
        self._end()

    async def tell(self, session: ChatSession) -> None:
        """Ask in a reply."""
        async with session.reply(prompt="Tell me.") as reply:
            async for piece in self.model():
                reply.add_text(piece)
        self._end()

    def _end(self) -> None:
        self.done += 1
        self.server.notify()

    @abstractmethod
    def start(self, store: SessionStore, **options: Any) -> Any: ...

    @abstractmethod
    def say(self, text: str) -> Any: ...

    @abstractmethod
    def texts(self) -> list[str]: ...

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop()


class OnTelegram(Bot):
    server: TelegramEmulator
    key = "telegram:7"

    def __init__(self) -> None:
        super().__init__()
        self.server = TelegramEmulator()

    def start(self, store: SessionStore, **options: Any) -> Any:
        dispatcher = Dispatcher()
        SessionMiddleware(store, **options).setup(dispatcher)

        @dispatcher.message(Command("retry"))
        async def retry(_: Message, chat_session: ChatSession) -> None:
            await self.retry(chat_session)

        @dispatcher.message(Command("again"))
        async def again(_: Message, chat_session: ChatSession) -> None:
            await self.again(chat_session)

        @dispatcher.message(Command("early"))
        async def early(_: Message, chat_session: ChatSession) -> None:
            await self.early(chat_session)

        @dispatcher.message(Command("tell"))
        async def tell(_: Message, chat_session: ChatSession) -> None:
            await self.tell(chat_session)

        @dispatcher.message()
        async def on_message(message: Message, chat_session: ChatSession) -> None:
            await chat_session.answer(self.model())
            self._end()

        return polling(self.server, dispatcher)

    async def say(self, text: str) -> None:
        self.server.say(7, text)

    def texts(self) -> list[str]:
        return [call.params["text"] for call in self.server.calls if "text" in call.params]


class OnDiscord(Bot):
    server: DiscordEmulator

    def __init__(self) -> None:
        super().__init__()
        self.server = DiscordEmulator()
        self.place = self.server.channel(self.server.guild("Guild"), "general")
        self.ada = self.server.user("Ada")
        self.key = f"discord:{self.place['id']}"

    def start(self, store: SessionStore, **options: Any) -> Any:
        bot = commands.Bot("/", intents=discord.Intents.all(), help_command=None)

        @bot.event
        async def setup_hook() -> None:
            await bot.add_cog(SessionCog(bot, store, **options))

        @bot.command()
        async def retry(ctx: Any) -> None:
            await self.retry(ctx.chat_session)

        @bot.command()
        async def again(ctx: Any) -> None:
            await self.again(ctx.chat_session)

        @bot.command()
        async def early(ctx: Any) -> None:
            await self.early(ctx.chat_session)

        @bot.command()
        async def tell(ctx: Any) -> None:
            await self.tell(ctx.chat_session)

        @bot.event
        async def on_session_message(message: discord.Message, chat_session: ChatSession) -> None:
            await chat_session.answer(self.model())
            self._end()

        return connected(self.server, bot)

    async def say(self, text: str) -> None:
        await self.server.say(self.place, self.ada, text)

    def texts(self) -> list[str]:
        return [one["content"] for one in self.server.sent(self.place["id"])]


@pytest_asyncio.fixture(params=[OnTelegram, OnDiscord], ids=["telegram", "discord"])
async def bot(request: pytest.FixtureRequest) -> AsyncIterator[Bot]:
    async with request.param() as bot:
        yield bot


async def wait(bot: Bot, predicate: Callable[[], object]) -> None:
    await bot.server.wait_for(predicate, what="the bot")


@pytest.mark.parametrize("command", ["/retry", "/again", "/early", "/tell"])
async def test_a_command_that_asks_the_model_waits_for_the_answer_before_it(
    bot: Bot, store: SessionStore, command: str
) -> None:
    async with store, bot.start(store, busy="queue"):
        await bot.say("hello")
        await wait(bot, lambda: bot.called == 1)
        for _ in range(5):
            await bot.say(command)
        bot.may_end.set()
        await wait(bot, lambda: bot.done == 6)
        await bot.say("bye")  # the line goes on behind them
        await wait(bot, lambda: bot.done == 7)
    assert (bot.called, bot.most) == (7, 1)


@pytest.mark.parametrize("command", ["/retry", "/again"])
async def test_a_retry_replaces_the_answer_that_it_waited_for(
    bot: Bot, store: SessionStore, command: str
) -> None:
    async with store:
        async with bot.start(store, busy="queue"):
            await bot.say("hello")
            await wait(bot, lambda: bot.called == 1)
            await bot.say(command)
            bot.may_end.set()
            await wait(bot, lambda: bot.done == 2)
        assert await said(store, bot.key) == ["user: hello", "assistant: answer 2"]


@pytest.mark.parametrize("busy", ["queue", "latest", "collect", "drop"])
async def test_a_command_too_many_asks_nobody_and_says_so(
    bot: Bot, store: SessionStore, busy: Busy
) -> None:
    waiting = 0 if busy == "drop" else 2
    async with store, bot.start(store, busy=busy, max_waiting=2, refused="Later."):
        await bot.say("hello")
        await wait(bot, lambda: bot.called == 1)
        for _ in range(waiting):
            await bot.say("/retry")
        for _ in range(3):
            await bot.say("/early")
        await wait(bot, lambda: bot.refused == 3)
        assert "Later." in bot.texts()
        bot.may_end.set()
        await wait(bot, lambda: bot.done == 1 + waiting + 3)
    assert bot.called == 1 + waiting


async def test_commands_count_against_their_authors_rate(bot: Bot, store: SessionStore) -> None:
    limit = RateLimit(2, per=timedelta(hours=1))
    bot.may_end.set()
    async with store, bot.start(store, limit=limit, refused="Later."):
        await bot.say("hello")
        await wait(bot, lambda: bot.done == 1)
        await bot.say("/retry")
        await wait(bot, lambda: bot.done == 2)
        await bot.say("/retry")
        await wait(bot, lambda: "Later." in bot.texts())
    assert bot.called == 2
