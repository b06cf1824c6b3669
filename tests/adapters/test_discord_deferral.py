"""`in_turn` defers an interaction by itself, before Discord ends it."""

from __future__ import annotations

import asyncio

import discord
import pytest
from discord.ext import commands

from adapters.tools import connected, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_discord import SessionCog, in_turn

pytestmark = pytest.mark.asyncio


async def test_a_command_that_waits_or_takes_its_time_is_deferred(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    go_on = asyncio.Event()
    bot = commands.Bot("!", intents=discord.Intents.all())

    @bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, question: str) -> None:
        async def answer(session: ChatSession) -> None:
            await go_on.wait()
            await session.answer(f"to {question}")

        await in_turn(bot, interaction, answer, prompt=question)

    @bot.event
    async def setup_hook() -> None:
        await bot.add_cog(SessionCog(bot, store, busy="queue"))
        await bot.tree.sync()

    def deferred() -> int:
        calls = [call for call in server.requests if "/callback" in call.path]
        kind = discord.InteractionResponseType.deferred_channel_message.value
        return sum(call.body["type"] == kind for call in calls)

    async with store:
        async with connected(server, bot):
            for question in ("one", "two"):
                await server.slash(place, ada, "ask", {"question": question})
            await server.wait_for(lambda: deferred() == 2, what="two deferrals")
            go_on.set()
            await server.wait_sent(place, 2)
        assert sorted(one["content"] for one in server.sent(place)) == ["to one", "to two"]
        assert sorted(await said(store, f"discord:{place['id']}")) == [
            "assistant: to one",
            "assistant: to two",
            "user: one",
            "user: two",
        ]


async def test_a_command_that_is_quick_is_not_deferred(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = commands.Bot("!", intents=discord.Intents.all())

    @bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, question: str) -> None:
        async def answer(session: ChatSession) -> None:
            await interaction.response.send_message("mine")

        await in_turn(bot, interaction, answer, prompt=question)

    @bot.event
    async def setup_hook() -> None:
        await bot.add_cog(SessionCog(bot, store))
        await bot.tree.sync()

    async with connected(server, bot):
        await server.slash(place, ada, "ask", {"question": "one"})
        await server.wait_sent(place, 1)
    kinds = [call.body["type"] for call in server.requests if "/callback" in call.path]
    assert kinds == [discord.InteractionResponseType.channel_message.value]
