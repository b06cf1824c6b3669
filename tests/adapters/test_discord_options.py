"""The options of the Discord cog, and the bots and the extension that it is added to."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import discord
import pytest
from discord.ext import commands

from adapters.discord_bots import key_of
from adapters.tools import RecordingBot, connected, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore
from turnkeep_discord import (
    SessionCog,
    chat_session,
    source_id,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]


@pytest.mark.parametrize(
    "options", [{"scope": "planet"}, {"record": "some"}, {"edits": "never"}, {"render": "markdown"}]
)
async def test_what_is_no_choice_is_refused(store: SessionStore, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not '"):
        SessionCog(commands.Bot("!", intents=discord.Intents.none()), store, **options)


@pytest.mark.parametrize("backfill", [0, 50])
async def test_what_was_missed_is_fetched_where_that_is_asked_for(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, backfill: int
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=backfill)):
        await server.say(place, ada, "before")
        await bot.hears(server, 1)
    missed = [f"missed {number}" for number in range(3)]
    for text in missed:
        await server.say(place, ada, text)
    async with connected(server, bot := RecordingBot(store, backfill=backfill)):
        wanted = ["user: before", *[f"user: {text}" for text in missed if backfill]]
        while len(await said(store, key_of(place))) < len(wanted):
            await asyncio.sleep(0.01)
        await server.say(place, ada, "after")
        await bot.hears(server, 1)
    assert await said(store, key_of(place)) == [*wanted, "user: after"]


async def test_what_the_bot_sends_is_captured_once_as_it_stands_in_the_end(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            if message.author.bot:
                return
            session = await chat_session(self, message)
            wait = await message.channel.send("…")
            await (await message.channel.send("one moment")).delete()
            await wait.edit(content="half")
            await wait.edit(content="all of it")
            async with session.reply() as reply:
                reply.add_text("**said**")
                sent = await message.channel.send("said")
                await reply.link(source_id(sent))
            self.given.append(session)

    bot = Bot(store, capture=True)
    async with connected(server, bot):
        await server.say(place, ada, "hello")
        await bot.hears(server, 1)
        while len(turns := await said(store, key_of(place))) < 3:
            await asyncio.sleep(0.05)
        assert sorted(turns) == ["assistant: **said**", "assistant: all of it", "user: hello"]
        (late,) = [one for one in server.sent(place) if one["content"] == "all of it"]
        channel = bot.get_channel(int(place["id"]))
        assert isinstance(channel, discord.TextChannel)
        await channel.get_partial_message(int(late["id"])).edit(content="more than that")
        while "assistant: more than that" not in await said(store, key_of(place)):
            await asyncio.sleep(0.05)
        await channel.send("good night")
        await server.wait_for(lambda: bot.cached_messages[-1].content == "good night")
    turns = await said(store, key_of(place))
    assert turns[-1] == "assistant: good night", "recorded at the end, at the latest"
    assert len(turns) == 4


async def test_the_extension_takes_the_options_that_the_bot_has(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(commands.Bot):
        session_store = store
        session_options: ClassVar = {"scope": "user"}

        async def setup_hook(self) -> None:
            await self.load_extension("turnkeep_discord.extension")
            await self.reload_extension("turnkeep_discord.extension")

    async with connected(server, Bot("!", intents=discord.Intents.all())):
        await server.say(place, ada, "hello")
        while await keys(store) != [f"discord:user:{ada['id']}"]:
            await asyncio.sleep(0.01)


async def test_a_sharded_bot_records_as_any_other(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(commands.AutoShardedBot):
        async def setup_hook(self) -> None:
            await self.add_cog(SessionCog(self, store))

    bot: Any = Bot("!", intents=discord.Intents.all(), shard_count=1)
    async with connected(server, bot):
        await server.say(place, ada, "hello")
        while await said(store, key_of(place)) != ["user: hello"]:
            await asyncio.sleep(0.01)
