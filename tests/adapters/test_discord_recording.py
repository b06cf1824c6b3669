"""What the discord.py adapter stores of what is said, in which order, and from whom."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import discord
import pytest
from discord.ext import commands

from adapters.discord_bots import settles
from adapters.tools import RecordingBot, all_turns, connected, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from patience import PATIENCE
from turnkeep import Sender, SessionStore
from turnkeep_discord import SessionCog, chat_session

pytestmark = pytest.mark.asyncio

FORUM, JOINED, THREAD_STARTER, POLL_RESULT = 15, 7, 21, 46


async def test_in_a_handler_this_and_all_earlier_messages_of_the_channel_are_stored(
    server: DiscordEmulator, store: SessionStore, ada: Payload
) -> None:
    guild = server.guild("Guild")
    places = [server.channel(guild, name) for name in ("a", "b", "c")]
    expected: dict[str, list[str]] = defaultdict(list)
    wrong: list[tuple[str, list[str]]] = []
    handled = 0

    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            nonlocal handled
            # Without a delay it asks before the cog's own listener has run.
            if delay := random.choice((0, 0.001, 0.01)):
                await asyncio.sleep(delay)
            session = await chat_session(self, message)
            stored = await said(store, str(session.key))
            sent = expected[str(message.channel.id)]
            before = sent[: sent.index(f"user: {message.content}") + 1]
            if stored[: len(before)] != before:
                wrong.append((message.content, stored))
            handled += 1

    async with store, connected(server, Bot(store)):
        for number in range(100):
            channel = random.choice(places)
            expected[channel["id"]].append(f"user: {number}")
            message = await server.say(channel, ada, str(number))
            if number % 10 == 0:
                await server.redeliver(message)
        await server.wait_for(lambda: handled == 110)
        for channel in places:
            assert await said(store, f"discord:{channel['id']}") == expected[channel["id"]]
    assert wrong == []


async def test_the_order_is_kept_where_the_bot_looks_its_prefix_up_for_each_message(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async def prefix(bot: commands.Bot, message: discord.Message) -> str:
        await asyncio.sleep(random.random() / 100)
        return "!"

    bot = RecordingBot(store)
    bot.command_prefix = prefix  # type: ignore[assignment]
    async with store, connected(server, bot):
        for number in range(20):
            await server.say(place, ada, str(number))
        await bot.hears(server, 20)
        stored = await said(store, f"discord:{place['id']}")
    assert stored == [f"user: {number}" for number in range(20)]


async def test_a_message_that_no_handler_asks_for_is_stored_by_the_cog(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = commands.Bot("!", intents=discord.Intents.all())
    async with store, connected(server, bot):
        await bot.add_cog(SessionCog(bot, store))
        await server.say(place, ada, "hello")
        async with asyncio.timeout(PATIENCE):
            while not await said(store, f"discord:{place['id']}"):
                await asyncio.sleep(0.01)


async def test_asking_again_stores_nothing_and_gives_the_same_turn(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            self.given += [await chat_session(self, message) for _ in range(2)]

    bot = Bot(store)
    async with store, connected(server, bot):
        await server.say(place, ada, "hello")
        await bot.hears(server, 2)
        assert bot.given[0].turn == bot.given[1].turn
        assert await said(store, f"discord:{place['id']}") == ["user: hello"]


async def test_a_turn_has_the_sender_the_time_and_the_id_of_its_message(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with store, connected(server, bot):
        message = await server.say(place, ada, f"hello <@{ada['id']}>")
        await bot.hears(server, 1)
        (turn,) = await all_turns(store, f"discord:{place['id']}")
    assert turn.content == "hello @Ada"
    assert turn.sender == Sender(ada["id"], "Ada")
    assert turn.source_ids == (f"{place['id']}:{message['id']}",)
    assert turn.time == discord.utils.snowflake_time(int(message["id"]))


@pytest.mark.parametrize(
    "fields",
    [
        {"text": " \n "},
        {"text": "hello", "webhook_id": "1"},
        {"text": "hello", "type": JOINED},
        {"text": "hello", "type": THREAD_STARTER, "message_reference": {}},
        {"text": "hello", "type": POLL_RESULT},
    ],
    ids=["blanks", "a webhook", "a notice", "a thread's starter", "a poll's end"],
)
async def test_what_no_user_wrote_is_not_stored(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    fields: dict[str, Any],
) -> None:
    bot = RecordingBot(store)
    if "message_reference" in fields:
        started = await server.say(place, ada, "started a thread")
        reference = {"channel_id": place["id"], "message_id": started["id"]}
        fields = fields | {"message_reference": reference}
    async with store, connected(server, bot):
        await server.say(place, ada, **fields)
        await bot.hears(server, 1)
        assert await keys(store) == []
    assert [session.turn for session in bot.given] == [None]
    assert str(bot.given[0].key) == f"discord:{place['id']}"


async def test_what_bots_write_is_not_stored_nor_what_this_bot_writes(
    server: DiscordEmulator, store: SessionStore, place: Payload
) -> None:
    bot = RecordingBot(store)
    async with store, connected(server, bot):
        await server.say(place, server.user("Other", bot=True), "I am a bot")
        channel = bot.get_channel(int(place["id"]))
        assert isinstance(channel, discord.TextChannel)
        await channel.send("so am I")
        await bot.hears(server, 2)
        assert await keys(store) == []


@pytest.mark.parametrize("record_commands", [False, True])
async def test_prefix_commands_are_stored_only_if_asked(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    record_commands: bool,
) -> None:
    bot = RecordingBot(store, record_commands=record_commands)
    bound: list[bool] = []

    @bot.command()
    async def reset(context: commands.Context[Any]) -> None:
        bound.append((await chat_session(bot, context)).turn is not None)

    async with store, connected(server, bot):
        for text in ("hello", "!reset", "!unknown", "say !reset"):
            await server.say(place, ada, text)
        await bot.hears(server, 4)
        await server.wait_for(lambda: bound)
        stored = await said(store, f"discord:{place['id']}")
    others = ["user: !unknown", "user: say !reset"]
    assert stored == ["user: hello", *["user: !reset"] * record_commands, *others]
    assert bound == [record_commands]


@pytest.mark.parametrize("kind", ["thread", "forum post", "direct messages"])
async def test_threads_posts_and_direct_messages_are_sessions_of_their_own(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, kind: str
) -> None:
    bot = RecordingBot(store)
    async with store, connected(server, bot):
        if kind == "thread":
            where = server.thread(place, "A thread", message=await server.say(place, ada, "start"))
        elif kind == "forum post":
            forum = server.channel(server.guild("Other"), "forum", FORUM)
            where = server.thread(forum, "A post")
        else:
            where = server.dm(ada)
        await server.say(where, ada, "hello")
        opened = {
            "thread": ["user: [thread: A thread]\nstart"],
            "forum post": ["user: [post: A post]"],
        }.get(kind, [])
        await settles(store, f"discord:{where['id']}", [*opened, "user: hello"])


async def test_without_the_intent_it_warns_and_stores_what_discord_still_shows(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bot = RecordingBot(store, discord.Intents.default())
    async with store, connected(server, bot):
        assert "the message_content intent is off" in caplog.text
        await server.say(place, ada, "hidden")
        await server.say(place, ada, "to the bot", mentions_bot=True)
        await server.say(server.dm(ada), ada, "in private")
        await bot.hears(server, 3)
        assert await said(store, f"discord:{place['id']}") == ["user: to the bot"]
        assert await said(store, f"discord:{server.dm(ada)['id']}") == ["user: in private"]


async def test_with_the_intent_it_does_not_warn(
    server: DiscordEmulator, store: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(server, RecordingBot(store)):
        assert "intent" not in caplog.text


async def test_what_is_replayed_after_a_lost_connection_is_stored_once(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with store, connected(server, bot):
        message = await server.say(place, ada, "before")
        await bot.hears(server, 1)
        await server.drop_connection()
        await server.redeliver(message)
        await server.say(place, ada, "during")
        await bot.hears(server, 3)
        assert await said(store, f"discord:{place['id']}") == ["user: before", "user: during"]
