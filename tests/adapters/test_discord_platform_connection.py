"""The bot's line to Discord: shards, outages, a reload, and what the intents leave of it."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
import pytest
from discord.ext import commands

from adapters.discord_bots import AnsweringBot, key_of, settles
from adapters.tools import RecordingBot, connected, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_discord import SessionCog, chat_session

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.parametrize("store", ["jsonl"], indirect=True),
]

EXTENSION = "turnkeep_discord.extension"


class EchoBot(commands.AutoShardedBot):
    """A sharded bot that answers everything."""

    def __init__(self, store: SessionStore, shards: int) -> None:
        super().__init__("!", intents=discord.Intents.all(), shard_count=shards)
        self.store = store

    async def setup_hook(self) -> None:
        await self.add_cog(SessionCog(self, self.store, busy="queue"))

    async def on_session_message(self, message: discord.Message, session: ChatSession) -> None:
        await session.answer(f"to {message.content}")


async def one_place_on_each_shard(server: DiscordEmulator, ada: Payload) -> list[Payload]:
    """A channel on each of two shards, and direct messages, which are on the first."""
    places: dict[int, Payload] = {}
    while len(places) < 2:
        guild = server.guild("Guild")
        places.setdefault(server.shard_of(guild, 2), server.channel(guild))
        await asyncio.sleep(0.001)  # guilds are spread by the time at which they were made
    return [places[0], places[1], server.dm(ada)]


async def test_a_bot_with_two_shards_keeps_the_sessions_of_both_and_answers_on_both(
    server: DiscordEmulator, store: SessionStore, ada: Payload
) -> None:
    places = await one_place_on_each_shard(server, ada)
    bot: Any = EchoBot(store, 2)
    async with store, connected(server, bot):
        await server.wait_ready(connections=2)
        for number, where in enumerate(places):
            await server.say(where, ada, str(number))
        for number, where in enumerate(places):
            await settles(store, key_of(where), [f"user: {number}", f"assistant: to {number}"])
            assert [one["content"] for one in server.sent(where)] == [f"to {number}"]
        assert await keys(store) == sorted(map(key_of, places))


async def test_each_shard_that_lost_its_line_catches_up_with_its_own_sessions(
    server: DiscordEmulator, store: SessionStore, ada: Payload
) -> None:
    places = await one_place_on_each_shard(server, ada)
    bot: Any = EchoBot(store, 2)
    expected: list[str] = []
    async with store, connected(server, bot):
        await server.wait_ready(connections=2)
        await server.drop_connection()
        for number in range(5):
            for where in places:
                await server.say(where, ada, str(number))
            expected.append(f"user: {number}")
        for where in places:
            await server.wait_sent(where, 5)
            stored = await said(store, key_of(where))
            assert [turn for turn in stored if turn.startswith("user")] == expected
        assert [session.resumes for session in server.connections] == [1, 1]


async def test_what_was_said_during_an_outage_is_recorded_and_answered_once_and_in_order(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = AnsweringBot(store, busy="queue")
    texts = [str(number) for number in range(10)]
    async with store, connected(server, bot):
        heard = await server.say(place, ada, "before")
        await settles(store, key_of(place), ["user: before", "assistant: echo: before "])
        await server.drop_connection()
        await server.redeliver(heard)
        for text in texts:
            await server.redeliver(await server.say(place, ada, text))
        await server.wait_sent(place, 11)
        while len(stored := await said(store, key_of(place))) < 22:
            await asyncio.sleep(0.01)
        (line,) = server.connections
    assert line.resumes == 1
    assert [turn for turn in stored[2:] if turn.startswith("user")] == [f"user: {t}" for t in texts]
    assert bot.begun == ["before", *texts]
    assert len(server.sent(place)) == 11


async def test_edits_and_deletions_during_an_outage_reach_the_history(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with store, connected(server, bot):
        first, second = [await server.say(place, ada, text) for text in ("first", "second")]
        await bot.hears(server, 2)
        await server.drop_connection()
        await server.edit(first, "first, corrected")
        await server.delete(second)
        await settles(store, key_of(place), ["user: first, corrected"])


async def test_after_a_reload_each_message_comes_to_one_cog_and_one_answer(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = commands.Bot("!", intents=discord.Intents.all())
    bot.session_store = store  # type: ignore[attr-defined]
    answered: list[str] = []

    @bot.listen()
    async def on_session_message(message: discord.Message, session: ChatSession) -> None:
        answered.append(message.content)
        await session.answer(f"to {message.content}")

    async with connected(server, bot):
        await bot.load_extension(EXTENSION)
        turns: list[str] = []
        for text in "abc":
            await server.say(place, ada, text)
            turns += [f"user: {text}", f"assistant: to {text}"]
            await settles(store, key_of(place), turns)
            await bot.reload_extension(EXTENSION)
    assert answered == ["a", "b", "c"]
    assert len(server.sent(place)) == 3


async def test_without_the_intent_only_what_discord_shows_is_stored_and_a_hidden_edit_is_nothing(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store, discord.Intents.default())

    @bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, prompt: str) -> None:
        await (await chat_session(bot, interaction, prompt=prompt)).answer("well")

    async with store, connected(server, bot):
        await bot.tree.sync()
        shown = await server.say(place, ada, "to the bot", mentions_bot=True)
        hidden = await server.say(place, ada, "hidden", attachments={"hidden.txt": b"hidden"})
        await server.edit(hidden, "hidden too")
        await server.unfurl(hidden)
        await server.slash(place, ada, "ask", {"prompt": "what?"})
        await settles(store, key_of(place), ["user: to the bot", "user: what?", "assistant: well"])
        (answer,) = server.sent(place)
        await server.say(place, ada, "thanks", reply_to=answer)
        await server.edit(shown, "to you")
        stored = ["user: to you", "user: what?", "assistant: well"]
        await settles(store, key_of(place), [*stored, "user: [reply to Bot: well]\nthanks"])
