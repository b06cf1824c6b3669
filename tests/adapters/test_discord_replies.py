"""A bot's answers on Discord: stored once, as the model said them, and only if they were sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import discord
import pytest

from adapters.tools import RecordingBot, all_turns, connected, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep_discord import chat_session, source_id

pytestmark = pytest.mark.asyncio


class AnsweringBot(RecordingBot):
    """A bot that answers each message once, in pieces, when its model may go on."""

    def __init__(self, store: SessionStore, **options: Any) -> None:
        super().__init__(store, **options)
        self.answer = "hello to you"
        self.piece = 2000
        self.error: Exception | None = None
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.done = 0

    async def on_message(self, message: discord.Message) -> None:
        if message.author.bot:
            return
        try:
            session = await chat_session(self, message)
            if session.already_answered:
                return
            async with session.reply() as reply:
                self.asked += 1
                await self.may_answer.wait()
                reply.add_text(self.answer)
                for at in range(0, len(self.answer), self.piece):
                    sent = await message.channel.send(self.answer[at : at + self.piece])
                    await reply.link(source_id(sent))
                if self.error is not None:
                    raise self.error
        finally:
            self.done += 1

    async def on_error(self, event: str, *args: Any, **kwargs: Any) -> None:
        """Where a bot's author would log."""

    async def handles(self, server: DiscordEmulator, count: int) -> None:
        await server.wait_for(lambda: self.done == count, what=f"{count} handled messages")


async def test_every_piece_of_an_answer_leads_to_the_one_turn_that_is_stored(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = AnsweringBot(store)
    bot.piece = 5
    key = f"discord:{place['id']}"
    async with store, connected(server, bot):
        await server.say(place, ada, "hello")
        await bot.handles(server, 1)
        assert await said(store, key) == ["user: hello", "assistant: hello to you"]
        pieces = server.sent(place)
        assert len(pieces) == 3
        for number, piece in enumerate(pieces):
            edited = await store.session(key).edit(f"{place['id']}:{piece['id']}", f"edit {number}")
            assert edited is not None
            assert (edited.id, edited.role) == (2, "assistant")
        assert await said(store, key) == ["user: hello", "assistant: edit 2"]


async def test_an_answer_that_breaks_off_is_not_stored_and_can_be_given_later(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = AnsweringBot(store)
    bot.error = ConnectionError("the model went away")
    async with store, connected(server, bot):
        message = await server.say(place, ada, "hello")
        await bot.handles(server, 1)
        assert await said(store, f"discord:{place['id']}") == ["user: hello"]
        bot.error = None
        await server.redeliver(message)
        await bot.handles(server, 2)
        stored = await said(store, f"discord:{place['id']}")
    assert stored == ["user: hello", "assistant: hello to you"]


@pytest.mark.parametrize("sent", [0, 1], ids=["the first piece", "the second piece"])
async def test_an_answer_that_discord_refuses_is_not_stored(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, sent: int
) -> None:
    bot = AnsweringBot(store)
    bot.answer = "x" * 2000 * sent + " " * 2000  # Discord takes no message of blanks
    async with store, connected(server, bot):
        await server.say(place, ada, "hello")
        await bot.handles(server, 1)
        assert len(server.sent(place)) == sent
        assert await said(store, f"discord:{place['id']}") == ["user: hello"]


async def test_a_message_that_comes_again_while_the_model_thinks_is_known(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = AnsweringBot(store)
    bot.may_answer.clear()
    async with store, connected(server, bot):
        message = await server.say(place, ada, "hello")
        await server.wait_for(lambda: bot.asked)
        await server.redeliver(message)
        await bot.handles(server, 1)
        bot.may_answer.set()
        await bot.handles(server, 2)
        stored = await said(store, f"discord:{place['id']}")
    assert stored == ["user: hello", "assistant: hello to you"]
    assert (bot.asked, len(server.sent(place))) == (1, 1)


async def test_a_message_that_comes_again_after_a_restart_is_known(
    server: DiscordEmulator, tmp_path: Path, place: Payload, ada: Payload
) -> None:
    first = AnsweringBot(SessionStore(tmp_path))
    async with connected(server, first):
        message = await server.say(place, ada, "hello")
        await first.handles(server, 1)
    store = SessionStore(tmp_path)
    second = AnsweringBot(store)
    async with store, connected(server, second):
        await server.redeliver(message)
        await second.handles(server, 1)
        stored = await said(store, f"discord:{place['id']}")
    assert stored == ["user: hello", "assistant: hello to you"]
    assert second.asked == 0


async def test_an_answer_to_an_interaction_answers_the_latest_message(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)

    @bot.tree.command(name="ask", description="Ask")
    async def ask(interaction: discord.Interaction) -> None:
        session = await chat_session(bot, interaction)
        await interaction.response.defer()
        async with session.reply() as reply:
            reply.add_text("deferred")
            sent = await interaction.followup.send(reply.text, wait=True)
            await reply.link(source_id(sent))

    async with store, connected(server, bot):
        await bot.tree.sync()
        await server.say(place, ada, "hello")
        await server.slash(place, ada, "ask")
        (sent,) = await server.wait_sent(place, 1)
        async with asyncio.timeout(PATIENCE):
            while len(turns := await all_turns(store, f"discord:{place['id']}")) < 2:
                await asyncio.sleep(0.01)
    assert (turns[1].content, turns[1].answers) == ("deferred", turns[0].id)
    assert turns[1].source_ids == (f"{place['id']}:{sent['id']}",)
