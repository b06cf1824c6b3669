"""Slash commands, hybrid commands and menus on Discord: the prompt, and the one answer to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
from discord import app_commands
from discord.ext import commands

from adapters.discord_bots import key_of, private_key_of, settles
from adapters.tools import RecordingBot, all_turns, connected, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import EPHEMERAL, Payload
from turnkeep import SessionStore
from turnkeep_discord import DiscordOutlet, chat_session, text_of

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.usefixtures("kept_open"),
    pytest.mark.parametrize("store", ["jsonl"], indirect=True),
]

KINDS = ["slash", "hybrid", "prefix", "message menu", "user menu"]


class CommandBot(RecordingBot):
    """A bot that has each kind of command, and answers all of them in one way.

    `defer` is None, "deferred" or "ephemeral"; `says` is the answer in pieces.
    """

    def __init__(self, store: SessionStore, defer: str | None = None, **options: Any) -> None:
        super().__init__(store, **options)
        self.defer = defer
        self.says = ["an ", "answer"]
        self.answered = 0

    async def setup_hook(self) -> None:
        await super().setup_hook()

        @self.tree.command(description="Ask")
        async def ask(interaction: discord.Interaction, prompt: str) -> None:
            await self.respond(interaction, prompt)

        @self.hybrid_command()
        async def query(ctx: commands.Context[Any], *, prompt: str) -> None:
            await self.respond(ctx, prompt)

        async def explain(interaction: discord.Interaction, message: discord.Message) -> None:
            await self.respond(interaction, f"Explain: {text_of(message)}")

        async def describe(interaction: discord.Interaction, user: discord.Member) -> None:
            await self.respond(interaction, f"Describe {user.display_name}")

        self.tree.add_command(app_commands.ContextMenu(name="Explain", callback=explain))
        self.tree.add_command(app_commands.ContextMenu(name="Describe", callback=describe))
        await self.tree.sync()

    async def respond(
        self, where: discord.Interaction | commands.Context[Any], prompt: str
    ) -> None:
        if self.defer is not None:
            response = where.response if isinstance(where, discord.Interaction) else where
            await response.defer(ephemeral=self.defer == "ephemeral")
        session = await chat_session(self, where, prompt=prompt)
        await session.answer("".join(self.says) if self.defer is None else self.stream())
        self.answered += 1

    async def stream(self) -> AsyncIterator[str]:
        for piece in self.says:
            yield piece


async def used(server: DiscordEmulator, place: Payload, user: Payload, kind: str) -> str:
    """Uses a command, and returns the source id of what is recorded of it."""
    if kind == "prefix":
        message = await server.say(place, user, "!query What is it?")
        return f"{place['id']}:{message['id']}"
    if kind == "message menu":
        target = await server.say(place, server.user("Other", bot=True), f"ask <@{user['id']}>")
        used = await server.message_menu(user, "Explain", target)
    elif kind == "user menu":
        used = await server.user_menu(place, user, "Describe", user)
    else:
        name = "ask" if kind == "slash" else "query"
        used = await server.slash(place, user, name, {"prompt": "What is it?"})
    return f"interaction:{used['id']}"


def prompt_of(kind: str) -> str:
    texts = {"message menu": "Explain: ask @Ada", "user menu": "Describe Ada"}
    return texts.get(kind, "What is it?")


@pytest.mark.parametrize("defer", [None, "deferred", "ephemeral"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_command_leaves_its_prompt_and_one_answer_that_is_sent_once(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    kind: str,
    defer: str | None,
) -> None:
    bot = CommandBot(store, defer)
    async with connected(server, bot):
        source = await used(server, place, ada, kind)
        await server.wait_for(lambda: bot.answered)
        await server.say(place, ada, "thanks")
        await server.wait_for(lambda: [s for s in bot.given if s.turn and s.turn.text == "thanks"])
        (sent,) = server.sent(place)
        is_private = defer == "ephemeral" and kind != "prefix"
        key = private_key_of(place, ada) if is_private else key_of(place)
        question, answer = (await all_turns(store, key))[:2]
        shared = await said(store, key_of(place))
        assert len(shared) == (1 if is_private else 3)
        assert not [one for one in server.requests if one.status >= 400]
    assert sent["content"] == "an answer"
    assert bool(sent["flags"] & EPHEMERAL) == is_private
    assert (question.role, question.text, question.source_ids) == (
        "user",
        prompt_of(kind),
        (source,),
    )
    assert question.sender is not None
    assert question.sender.id == ada["id"]
    assert (answer.role, answer.text, answer.answers) == ("assistant", "an answer", question.id)
    assert answer.source_ids == (f"{place['id']}:{sent['id']}",)


@pytest.mark.parametrize("kind", ["slash", "user menu"])
async def test_a_command_in_direct_messages_is_in_the_session_of_the_two(
    server: DiscordEmulator, store: SessionStore, ada: Payload, kind: str
) -> None:
    bot, private = CommandBot(store, "deferred"), server.dm(ada)
    async with connected(server, bot):
        await used(server, private, ada, kind)
        await settles(store, key_of(private), [f"user: {prompt_of(kind)}", "assistant: an answer"])
        assert len(server.sent(private)) == 1


async def test_a_command_in_a_thread_is_in_the_session_of_the_thread(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot, thread = CommandBot(store, "deferred"), server.thread(place, "Thread", owner=ada)
    async with connected(server, bot):
        await used(server, thread, ada, "message menu")
        prompt = prompt_of("message menu")
        await settles(store, key_of(thread), [f"user: {prompt}", "assistant: an answer"])
        assert len(server.sent(thread)) == 1
    assert server.sent(place) == []


@pytest.mark.parametrize("defer", ["deferred", "ephemeral"])
async def test_an_answer_that_grows_stays_one_message_of_its_kind(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    defer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(DiscordOutlet, "pace", 0.0)
    bot = CommandBot(store, defer)
    bot.says = ["it ", "grows ", "word ", "by ", "word"]
    async with connected(server, bot):
        await used(server, place, ada, "slash")
        key = private_key_of(place, ada) if defer == "ephemeral" else key_of(place)
        await settles(store, key, ["user: What is it?", "assistant: it grows word by word"])
        (sent,) = server.sent(place)
        edits = [call for call in server.requests if call.method == "PATCH"]
    assert (sent["content"], len(edits)) == ("it grows word by word", 4)
    assert bool(sent["flags"] & EPHEMERAL) == (defer == "ephemeral")


async def test_a_long_deferred_answer_is_one_turn_that_all_of_its_messages_lead_to(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = CommandBot(store, "deferred")
    bot.says = ["word " * 900]
    async with connected(server, bot):
        await used(server, place, ada, "slash")
        await server.wait_for(lambda: bot.answered)
        sent = server.sent(place)
        _, answer = await all_turns(store, key_of(place))
    assert len(sent) == 3
    assert sum(one["content"].count("word") for one in sent) == 900
    assert answer.source_ids == tuple(f"{place['id']}:{one['id']}" for one in sent)


async def test_a_command_sees_what_was_said_before_it_and_its_own_prompt(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    windows: list[list[str]] = []

    @bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, prompt: str) -> None:
        session = await chat_session(bot, interaction, prompt=prompt)
        windows.append([message["content"] for message in await session.get_history()])
        await interaction.response.send_message("seen", ephemeral=True)

    async with connected(server, bot):
        await bot.tree.sync()
        for text in ("one", "two"):
            await server.say(place, ada, text)
        await server.slash(place, ada, "ask", {"prompt": "three"})
        await server.wait_for(lambda: windows)
    assert windows == [["one", "two", "three"]]


async def test_an_ephemeral_answer_can_be_linked_by_hand(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)

    @bot.tree.command(description="Ask")
    async def ask(interaction: discord.Interaction, prompt: str) -> None:
        session = await chat_session(bot, interaction, prompt=prompt, ephemeral=True)
        async with session.reply() as reply:
            reply.add_text("psst")
            await interaction.response.send_message(reply.text, ephemeral=True)

    async with connected(server, bot):
        await bot.tree.sync()
        await server.slash(place, ada, "ask", {"prompt": "what?"})
        await settles(store, private_key_of(place, ada), ["user: what?", "assistant: psst"])
    assert await said(store, key_of(place)) == []


async def test_a_command_that_fails_leaves_its_prompt_and_no_answer(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = CommandBot(store, "deferred")

    async def broken() -> AsyncIterator[str]:
        yield "half"
        raise LookupError("no model")

    bot.stream = broken  # type: ignore[method-assign]
    async with connected(server, bot):
        failed: list[Exception] = []

        @bot.tree.error
        async def note(_: discord.Interaction, error: app_commands.AppCommandError) -> None:
            failed.append(error)

        await used(server, place, ada, "slash")
        await server.wait_for(lambda: failed)
    assert await said(store, key_of(place)) == ["user: What is it?"]
