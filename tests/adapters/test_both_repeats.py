"""Commands and buttons that come twice are handled once, also after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import discord
import pytest
from aiogram import Dispatcher
from aiogram.filters import Command
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message
from discord.ext import commands

from adapters.tools import connected, feed, polling, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession, Handled
from turnkeep.storage.memory import MemoryStorage
from turnkeep_aiogram import SessionMiddleware
from turnkeep_discord import SessionCog

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=["jsonl", "sqlite", "shared"])
def lives(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Makes the stores of a bot's lives."""
    if request.param == "shared":
        shared = MemoryStorage(shared=True)
        return lambda: SessionStore(shared)
    where = f"{request.param}:{tmp_path / 'store'}"
    return lambda: SessionStore(where)


class OnTelegram:
    """A bot with a command, and a button that is part of no conversation."""

    def __init__(self, store: SessionStore, **options: Any) -> None:
        self.heard: list[str] = []
        self.fails = False
        self.dispatcher = Dispatcher()
        SessionMiddleware(store, **options).setup(self.dispatcher)
        self.dispatcher.message.register(self.reset, Command("reset"))
        self.dispatcher.callback_query.register(self.press)

    async def reset(self, message: Message) -> None:
        self.heard.append("reset")
        if self.fails:
            raise RuntimeError("as it is meant")

    async def press(self, query: CallbackQuery) -> None:
        self.heard.append("press")


@pytest.mark.parametrize("record_states", [False, True])
async def test_on_telegram(telegram: TelegramEmulator, lives: Any, record_states: bool) -> None:
    keyboard = InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton(text="Yes", callback_data="yes")]]
    )
    first = OnTelegram(lives(), record_states=record_states)
    async with polling(telegram, first.dispatcher) as bot:
        command = telegram.say(7, "/reset")
        sent = await bot.send_message(7, "Sure?", reply_markup=keyboard)
        pressed = telegram.press(telegram.sent(7)[-1], "yes", user_id=7)
        await telegram.wait_for(lambda: sorted(first.heard) == ["press", "reset"])
        for update in (command, pressed):
            telegram.redeliver(update, same_update_id=True)
        await telegram.wait_taken()
    assert sent is not None
    second = OnTelegram(lives(), record_states=record_states)
    async with polling(telegram, second.dispatcher):
        for update in (command, pressed):
            telegram.redeliver(update, same_update_id=True)
        telegram.say(7, "/reset")
        await telegram.wait_taken()
        await telegram.wait_for(lambda: second.heard)
    assert sorted(first.heard) == ["press", "reset"]
    assert second.heard == ["reset"], "only the new one"


async def test_a_command_whose_handler_failed_is_handled_when_it_comes_again(
    telegram: TelegramEmulator, lives: Any
) -> None:
    first, second = OnTelegram(lives()), OnTelegram(lives())
    first.fails = True
    async with polling(telegram, first.dispatcher):
        command = telegram.say(7, "/reset")
        await telegram.wait_for(lambda: first.heard)
        await telegram.wait_taken()
    async with polling(telegram, second.dispatcher):
        telegram.redeliver(command, same_update_id=True)
        await telegram.wait_for(lambda: second.heard)
    assert (first.heard, second.heard) == (["reset"], ["reset"])


@pytest.mark.parametrize("fails", [False, True])
async def test_a_command_that_reaches_two_processes_at_once_is_handled_by_one(
    telegram: TelegramEmulator, tmp_path: Path, fails: bool
) -> None:
    may_end, heard = asyncio.Event(), list[int]()

    def process(number: int) -> tuple[SessionStore, Dispatcher]:
        store, dispatcher = SessionStore(f"sqlite:{tmp_path / 'store'}"), Dispatcher()
        SessionMiddleware(store).setup(dispatcher)

        @dispatcher.message(Command("buy"))
        async def buy(message: Message) -> None:
            heard.append(number)
            await may_end.wait()
            if fails and len(heard) == 1:
                raise RuntimeError("as it is meant")

        return store, dispatcher

    update = telegram.say(7, "/buy")
    (one, first), (other, second) = process(1), process(2)
    async with one, other:
        begun = asyncio.create_task(feed(first, update))
        await telegram.wait_for(lambda: heard == [1])
        again = asyncio.create_task(feed(second, update))
        async with asyncio.timeout(PATIENCE):
            while not await waiting(other):
                await asyncio.sleep(0.01)
        may_end.set()
        await asyncio.wait([begun, again])
        assert (begun.exception() is not None) is fails
        again.result()
        assert heard == ([1, 2] if fails else [1])
        assert not await waiting(other)


async def waiting(store: SessionStore) -> list[str]:
    """The names of what some process waits for."""
    async with store.desk.use() as storage:
        return [one.name for one in await storage.claims() if "?" in one.name]


class OnDiscord(commands.Bot):
    """A bot with a prefix command."""

    def __init__(self, store: SessionStore) -> None:
        super().__init__("!", intents=discord.Intents.all())
        self.store = store
        self.heard: list[str] = []
        self.refused: list[str] = []

    async def setup_hook(self) -> None:
        await self.add_cog(SessionCog(self, self.store))

        @self.command()
        async def reset(ctx: commands.Context[Any], word: str) -> None:
            self.heard.append(word)

    async def on_session_message(self, message: discord.Message, session: ChatSession) -> None:
        self.heard.append(message.content)

    async def on_command_error(self, ctx: Any, error: commands.CommandError, /) -> None:
        assert isinstance(error, commands.CheckFailure)
        self.refused.append(ctx.message.content)


async def test_on_discord(
    server: DiscordEmulator, lives: Any, place: Payload, ada: Payload
) -> None:
    async with connected(server, first := OnDiscord(lives())):
        command = await server.say(place, ada, "!reset one")
        await server.wait_for(lambda: first.heard)
        await server.redeliver(command)
        await server.wait_for(lambda: first.refused)
    async with connected(server, second := OnDiscord(lives())):
        await server.redeliver(command)
        await server.wait_for(lambda: second.refused)
        await server.say(place, ada, "!reset two")
        await server.wait_for(lambda: second.heard)
    assert (first.heard, second.heard) == (["one"], ["two"])


async def test_the_latest_thousand_are_known_and_older_marks_go(lives: Any) -> None:
    async with lives() as store:
        handled = Handled(store, "telegram", 42)
        for number in range(1_003):
            await handled.note(str(number))
        async with store.desk.use() as storage:
            assert len(await storage.claims(prefix="telegram:")) == 1_000
        known = [await handled.has(str(number)) for number in (2, 3, 1_002)]
    async with lives() as store:
        handled = Handled(store, "telegram", 42)
        assert known == [await handled.has(str(number)) for number in (2, 3, 1_002)]
        assert known == [False, True, True]
        assert not await Handled(store, "telegram", 43).has("3"), "another bot's"
        assert await said(store, "telegram:42") == []
        assert await store.unanswered() == []
