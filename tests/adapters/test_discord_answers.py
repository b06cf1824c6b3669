"""Answers to the cog's own event on Discord, and messages that overlap."""

from __future__ import annotations

from collections.abc import AsyncIterator

import discord
import pytest

from adapters.discord_bots import AnsweringBot
from adapters.tools import RecordingBot, all_turns, connected
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore
from turnkeep_discord import chat_session

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]


async def test_a_listener_that_fails_is_told_of_as_discord_py_does(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = AnsweringBot(store, busy="queue")
    async with connected(server, bot):
        await server.say(place, ada, "fail")
        await server.say(place, ada, "b")
        await server.wait_sent(place, 1)
    assert (bot.errors, bot.begun) == (1, ["fail", "b"])


async def test_a_table_is_shown_as_a_code_block_and_stored_as_it_was_said(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    table = "See:\n\n| a | b |\n|---|--:|\n| long | 1 |\n\nThat is all."

    async def says() -> AsyncIterator[str]:
        for at in range(0, len(table), 10):
            yield table[at : at + 10]

    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            if not message.author.bot:
                session = await chat_session(self, message)
                assert session.outlet is not None
                session.outlet.pace = 0
                await session.answer(says())

    shown = "See:\n\n```\na    | b\n-----+--\nlong | 1\n```\n\nThat is all."
    async with connected(server, Bot(store)):
        await server.say(place, ada, "show me")
        await server.wait_for(lambda: [one["content"] for one in server.sent(place)] == [shown])
    assert (await all_turns(store, f"discord:{place['id']}"))[-1].text == table
