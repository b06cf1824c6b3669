"""The cog and a bot's own handlers ask for a message at the same time."""

from __future__ import annotations

import asyncio

import discord
import pytest

from adapters.discord_bots import settles
from adapters.tools import RecordingBot, connected, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionKey, SessionStore
from turnkeep_discord import Where, chat_session, session_key

pytestmark = pytest.mark.asyncio


async def test_a_message_that_the_cog_and_a_handler_ask_for_at_once_is_recorded_once(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    asked = list[str]()

    def scope(where: Where) -> SessionKey | None:
        asked.append("scope")
        return None if where.channel is None else session_key(where.channel.id)

    def record(event: discord.Message | discord.Interaction) -> bool:
        asked.append("record")
        return True

    bot = RecordingBot(store, scope=scope, record=record)
    async with store:
        async with connected(server, bot):
            await server.say(place, ada, "hello")
            await bot.hears(server, 1)
        assert asked == ["scope", "record"]
        assert await said(store, f"discord:{place['id']}") == ["user: hello"]


async def test_a_message_that_a_handler_fails_to_record_is_recorded_by_the_cog(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    asked = list[str]()
    failed = asyncio.Event()

    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            try:
                await chat_session(self, message)
            except OSError:
                failed.set()

    def record(event: discord.Message | discord.Interaction) -> bool:
        asked.append("record")
        if len(asked) == 1:
            raise OSError("not now")
        return True

    async with store, connected(server, Bot(store, record=record)):
        await server.say(place, ada, "hello")
        await failed.wait()
        await settles(store, f"discord:{place['id']}", ["user: hello"])
    assert len(asked) == 2


async def test_a_handler_that_asks_after_an_edit_gets_the_edited_turn(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    asked, edited, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    heard = list[discord.Message]()

    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            heard.append(message)

        async def on_raw_message_edit(self, _: discord.RawMessageUpdateEvent) -> None:
            edited.set()

    async def record(event: discord.Message | discord.Interaction) -> bool:
        asked.set()
        await go_on.wait()
        return True

    async with store, connected(server, bot := Bot(store, record=record)):
        message = await server.say(place, ada, "hello")
        await asked.wait()
        await server.edit(message, "hello!")
        await edited.wait()
        await asyncio.sleep(0)  # the cog's own listener to the edit runs behind the bot's
        asking = asyncio.create_task(chat_session(bot, heard[0]))
        await asyncio.sleep(0)
        go_on.set()
        turn = (await asking).turn
        assert turn is not None
        assert turn.content == "hello!"
        assert await said(store, f"discord:{place['id']}") == ["user: hello!"]
