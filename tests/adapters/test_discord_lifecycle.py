"""When the cog opens and leaves the store, what it waits for, and how a session is asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.ext import commands

from adapters.tools import RecordingBot, connected, is_closed, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from patience import PATIENCE
from turnkeep import Session, SessionStore, TurnkeepError
from turnkeep_discord import SessionCog, _reload, chat_session

pytestmark = pytest.mark.asyncio

EXTENSION = "turnkeep_discord.extension"


def plain_bot() -> commands.Bot:
    return commands.Bot("!", intents=discord.Intents.all())


class SlowBot(RecordingBot):
    """A bot that answers each message but asides, when it may."""

    def __init__(self, store: SessionStore, **options: Any) -> None:
        super().__init__(store, **options)
        self.asked = 0
        self.may_answer = asyncio.Semaphore(0)

    async def on_message(self, message: discord.Message) -> None:
        if message.content == "an aside":
            return
        session = await chat_session(self, message)
        self.given.append(session)
        async with session.reply() as reply:
            self.asked += 1
            await self.may_answer.acquire()
            reply.add_text(f"to {message.content}")


async def test_the_extension_takes_the_store_of_the_bot(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = plain_bot()
    bot.session_store = store  # type: ignore[attr-defined]
    async with store, connected(server, bot):
        await bot.load_extension(EXTENSION)
        await server.say(place, ada, "hello")
        async with asyncio.timeout(PATIENCE):
            while await said(store, f"discord:{place['id']}") != ["user: hello"]:
                await asyncio.sleep(0.01)


async def test_the_extension_makes_a_store_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNKEEP_STORE", str(tmp_path / "here"))
    async with plain_bot() as bot:
        await bot.load_extension(EXTENSION)
        assert (tmp_path / "here").is_dir()
    assert await is_closed(bot.session_store)  # type: ignore[attr-defined]


async def test_the_extension_without_a_store_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TURNKEEP_STORE", raising=False)
    async with plain_bot() as bot:
        with pytest.raises(commands.ExtensionFailed, match=r"bot\.session_store.*TURNKEEP_STORE"):
            await bot.load_extension(EXTENSION)
        assert bot.get_cog("SessionCog") is None


async def test_reloading_the_extension_keeps_the_store_and_the_history(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = plain_bot()
    bot.session_store = store  # type: ignore[attr-defined]
    key = f"discord:{place['id']}"
    async with connected(server, bot):
        await bot.load_extension(EXTENSION)
        for count, text in enumerate(("before", "after"), 1):
            await server.say(place, ada, text)
            async with asyncio.timeout(PATIENCE):
                while len(await said(store, key)) < count:
                    await asyncio.sleep(0.01)
            await bot.reload_extension(EXTENSION)
        cog = bot.get_cog("SessionCog")
        assert isinstance(cog, SessionCog)
        assert cog.store is store
        assert await said(store, key) == ["user: before", "user: after"]


async def test_unloading_the_extension_leaves_the_store(store: SessionStore) -> None:
    async with plain_bot() as bot:
        bot.session_store = store  # type: ignore[attr-defined]
        await bot.load_extension(EXTENSION)
        assert not await is_closed(store)
        await bot.unload_extension(EXTENSION)
        assert bot.get_cog("SessionCog") is None
        assert await is_closed(store)


async def test_after_unloading_the_extension_for_good_who_asks_gets_an_error_within_seconds(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 0 < _reload._MAX_WAIT <= 10
    monkeypatch.setattr(_reload, "_MAX_WAIT", 0.05)
    errors: list[str] = []
    bot = plain_bot()
    bot.session_store = store  # type: ignore[attr-defined]

    @bot.listen()
    async def on_message(message: discord.Message) -> None:
        try:
            await chat_session(bot, message)
        except TurnkeepError as error:
            errors.append(str(error))

    async with connected(server, bot):
        await bot.load_extension(EXTENSION)
        await bot.unload_extension(EXTENSION)
        await server.say(place, ada, "hello")
        await server.wait_for(lambda: errors, what="an error")
        await server.say(place, ada, "again")
        await server.wait_for(lambda: len(errors) == 2, what="the next error")
    assert all("has no SessionCog" in error for error in errors)


async def test_answers_under_way_when_the_bot_closes_are_waited_for_and_stored(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = SlowBot(store)
    key = f"discord:{place['id']}"
    async with store:
        async with connected(server, bot):
            await server.say(place, ada, "1")
            await server.wait_for(lambda: bot.asked == 1)
            closing = asyncio.create_task(bot.close())
            await server.wait_for(lambda: bot.get_cog("SessionCog") is None)
            assert not closing.done()
            await server.say(place, ada, "an aside")
            await server.say(place, ada, "2")
            await server.wait_for(lambda: bot.asked == 2)
            bot.may_answer.release()
            while "assistant: to 1" not in await said(store, key):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.02)
            assert not closing.done(), "it waits for the other one too"
            bot.may_answer.release()
            await closing
        stored = await said(store, key)
    meanwhile = ["user: an aside", "user: 2"]
    assert stored[:3] == ["user: 1", *meanwhile], "what is said meanwhile is heard"
    assert stored[3:] == ["assistant: to 1", "assistant: to 2"]


async def test_a_reload_waits_for_the_answers_under_way_and_hears_each_message_once(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = SlowBot(store)
    async with store, connected(server, bot):
        await server.say(place, ada, "1")
        await server.wait_for(lambda: bot.asked == 1)
        removing = asyncio.create_task(bot.remove_cog("SessionCog"))
        await server.wait_for(lambda: bot.get_cog("SessionCog") is None)
        bot.may_answer.release()
        await removing
        assert "on_message" not in bot.extra_events or not bot.extra_events["on_message"]
        await bot.add_cog(SessionCog(bot, store))
        await server.say(place, ada, "2")
        await bot.hears(server, 2)
        bot.may_answer.release()
        async with asyncio.timeout(PATIENCE):
            while len(stored := await said(store, f"discord:{place['id']}")) < 4:
                await asyncio.sleep(0.01)
    assert stored == ["user: 1", "assistant: to 1", "user: 2", "assistant: to 2"]


async def test_a_handler_may_close_the_bot_itself(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            await chat_session(self, message)
            async with asyncio.timeout(PATIENCE):  # the adapter's own patience is longer
                await self.close()

    bot = Bot(store, drain_timeout=2 * PATIENCE)
    async with connected(server, bot):
        await server.say(place, ada, "!quit")
        await server.wait_for(bot.is_closed)
    assert await is_closed(store)


async def test_without_the_cog_the_error_says_how_to_add_it(
    server: DiscordEmulator, place: Payload, ada: Payload, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[BaseException] = []

    class Bot(commands.Bot):
        async def on_message(self, message: discord.Message) -> None:
            try:
                await chat_session(self, message)
            except TurnkeepError as error:
                errors.append(error)

    async with connected(server, Bot("!", intents=discord.Intents.all())):
        await server.say(place, ada, "hello")
        await server.wait_for(lambda: errors)
    assert "await bot.add_cog(SessionCog(bot, store))" in str(errors[0])


@pytest.mark.parametrize("hybrid", [False, True], ids=["slash", "hybrid"])
async def test_an_interaction_has_the_session_of_its_channel_bound_to_no_message(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, hybrid: bool
) -> None:
    bot = RecordingBot(store)
    found: list[tuple[Session, list[str]]] = []

    async def note(where: discord.Interaction | commands.Context[Any]) -> None:
        session = await chat_session(bot, where)
        found.append((session, await said(store, str(session.key))))

    if hybrid:

        @bot.hybrid_command(name="look")
        async def look_hybrid(context: commands.Context[Any]) -> None:
            await note(context)

    else:

        @bot.tree.command(name="look", description="Look")
        async def look(interaction: discord.Interaction) -> None:
            await note(interaction)

    async with store, connected(server, bot):
        await bot.tree.sync()
        for where in (place, server.dm(ada)):
            for number in range(5):
                await server.say(where, ada, str(number))
            await server.slash(where, ada, "look")
        await server.wait_for(lambda: len(found) == 2)
    assert {str(session.key) for session, _ in found} == {
        f"discord:{where['id']}" for where in (place, server.dm(ada))
    }
    for session, stored in found:
        assert session.turn is None
        assert stored == [f"user: {number}" for number in range(5)]
