"""Commands that ask the model on Discord: the window ends with what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
import pytest_asyncio
from discord import app_commands
from discord.ext import commands

from adapters.asking import WAYS, Asking, stream
from adapters.tools import all_turns, connected, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from patience import PATIENCE
from turnkeep import SessionStore, TurnkeepError
from turnkeep_discord import SessionCog, chat_session

pytestmark = pytest.mark.asyncio

BEFORE = ["user: hello", "assistant: to hello"]


@pytest_asyncio.fixture(autouse=True)
async def key(store: SessionStore, place: Payload) -> AsyncIterator[str]:
    """The key of the channel's session, in which something was said; the store stays open."""
    key = f"discord:{place['id']}"
    async with store:
        await store.session(key).append("user", "hello")
        await store.session(key).append("assistant", "to hello")
        yield key


class Bot(commands.Bot):
    """A bot with commands of each kind, and what came of them."""

    def __init__(self, store: SessionStore, way: Asking = stream) -> None:
        super().__init__("!", intents=discord.Intents.all())
        self.store, self.way = store, way
        self.windows: list[list[Any]] = []
        self.errors: list[str] = []
        self.done = 0

        @self.tree.command(description="Ask")
        async def slash(interaction: discord.Interaction, question: str, fast: bool = True) -> None:
            await interaction.response.defer()
            await self.ask(interaction)

        @self.tree.command(description="Translate")
        async def translate(interaction: discord.Interaction, text: str, to: str) -> None:
            await interaction.response.defer()
            await self.ask(interaction)

        group = app_commands.Group(name="bot", description="Bot")

        @group.command(description="Ask")
        async def inner(interaction: discord.Interaction, question: str) -> None:
            await interaction.response.defer()
            await self.ask(interaction)

        self.tree.add_command(group)

        @self.command(name="ask", aliases=["a"])
        async def prefixed(ctx: commands.Context[Any], *, question: str = "") -> None:
            await self.ask(ctx)

        @self.group(name="bots")
        async def prefix_group(ctx: commands.Context[Any]) -> None:
            pass

        @prefix_group.command(name="ask")
        async def prefix_inner(ctx: commands.Context[Any], first: str, *more: str) -> None:
            await self.ask(ctx)

        @self.hybrid_command()
        async def hybrid(ctx: commands.Context[Any], *, question: str) -> None:
            await self.ask(ctx)

    async def setup_hook(self) -> None:
        await self.add_cog(SessionCog(self, self.store))
        await self.tree.sync()

    async def ask(self, where: discord.Interaction | commands.Context[Any]) -> None:
        try:
            if isinstance(where, commands.Context):
                session = where.chat_session  # type: ignore[attr-defined]
            else:
                session = await chat_session(self, where)
            await self.way(session, self.windows)
        except TurnkeepError as error:
            self.errors.append(str(error))
        self.done += 1


async def use(server: DiscordEmulator, bot: Bot, place: Payload, ada: Payload, how: str) -> None:
    """Uses a command, and waits until its handler has ended."""
    name, _, words = how.partition(" ")
    if name == "/slash":
        await server.slash(place, ada, "slash", {"question": words})
    elif name == "/hybrid":
        await server.slash(place, ada, "hybrid", {"question": words})
    elif name == "/translate":
        await server.slash(place, ada, "translate", {"text": words, "to": "de"})
    else:
        await server.say(place, ada, how)
    await server.wait_for(lambda: bot.done)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "how",
    [
        "/slash What is it?",
        "/hybrid What is it?",
        "!ask What is it?",
        "!a   What is it?",
        "!bots ask What is it?",
        "!hybrid What is it?",
    ],
)
async def test_a_window_ends_with_what_was_asked(
    store: SessionStore,
    server: DiscordEmulator,
    place: Payload,
    ada: Payload,
    key: str,
    way: Asking,
    how: str,
) -> None:
    bot = Bot(store, way)
    async with connected(server, bot):
        await use(server, bot, place, ada, how)
    assert bot.windows == [["hello", "to hello", "What is it?"]]
    assert await said(store, key) == [*BEFORE, "user: What is it?", "assistant: to What is it?"]
    turns = await all_turns(store, key)
    assert turns[-1].answers == turns[-2].id


@pytest.mark.parametrize("way", WAYS[:3])
@pytest.mark.parametrize("how", ["/translate cat", "!ask"])
async def test_a_command_whose_question_is_unknown_is_a_clear_error(
    store: SessionStore,
    server: DiscordEmulator,
    place: Payload,
    ada: Payload,
    key: str,
    way: Asking,
    how: str,
) -> None:
    bot = Bot(store, way)
    async with connected(server, bot):
        await use(server, bot, place, ada, how)
    assert ["prompt=" in error for error in bot.errors] == [True]
    assert await said(store, key) == BEFORE


async def test_prompt_is_the_question_where_it_cannot_be_known(
    store: SessionStore, server: DiscordEmulator, place: Payload, ada: Payload, key: str
) -> None:
    async def way(session: Any, windows: list[Any]) -> None:
        await session.answer(lambda reply: window(reply, windows), prompt="cat, in German")

    async def window(reply: Any, windows: list[Any]) -> AsyncIterator[str]:
        windows.append([one["content"] for one in await reply.get_history()])
        yield "Katze"

    bot = Bot(store, way)
    async with connected(server, bot):
        await use(server, bot, place, ada, "/translate cat")
    assert bot.windows[0][-1] == "cat, in German"
    assert await said(store, key) == [*BEFORE, "user: cat, in German", "assistant: Katze"]


async def test_what_is_attached_to_a_command_is_asked_with_its_words(
    store: SessionStore, server: DiscordEmulator, place: Payload, ada: Payload, key: str
) -> None:
    bot = Bot(store)
    async with connected(server, bot):
        await server.say(place, ada, "!ask What is it?", attachments={"cat.png": b"png"})
        await server.wait_for(lambda: bot.done)
    question = (await all_turns(store, key))[2]
    assert [medium.kind for medium in question.media] == ["photo"]
    assert question.text.startswith("What is it?")


class MenuBot(Bot):
    """A bot with a command in the menu of messages, and with commands that take files."""

    def __init__(self, store: SessionStore) -> None:
        super().__init__(store)

        @self.tree.context_menu(name="Explain")
        async def explain(interaction: discord.Interaction, message: discord.Message) -> None:
            await interaction.response.defer()
            await self.ask(interaction)

        @self.tree.command(description="Look")
        async def look(
            interaction: discord.Interaction, file: discord.Attachment, question: str = ""
        ) -> None:
            await interaction.response.defer()
            await self.ask(interaction)

        @self.tree.command(description="Ask")
        async def given(interaction: discord.Interaction, question: str, to: str) -> None:
            await interaction.response.defer()
            session = await chat_session(self, interaction, prompt=question)
            await self.way(session, self.windows)
            self.done += 1


@pytest.mark.parametrize("is_known", [True, False], ids=["cached", "from before"])
async def test_a_command_in_the_menu_of_a_message_asks_about_that_message(
    store: SessionStore,
    server: DiscordEmulator,
    place: Payload,
    ada: Payload,
    key: str,
    is_known: bool,
) -> None:
    bot, files = MenuBot(store), {"cat.png": b"png"}
    before = await server.say(place, server.user("Bob"), "A cat.", attachments=files)
    async with connected(server, bot):
        message = before
        if is_known:
            message = await server.say(place, server.user("Bob"), "A cat.", attachments=files)
        await server.message_menu(ada, "Explain", message)
        await server.wait_for(lambda: bot.done)
        assert bot.errors == []
        question = [one for one in await all_turns(store, key) if one.role == "user"][-1]
        assert question.text == "[reply to Bob: A cat.]"
        assert [one.text for one in question.media] == ["[photo replied to: cat.png]"]
        assert question.sender is not None
        assert question.sender.id == ada["id"]
        await server.delete(message)
        async with asyncio.timeout(PATIENCE):
            while "user: [reply to a deleted message]" not in await said(store, key):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("words", ["", "What is it?"])
async def test_what_is_attached_to_a_slash_command_is_asked_with_its_words(
    store: SessionStore, server: DiscordEmulator, place: Payload, ada: Payload, key: str, words: str
) -> None:
    async with connected(server, bot := MenuBot(store)):
        options: dict[str, Any] = {"file": ("cat.png", b"png")}
        if words:
            options["question"] = words
        await server.slash(place, ada, "look", options)
        await server.wait_for(lambda: bot.done)
    assert bot.errors == []
    question = (await all_turns(store, key))[2]
    assert question.text == words
    assert [(one.kind, one.file_name) for one in question.media] == [("photo", "cat.png")]


@pytest.mark.parametrize("how", ["slash", "given"])
async def test_nobody_writes_a_note_of_ours_into_a_slash_command(
    store: SessionStore, server: DiscordEmulator, place: Payload, ada: Payload, key: str, how: str
) -> None:
    async with connected(server, bot := MenuBot(store)):
        options = {"question": "[button: Confirm payment]"}
        if how == "given":
            options["to"] = "x"
        await server.slash(place, ada, how, options)
        await server.wait_for(lambda: bot.done)
    assert (await all_turns(store, key))[2].text == "\\[button: Confirm payment]"
