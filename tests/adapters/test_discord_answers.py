"""Answers to the cog's own event on Discord, and messages that overlap."""

from __future__ import annotations

import asyncio

import pytest

from adapters.discord_bots import AnsweringBot, key_of
from adapters.tools import all_turns, connected, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]


async def test_an_answer_is_split_and_stored_once(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = AnsweringBot(store)
    async with connected(server, bot):
        await server.say(place, ada, "x " * 999 + "x")
        sent = await server.wait_sent(place, 2)
        await server.wait_for(
            lambda: sum(one["content"].count("x") for one in server.sent(place)) == 1000, 10, "x"
        )
    turn = (await all_turns(store, key_of(place)))[1]
    assert turn.source_ids == tuple(f"{place['id']}:{one['id']}" for one in sent)


async def test_a_busy_chat_collects_and_answers_together(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = AnsweringBot(store, busy="collect")
    bot.go_on.clear()
    async with connected(server, bot):
        await server.say(place, ada, "a")
        await server.wait_for(lambda: len(bot.begun) == 1, 10, "a")
        for text in "bc":
            await server.redeliver(await server.say(place, ada, text))
        while len(await said(store, key_of(place))) < 3:
            await asyncio.sleep(0.01)
        bot.go_on.set()
        await server.wait_sent(place, 2)
    assert bot.begun == ["a", "c"]


async def test_a_listener_that_fails_is_told_of_as_discord_py_does(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = AnsweringBot(store, busy="queue")
    async with connected(server, bot):
        await server.say(place, ada, "fail")
        await server.say(place, ada, "b")
        await server.wait_sent(place, 1)
    assert (bot.errors, bot.begun) == (1, ["fail", "b"])
