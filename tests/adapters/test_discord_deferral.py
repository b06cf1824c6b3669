"""`in_turn` defers an interaction by itself, before Discord ends it."""

from __future__ import annotations

import asyncio

import discord
import pytest
from discord.ext import commands

from adapters.tools import connected, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import EPHEMERAL, Payload
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


class Form(discord.ui.Modal, title="Ask"):
    """A form whose question is answered when it may be."""

    question: discord.ui.TextInput[Form] = discord.ui.TextInput(label="?", custom_id="question")

    def __init__(self, bot: commands.Bot, go_on: asyncio.Event, *, by_hand: bool) -> None:
        super().__init__()
        self.bot, self.go_on, self.by_hand = bot, go_on, by_hand

    async def on_submit(self, interaction: discord.Interaction) -> None:
        async def answer(session: ChatSession) -> None:
            await self.go_on.wait()
            await session.answer("Yes.")

        if self.by_hand:
            await interaction.response.defer()
        await in_turn(self.bot, interaction, answer)


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_form_that_a_command_opened_is_answered_for_all_if_it_is_deferred(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, by_hand: bool
) -> None:
    go_on, bot = asyncio.Event(), commands.Bot("!", intents=discord.Intents.all())

    @bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Form(bot, go_on, by_hand=by_hand))

    @bot.event
    async def setup_hook() -> None:
        await bot.add_cog(SessionCog(bot, store))
        await bot.tree.sync()

    async with store:
        async with connected(server, bot):
            opened = await server.slash(place, ada, "ask")
            await server.wait_for(lambda: server.form(opened))
            await server.submit(ada, opened, question="Why?")
            kind = discord.InteractionResponseType.deferred_message_update.value
            await server.wait_for(
                lambda: any(
                    "/callback" in call.path and call.body["type"] == kind
                    for call in server.requests
                )
            )
            go_on.set()
            (sent,) = await server.wait_sent(place, 1)
        assert not sent["flags"] & EPHEMERAL
        lines = ["user: [form: Why?]", "assistant: Yes."]
        assert await said(store, f"discord:{place['id']}") == lines


@pytest.mark.parametrize("fails", [False, True])
async def test_a_deferral_that_nothing_follows_leaves_no_sign(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, fails: bool
) -> None:
    bot, ended = commands.Bot("!", intents=discord.Intents.all()), list[str]()

    @bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, question: str) -> None:
        async def answer(session: ChatSession) -> None:
            await server.wait_for(lambda: any("/callback" in call.path for call in server.requests))
            if fails:
                raise LookupError

        try:
            await in_turn(bot, interaction, answer, prompt=question)
        except LookupError:
            ended.append("in vain")
        ended.append("ended")

    @bot.event
    async def setup_hook() -> None:
        await bot.add_cog(SessionCog(bot, store))
        await bot.tree.sync()

    async with connected(server, bot):
        await server.slash(place, ada, "ask", {"question": "one"})
        await server.wait_for(lambda: "ended" in ended)
    assert ("in vain" in ended) is fails
    (deleted,) = [call for call in server.requests if call.method == "DELETE"]
    assert "/webhooks/" in deleted.path
    assert deleted.status == 204
