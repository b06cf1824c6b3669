"""Backfill, handlers in their turn, and what is sent outside of a handler, on Discord."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
from discord import app_commands
from discord.ext import commands

from adapters.discord_bots import AnsweringBot, private_key_of
from adapters.tools import RecordingBot, connected, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from patience import PATIENCE
from turnkeep import SessionStore, TurnkeepError
from turnkeep.adapter import ChatSession
from turnkeep_discord import SessionCog, in_turn, record_sent, source_id

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]


def key_of(place: Payload) -> str:
    return f"discord:{place['id']}"


async def until(store: SessionStore, key: str, turns: list[str]) -> None:
    async with asyncio.timeout(PATIENCE):
        while await said(store, key) != turns:
            await asyncio.sleep(0.01)


async def test_what_was_missed_stands_before_what_came_first_when_the_bot_was_back(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=50)):
        await server.say(place, ada, "before")
        await bot.hears(server, 1)
    await server.say(place, ada, "missed")
    bot = RecordingBot(store, backfill=50)

    async def on_connect() -> None:
        await server.say(place, ada, "at once")

    bot.add_listener(on_connect)
    async with connected(server, bot):
        await bot.hears(server, 1)
    assert await said(store, key_of(place)) == ["user: before", "user: missed", "user: at once"]


async def test_an_old_message_that_comes_first_when_the_bot_is_back_hides_no_missed_one(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=50)):
        before = await server.say(place, ada, "before")
        await bot.hears(server, 1)
    await server.say(place, ada, "missed")
    bot = RecordingBot(store, backfill=50)

    async def on_connect() -> None:
        await server.redeliver(before)
        await server.say(place, ada, "at once")

    bot.add_listener(on_connect)
    async with connected(server, bot):
        await until(store, key_of(place), ["user: before", "user: missed", "user: at once"])


async def test_it_begins_behind_the_newest_message_of_all_sessions_of_the_channel(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bob = server.user("Bob")
    scope: dict[str, Any] = {"scope": "user_in_channel"}
    async with connected(server, bot := RecordingBot(store, backfill=50, **scope)):
        await server.say(place, ada, "1")
        gone = await server.say(place, bob, "2")
        await server.say(place, bob, "3")
        await bot.hears(server, 3)
        ada_s, bob_s = bot.given[0], bot.given[1]
        await bob_s.delete(f"{place['id']}:{gone['id']}")
        await ada_s.append("assistant", "to 1")  # so her session is the latest one
    await server.say(place, bob, "missed")
    async with connected(server, RecordingBot(store, backfill=50, **scope)):
        await until(store, bob_s.key.text, ["user: 3", "user: missed"])
    assert await said(store, bob_s.key.text) == ["user: 3", "user: missed"]
    assert await said(store, ada_s.key.text) == ["user: 1", "assistant: to 1"]


async def test_what_is_lost_at_a_connection_that_can_not_be_resumed_is_fetched(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=50)):
        await server.say(place, ada, "before")
        await bot.hears(server, 1)
        await server.drop_connection(resumable=False)
        await server.say(place, ada, "lost")
        await until(store, key_of(place), ["user: before", "user: lost"])


async def test_the_latest_of_many_missed_messages_are_fetched(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=2)):
        await server.say(place, ada, "before")
        await bot.hears(server, 1)
    for number in range(4):
        await server.say(place, ada, f"missed {number}")
    async with connected(server, RecordingBot(store, backfill=2)):
        await until(store, key_of(place), ["user: before", "user: missed 2", "user: missed 3"])


@pytest.mark.parametrize("scope", ["channel", "user"])
async def test_what_was_missed_in_direct_messages_is_fetched_too(
    server: DiscordEmulator, store: SessionStore, ada: Payload, scope: Any
) -> None:
    place = server.dm(ada)
    async with connected(server, bot := RecordingBot(store, backfill=50, scope=scope)):
        await server.say(place, ada, "before")
        await bot.hears(server, 1)
    await server.say(place, ada, "missed")
    (key,) = await keys(store)
    async with connected(server, RecordingBot(store, backfill=50, scope=scope)):
        await until(store, key, ["user: before", "user: missed"])


async def test_a_channel_that_may_not_be_read_is_told_of_and_holds_nothing_up(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=50)):
        await server.say(place, ada, "before")
        await bot.hears(server, 1)
    server.fail_next("GET", f"/channels/{place['id']}/messages", status=403, code=50001)
    async with connected(server, bot := RecordingBot(store, backfill=50)):
        await server.say(place, ada, "after")
        await bot.hears(server, 1)
    assert "can't be fetched" in caplog.text
    assert await said(store, key_of(place)) == ["user: before", "user: after"]


async def test_what_is_said_while_the_extension_is_reloaded_is_fetched(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=50)):
        await server.say(place, ada, "before")
        await bot.hears(server, 1)
        await bot.remove_cog(SessionCog.__cog_name__)
        await server.say(place, ada, "between")
        await server.wait_for(lambda: len(bot.cached_messages) == 2)
        await bot.add_cog(SessionCog(bot, store, backfill=50))
        await server.say(place, ada, "after")
        await until(store, key_of(place), ["user: before", "user: between", "user: after"])


@pytest.mark.parametrize("scope", ["channel", "user_in_channel"])
async def test_what_is_edited_and_deleted_while_the_bot_is_away_changes_the_history(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, scope: Any
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=50, scope=scope)):
        said_before = [await server.say(place, ada, text) for text in ("one", "two", "three")]
        await bot.hears(server, 3)
    (key,) = await keys(store)
    await server.edit(said_before[0], "ONE")
    await server.delete(said_before[1])
    await server.say(place, ada, "missed")
    async with connected(server, RecordingBot(store, backfill=50, scope=scope)):
        await until(store, key, ["user: ONE", "user: three", "user: missed"])


async def test_a_change_is_noticed_before_the_first_message_that_comes_then(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=50)):
        first = await server.say(place, ada, "one")
        await server.say(place, ada, "two")
        await bot.hears(server, 2)
    await server.delete(first)
    bot = RecordingBot(store, backfill=50)

    async def on_connect() -> None:
        await server.say(place, ada, "at once")

    bot.add_listener(on_connect)
    async with connected(server, bot):
        await bot.hears(server, 1)
    assert await said(store, key_of(place)) == ["user: two", "user: at once"]


async def test_a_deleted_question_takes_its_answer_along_also_while_the_bot_is_away(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, AnsweringBot(store, backfill=50)):
        asked = await server.say(place, ada, "one")
        await until(store, key_of(place), ["user: one", "assistant: echo: one "])
        await server.say(place, ada, "two")
        await server.wait_sent(place, 2)
    await server.delete(asked)
    async with connected(server, AnsweringBot(store, backfill=50)):
        await until(store, key_of(place), ["user: two", "assistant: echo: two "])


async def test_what_is_older_than_the_fetched_messages_is_not_taken_for_deleted(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=2)):
        old = await server.say(place, ada, "old")
        for text in ("one", "two"):
            await server.say(place, ada, text)
        await bot.hears(server, 3)
    await server.edit(old, "OLD")
    await server.say(place, ada, "missed")
    async with connected(server, RecordingBot(store, backfill=2)):
        turns = ["user: old", "user: one", "user: two", "user: missed"]
        await until(store, key_of(place), turns)


async def test_without_the_right_to_read_the_past_nothing_is_taken_for_deleted(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store, backfill=50)):
        await server.say(place, ada, "before")
        await bot.hears(server, 1)
    server.hide_past(place)
    async with connected(server, bot := RecordingBot(store, backfill=50)):
        await server.say(place, ada, "after")
        await bot.hears(server, 1)
    assert await said(store, key_of(place)) == ["user: before", "user: after"]


async def test_an_ephemeral_answer_which_discord_never_lists_is_not_taken_for_deleted(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(OwnHandlers):
        async def setup_hook(self) -> None:
            await self.add_cog(SessionCog(self, self.store, **self.options))

            @self.tree.command()
            async def ask(interaction: discord.Interaction, question: str) -> None:
                """Asks."""
                await interaction.response.defer(ephemeral=True)
                await in_turn(self, interaction, self.say, prompt=question)

            assert isinstance(ask, app_commands.Command)
            await self.tree.sync()

    private = private_key_of(place, ada)
    async with connected(server, bot := Bot(store, backfill=50)):
        bot.go_on.set()
        await server.say(place, ada, "hello")
        await server.wait_sent(place, 1)
        await server.slash(place, ada, "ask", {"question": "q"})
        await until(store, private, ["user: q", "assistant: to q"])
    async with connected(server, bot := Bot(store, backfill=50)):
        bot.go_on.set()
        await server.say(place, ada, "after")
        await server.wait_sent(place, 3)
    assert await said(store, private) == ["user: q", "assistant: to q"]


class OwnHandlers(commands.Bot):
    """A bot whose own on_message and command run in their turn."""

    def __init__(self, store: SessionStore, **options: Any) -> None:
        super().__init__("!", intents=discord.Intents.all())
        self.store, self.options = store, options
        self.begun: list[str] = []
        self.go_on = asyncio.Event()

    async def setup_hook(self) -> None:
        await self.add_cog(SessionCog(self, self.store, **self.options))

        @self.tree.command()
        async def ask(interaction: discord.Interaction, question: str) -> None:
            """Asks."""
            await interaction.response.defer()
            await in_turn(self, interaction, self.say, prompt=question)

        assert isinstance(ask, app_commands.Command)
        await self.tree.sync()

    async def on_message(self, message: discord.Message) -> None:
        if not message.author.bot:
            await in_turn(self, message, self.say)

    async def say(self, session: ChatSession) -> None:
        assert session.turn is not None
        self.begun.append(session.turn.text)
        await self.go_on.wait()
        await session.answer(f"to {session.turn.text}")


async def test_messages_and_commands_in_their_turn_are_answered_one_after_the_other(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := OwnHandlers(store, busy="queue")):
        await server.say(place, ada, "a")
        await server.wait_for(lambda: bot.begun)
        await server.slash(place, ada, "ask", {"question": "b"})
        await until(store, key_of(place), ["user: a", "user: b"])
        await server.say(place, ada, "c")
        await until(store, key_of(place), ["user: a", "user: b", "user: c"])
        assert bot.begun == ["a"]
        bot.go_on.set()
        shown = {"to a", "to b", "to c"}
        await server.wait_for(lambda: {one["content"] for one in server.sent(place)} == shown)
    assert bot.begun == ["a", "b", "c"]


async def test_a_message_that_comes_again_is_not_handled_again_in_its_turn(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := OwnHandlers(store)):
        bot.go_on.set()
        message = await server.say(place, ada, "a")
        await server.wait_sent(place, 1)
        await server.redeliver(message)
        await server.say(place, ada, "b")
        await server.wait_sent(place, 2)
    assert bot.begun == ["a", "b"]


async def test_what_is_sent_outside_of_a_handler_is_recorded_with_one_call(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store)):
        channel = bot.get_channel(int(place["id"]))
        assert isinstance(channel, discord.TextChannel)
        sent = await channel.send("Good morning")
        await record_sent(bot, sent)
        await record_sent(bot, sent)
        await record_sent(bot, await channel.send("Two"), "**Two**")
        await record_sent(bot, await channel.send("Three"), key="discord:7")
    assert await said(store, key_of(place)) == ["assistant: Good morning", "assistant: **Two**"]
    assert await said(store, "discord:7") == ["assistant: Three"]


@pytest.mark.parametrize("scope", ["user_in_channel", "member", "user"])
async def test_what_is_sent_to_nobody_where_users_have_their_own_needs_a_key(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, scope: Any
) -> None:
    async with connected(server, bot := RecordingBot(store, scope=scope)):
        await server.say(place, ada, "hello")
        await bot.hears(server, 1)
        channel = bot.get_channel(int(place["id"]))
        assert isinstance(channel, discord.TextChannel)
        sent = await channel.send("to everybody")
        with pytest.raises(TurnkeepError, match=rf"{source_id(sent)}.*give record_sent key="):
            await record_sent(bot, sent)
        (heard,) = bot.cached_messages[:1]
        await record_sent(bot, await heard.reply("to Ada"), "to Ada")
        direct = await (await bot.fetch_user(int(ada["id"]))).send("in private")
        await record_sent(bot, direct)
    found = {str(key): await said(store, str(key)) for key in await keys(store)}
    answered = [turns for turns in found.values() if "user: hello" in turns]
    with_private = ["user: hello", "assistant: to Ada", "assistant: in private"]
    assert answered == [with_private if scope == "user" else with_private[:2]]
    assert not any(f"user:{server.bot['id']}" in key for key in found)


async def test_a_model_can_mention_whoever_asks_and_nobody_else(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async def words() -> AsyncIterator[str]:
        yield "Look,"
        yield " @everyone!"

    class Bot(OwnHandlers):
        async def say(self, session: ChatSession) -> None:
            await session.answer(words())

    async with connected(server, Bot(store)):
        await server.say(place, ada, "hello")
        (sent,) = await server.wait_sent(place, 1)
        final = "Look, @everyone!"
        await server.wait_for(lambda: server.sent(place)[0]["content"] == final)
    sending = [call for call in server.requests if call.path.endswith("/messages")]
    editing = [call for call in server.requests if call.path.endswith(f"/messages/{sent['id']}")]
    assert [(len(sending), len(editing))] == [(1, 1)]
    for call in (*sending, *editing):
        mentions = call.body["allowed_mentions"]
        assert (mentions["parse"], mentions["users"]) == ([], [int(ada["id"])])
