"""What fails, ends or comes again on Discord at the wrong moment costs nothing that was said."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import discord
import pytest
from discord.ext import commands

from adapters.discord_bots import AnsweringBot, key_of, settles
from adapters.tools import RecordingBot, connected, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from patience import PATIENCE
from turnkeep import SessionStore, StorageError, TurnkeepError
from turnkeep.adapter import ChatSession
from turnkeep.storage.memory import MemoryStorage
from turnkeep_discord import SessionCog, chat_session, in_turn, per_account, record_sent

pytestmark = pytest.mark.asyncio


class Failing(MemoryStorage):
    """One that lists nothing, or takes nothing, for as long as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.lists, self.takes = True, True
        self.refused = asyncio.Event()

    async def sessions(self, **options: Any) -> Any:
        if not self.lists:
            self.refused.set()
            raise StorageError("the server is away")
        return await super().sessions(**options)

    async def append(self, *arguments: Any, **options: Any) -> Any:
        if not self.takes:
            self.refused.set()
            raise StorageError("the disk is full")
        return await super().append(*arguments, **options)


class SlowToList(MemoryStorage):
    """One that lists its sessions when it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def sessions(self, **options: Any) -> Any:
        self.asked.set()
        await self.go_on.wait()
        return await super().sessions(**options)


def text_channel(bot: commands.Bot, place: Payload) -> discord.TextChannel:
    channel = bot.get_channel(int(place["id"]))
    assert isinstance(channel, discord.TextChannel)
    return channel


async def test_a_backfill_that_fails_leaves_what_comes_then_to_its_handler(
    server: DiscordEmulator, place: Payload, ada: Payload
) -> None:
    storage = Failing()
    async with SessionStore(storage) as store:
        storage.lists = False
        bot = AnsweringBot(store, backfill=5, on_storage_error="later")
        async with connected(server, bot):
            await storage.refused.wait()
            storage.lists = True
            for text in ("one", "two"):
                await server.say(place, ada, text)
            await server.wait_sent(place, 2)
        assert sorted(bot.begun) == ["one", "two"]


async def test_a_backfill_that_one_handler_stops_waiting_for_goes_on_for_the_others(
    server: DiscordEmulator, place: Payload, ada: Payload
) -> None:
    storage, other = SlowToList(), server.channel(server.guild("Other"), "other")
    async with SessionStore(storage) as store:
        bot, gave_up = AnsweringBot(store, backfill=5), asyncio.Event()

        async def impatient(message: discord.Message) -> None:
            if message.channel.id == int(place["id"]) and not message.author.bot:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await chat_session(bot, message)
                gave_up.set()

        bot.add_listener(impatient, "on_message")
        async with connected(server, bot):
            await storage.asked.wait()
            await server.say(place, ada, "one")
            await server.say(other, ada, "elsewhere")
            await gave_up.wait()
            storage.go_on.set()
            await server.wait_sent(other, 1)
            await server.wait_sent(place, 1)
        assert sorted(bot.begun) == ["elsewhere", "one"]


async def test_what_is_changed_while_the_extension_is_reloaded_is_changed_in_the_history(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(AnsweringBot):
        session_store = store

        async def setup_hook(self) -> None:
            await self.load_extension("turnkeep_discord.extension")

    async with store, connected(server, bot := Bot(store)):
        secret = await server.say(place, ada, "secret")
        typo = await server.say(place, ada, "tpyo")
        await server.wait_sent(place, 2)
        bot.go_on.clear()
        await server.say(place, ada, "slow")
        await server.wait_for(lambda: "slow" in bot.begun)
        reload = asyncio.create_task(bot.reload_extension("turnkeep_discord.extension"))
        await asyncio.sleep(0)  # it waits for the handler
        await server.delete(secret)
        await server.edit(typo, "typo")
        async with asyncio.timeout(PATIENCE):
            turns = list[str]()
            while "user: secret" in turns or "user: typo" not in turns:
                await asyncio.sleep(0.01)
                turns = await said(store, key_of(place))
        assert not reload.done()
        bot.go_on.set()
        await reload


async def test_what_was_captured_while_the_storage_failed_is_recorded_later(
    server: DiscordEmulator, place: Payload, ada: Payload
) -> None:
    storage = Failing()
    async with SessionStore(storage) as store:
        async with connected(server, bot := RecordingBot(store, capture=True)):
            await server.say(place, ada, "hello")
            await bot.hears(server, 1)
            storage.takes = False
            await text_channel(bot, place).send("from the bot")
            await storage.refused.wait()
            storage.takes = True
        await settles(store, key_of(place), ["user: hello", "assistant: from the bot"])


async def test_a_cog_whose_capture_fails_at_the_end_leaves_the_store_all_the_same(
    server: DiscordEmulator, place: Payload, ada: Payload
) -> None:
    storage = Failing()
    store = SessionStore(storage)
    async with connected(server, bot := RecordingBot(store, capture=True)):
        await server.say(place, ada, "hello")
        await bot.hears(server, 1)
        storage.takes = False
        await text_channel(bot, place).send("from the bot")
        await server.wait_for(lambda: len(bot.cached_messages) == 2)
        with suppress(Exception):
            await bot.remove_cog(SessionCog.__cog_name__)
        assert store.desk.opening._openings == 0


async def test_a_prefix_that_asks_for_the_session_it_is_needed_for_is_told_so(
    server: DiscordEmulator, place: Payload, ada: Payload
) -> None:
    raised = list[str]()

    async def prefix(bot: Any, message: discord.Message) -> str:
        try:
            await chat_session(bot, message)
        except TurnkeepError as error:
            raised.append(str(error))
        return "!"

    async with connected(server, bot := RecordingBot(SessionStore("memory:"))):
        bot.command_prefix = prefix
        await server.say(place, ada, "hello")
        await bot.hears(server, 1)
    assert raised
    assert "its messages are being recorded" in raised[0]


async def test_a_command_that_is_dropped_leaves_no_sign_of_thinking(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(RecordingBot):
        begun, go_on, ended = 0, asyncio.Event(), asyncio.Event()

        async def setup_hook(self) -> None:
            await super().setup_hook()

            @self.tree.command(description="Ask")
            async def ask(interaction: discord.Interaction, question: str) -> None:
                await interaction.response.defer()
                await in_turn(self, interaction, self.say, prompt=question)
                if question == "b":
                    self.ended.set()

            await self.tree.sync()

        async def say(self, session: ChatSession) -> None:
            self.begun += 1
            await self.go_on.wait()
            await session.answer("answered")

    async with store, connected(server, bot := Bot(store, busy="drop")):
        await server.slash(place, ada, "ask", {"question": "a"})
        await server.wait_for(lambda: bot.begun)
        await server.slash(place, ada, "ask", {"question": "b"})
        await bot.ended.wait()
        deleted = [call for call in server.requests if call.method == "DELETE"]
        assert [call.path.rpartition("/")[2] for call in deleted] == ["@original"]
        assert server.sent(place) == []
        bot.go_on.set()
        (answer,) = await server.wait_sent(place, 1)
        assert answer["content"] == "answered"
        assert bot.begun == 1


async def test_an_answer_that_goes_past_the_session_is_sent_once_though_its_message_comes_twice(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(AnsweringBot):
        async def on_session_message(self, message: discord.Message, session: ChatSession) -> None:
            await message.channel.send(f"to {message.content}")

    async with connected(server, Bot(store)):
        ping = await server.say(place, ada, "ping")
        await server.wait_sent(place, 1)
        await server.redeliver(ping)
        await server.say(place, ada, "end")
        await server.wait_for(lambda: "to end" in [one["content"] for one in server.sent(place)])
    assert [one["content"] for one in server.sent(place)] == ["to ping", "to end"]


async def test_a_message_that_comes_twice_is_answered_once_by_the_bots_own_handler(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            if not message.author.bot:
                session = await chat_session(self, message)
                await session.answer(f"to {message.content}")
                self.given.append(session)

    async with store:
        async with connected(server, bot := Bot(store)):
            ping = await server.say(place, ada, "ping")
            await bot.hears(server, 1)
            await server.redeliver(ping)
            await bot.hears(server, 2)
        assert [one["content"] for one in server.sent(place)] == ["to ping"]
        assert await said(store, key_of(place)) == ["user: ping", "assistant: to ping"]


async def test_what_is_sent_to_nobody_needs_a_key_also_where_each_bot_has_its_own_sessions(
    server: DiscordEmulator, store: SessionStore, place: Payload
) -> None:
    class Bot(RecordingBot):
        async def setup_hook(self) -> None:
            scope = per_account(self, "user_in_channel")
            await self.add_cog(SessionCog(self, self.store, scope=scope))

    async with connected(server, bot := Bot(store)):
        sent = await text_channel(bot, place).send("to everybody")
        with pytest.raises(TurnkeepError, match="give record_sent key="):
            await record_sent(bot, sent)


class Choice(discord.ui.View):
    """A button, and whether it was pressed."""

    def __init__(self) -> None:
        super().__init__()
        self.pressed = asyncio.Event()

    @discord.ui.button(label="Yes")
    async def yes(self, interaction: discord.Interaction, _: Any) -> None:
        await chat_session(interaction.client, interaction)  # type: ignore[arg-type]
        await interaction.response.edit_message(content="Thank you.")
        self.pressed.set()


@pytest.mark.parametrize("way", ["ignored", "not chosen", "chosen"])
async def test_a_pressed_button_is_recorded_where_its_server_is_and_its_kind_is_chosen(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, way: str
) -> None:
    asked: list[object] = []

    def choose(what: object) -> bool:
        asked.append(what)
        return way == "chosen"

    options: dict[str, Any] = {"record": choose}
    if way == "ignored":
        options = {"ignore": {int(place["guild_id"])}}
    async with store:
        async with connected(server, bot := RecordingBot(store, **options)):
            view = Choice()
            await text_channel(bot, place).send("Well?", view=view)
            (panel,) = await server.wait_sent(place, 1)
            await server.press(ada, panel, "Yes")
            await view.pressed.wait()
        recorded = ["user: [button: Yes]"] if way == "chosen" else []
        assert await said(store, key_of(place)) == recorded
        if way != "ignored":
            assert any(isinstance(what, discord.Interaction) for what in asked)
