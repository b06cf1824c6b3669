"""A command on Discord that asks the model is owed an answer, as any message is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.ext import commands

from adapters.discord_bots import key_of, settles
from adapters.tools import connected
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from patience import PATIENCE
from turnkeep import Reply, SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_discord import SessionCog, in_turn

pytestmark = pytest.mark.asyncio


class Bot(commands.Bot):
    """A bot with commands that ask the model, which dies in the middle of an answer."""

    def __init__(self, store: SessionStore, *, dies: bool, **options: Any) -> None:
        super().__init__("!", intents=discord.Intents.all())
        self.cog = SessionCog(self, store, drain_timeout=0, **options)
        self.dies = dies
        self.is_halfway = asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()

        @self.command()
        async def ask(ctx: commands.Context[Any], *, question: str = "") -> None:
            await self.answer(ctx.chat_session)  # type: ignore[attr-defined]

        @self.command()
        async def turn(ctx: commands.Context[Any], *, question: str = "") -> None:
            await in_turn(self, ctx, self.answer)

        @self.hybrid_command()
        async def hybrid(ctx: commands.Context[Any], *, question: str = "") -> None:
            await self.answer(ctx.chat_session)  # type: ignore[attr-defined]

        @self.command()
        async def fail(ctx: commands.Context[Any], *, question: str = "") -> None:
            await ctx.chat_session.get_history()  # type: ignore[attr-defined]
            raise LookupError("no model")

    async def setup_hook(self) -> None:
        await self.add_cog(self.cog)

    async def answer(self, session: ChatSession) -> None:
        if (task := asyncio.current_task()) is not None:
            self.tasks.add(task)
        assert session.outlet is not None
        session.outlet.pace = 0
        await session.answer(self.says)

    async def says(self, _: Reply) -> AsyncIterator[str]:
        yield "the "
        self.is_halfway.set()
        await asyncio.sleep(PATIENCE if self.dies else 0)
        yield "answer"

    async def end(self) -> None:
        """End what still runs; the store is closed, so this changes nothing there."""
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


Stores = Callable[[], SessionStore]


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """Make the store of each life."""
    return lambda: SessionStore(tmp_path / "sessions", lock_timeout=PATIENCE)


async def is_noted(store: SessionStore) -> None:
    """Wait until the message that shows a part of the answer is noted."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with store.desk.use() as storage:
                if any(one.payload.get("sent") for one in await storage.claims()):
                    return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("command", ["!ask", "!turn", "!hybrid"])
@pytest.mark.parametrize("busy", ["parallel", "queue"])
async def test_a_command_that_a_crash_cut_off_is_answered_after_the_restart(
    server: DiscordEmulator, stores: Stores, place: Payload, ada: Payload, command: str, busy: Any
) -> None:
    async with connected(server, bot := Bot(store := stores(), dies=True, busy=busy)):
        await server.say(place, ada, f"{command} why?")
        await asyncio.wait_for(bot.is_halfway.wait(), PATIENCE)
        await is_noted(store)
        await store.desk.leases.abandon()  # as a process that is killed
    await bot.end()
    async with connected(server, bot := Bot(store := stores(), dies=False, busy=busy)):
        lines = ["user: why?", "assistant: the answer"]
        await settles(store, key_of(place), lines)
        assert [one["content"] for one in server.sent(place)] == ["the answer"]
    async with stores() as store:
        assert await store.unanswered() == []


async def test_a_command_that_fails_is_owed_nothing(
    server: DiscordEmulator, stores: Stores, place: Payload, ada: Payload
) -> None:
    failed = asyncio.Event()
    bot = Bot(stores(), dies=False)

    async def on_command_error(ctx: object, error: Exception) -> None:
        failed.set()

    bot.event(on_command_error)
    async with connected(server, bot):
        await server.say(place, ada, "!fail why?")
        await asyncio.wait_for(failed.wait(), PATIENCE)
    async with connected(server, bot := Bot(store := stores(), dies=False)):
        await server.say(place, ada, "!ask so?")
        await settles(store, key_of(place), ["user: why?", "user: so?", "assistant: the answer"])
