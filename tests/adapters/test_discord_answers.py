"""Answers to the cog's own event on Discord, and messages that overlap."""

from __future__ import annotations

import pytest

from adapters.discord_bots import AnsweringBot
from adapters.tools import connected
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore

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
