"""Who shares a session on Discord, and what people and commands find in theirs."""

from __future__ import annotations

from typing import Any

import discord
import pytest
from discord.ext import commands

from adapters.discord_bots import AnsweringBot, key_of, private_key_of
from adapters.tools import RecordingBot, connected, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore, TurnkeepError
from turnkeep_discord import (
    Scope,
    chat_session,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("channel", ["discord:C", "discord:T"]),
        ("parent", ["discord:C"]),
        ("user_in_channel", ["discord:C:user:A", "discord:C:user:B", "discord:T:user:A"]),
        ("user", ["discord:user:A", "discord:user:B"]),
        (commands.BucketType.user, ["discord:user:A", "discord:user:B"]),
        (commands.BucketType.member, ["discord:guild-G:user:A", "discord:guild-G:user:B"]),
        ("guild", ["discord:guild-G"]),
        (
            lambda where: None if where.author.display_name == "Bob" else "discord:all",
            ["discord:all"],
        ),
    ],
    # xdist compares the names that its processes found: no address may stand in one.
    ids=lambda value: None if callable(value) else str(value),
)
async def test_a_scope_says_who_shares_a_session(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    scope: Scope,
    expected: list[str],
) -> None:
    bob, thread = server.user("Bob"), server.thread(place, "Thread")
    bot = AnsweringBot(store, scope=scope)
    async with connected(server, bot):
        for channel, user in ((place, ada), (place, bob), (thread, ada)):
            await server.say(channel, user, "hi")
        heard = 2 if expected == ["discord:all"] else 3
        await server.wait_for(lambda: len(bot.begun) == heard, what="messages")
    names = {place["id"]: "C", thread["id"]: "T", ada["id"]: "A", bob["id"]: "B"}
    names[place["guild_id"]] = "G"
    found = await keys(store)
    for number, name in names.items():
        found = [key.replace(number, name) for key in found]
    assert sorted(found) == expected


async def test_where_the_scope_has_no_session_that_is_said(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    refused: list[str] = []

    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            try:
                await chat_session(self, message)
            except TurnkeepError as error:
                refused.append(str(error))

    bot = Bot(store, scope=lambda where: None)
    async with connected(server, bot):
        await server.say(place, ada, "hello")
        await server.wait_for(lambda: bool(refused), what="an error")
    assert "no session here" in refused[0]


async def test_commands_have_their_session(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    done: list[list[str]] = []

    @bot.command()
    async def recall(ctx: Any) -> None:
        done.append([turn["content"] for turn in await ctx.chat_session.get_history()])

    @bot.hybrid_command()  # type: ignore[arg-type]
    async def ask(ctx: commands.Context[Any], prompt: str) -> None:
        await ctx.defer(ephemeral=True)
        session = await chat_session(bot, ctx, prompt=prompt)
        await session.answer(f"to {prompt}")
        done.append([prompt])

    async with connected(server, bot):
        await bot.tree.sync()
        await server.say(place, ada, "hello")
        await server.say(place, ada, "!recall")
        await server.wait_for(lambda: len(done) == 1, what="recall")
        await server.slash(place, ada, "ask", {"prompt": "a thing"})
        await server.wait_for(lambda: len(done) == 2, what="ask")
    assert done[0] == ["hello"]
    assert await said(store, key_of(place)) == ["user: hello"]
    assert await said(store, private_key_of(place, ada)) == [
        "user: a thing",
        "assistant: to a thing",
    ]
