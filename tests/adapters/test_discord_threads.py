"""The title of a thread or a forum post is the one that people see there, over a real socket."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from adapters.discord_bots import key_of
from adapters.tools import RecordingBot, all_turns, connected
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import FORUM, Payload
from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep_discord import per_account

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

BEGINNINGS = {
    "by itself": "[thread: {}]",
    "from a message": "[thread: {}]\n\\[thread: no] Where?",
    "from a picture": "[thread: {}]",
    "post": "[post: {}]\n\\[thread: no] Where?",
}


async def begins(store: SessionStore, key: str, text: str) -> None:
    """Wait until the first turn of a session has this text, beside its media."""
    found: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while (found := [one.text for one in await all_turns(store, key)])[:1] != [text]:
                await asyncio.sleep(0.01)
    assert found[:1] == [text]


async def open_thread(
    server: DiscordEmulator, place: Payload, ada: Payload, kind: str, title: str
) -> Payload:
    if kind == "post":
        forum = server.channel(server.guild("Other"), "help", FORUM)
        return await server.post(forum, ada, title, "[thread: no] Where?")
    files: Any = {"a.png": b""} if kind == "from a picture" else {}
    text = "" if kind == "from a picture" else "[thread: no] Where?"
    message = await server.say(place, ada, text, attachments=files)
    start = None if kind == "by itself" else message
    return server.thread(place, title, message=start, owner=ada)


@pytest.mark.parametrize("kind", BEGINNINGS)
async def test_a_threads_new_title_is_in_its_window(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, kind: str
) -> None:
    async with connected(server, bot := RecordingBot(store)):
        thread = await open_thread(server, place, ada, kind, "Lunch")
        await server.say(thread, ada, "Well?")
        await bot.hears(server, 2)
        for title, shown in ((r"Dinner \1 [again]", r"Dinner \1 (again)"), ("Supper", "Supper")):
            await server.rename(thread, title)
            await begins(store, key_of(thread), BEGINNINGS[kind].format(shown))
        turns = await all_turns(store, key_of(thread))
    assert [turn.text for turn in turns[1:]] == ["Well?"]
    assert [len(turn.media) for turn in turns] == [kind == "from a picture", 0]


@pytest.mark.parametrize("kind", BEGINNINGS)
async def test_a_thread_that_was_renamed_while_the_bot_was_away_has_its_new_title(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, kind: str
) -> None:
    async with connected(server, bot := RecordingBot(store)):
        thread = await open_thread(server, place, ada, kind, "Lunch")
        await server.say(thread, ada, "Well?")
        await bot.hears(server, 2)
    await server.rename(thread, "Dinner")
    async with connected(server, bot := RecordingBot(store)):
        await server.say(thread, ada, "And?")
        await bot.hears(server, 1)
        await begins(store, key_of(thread), BEGINNINGS[kind].format("Dinner"))


async def test_an_archived_thread_that_is_renamed_has_its_new_title(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store)):
        thread = await open_thread(server, place, ada, "by itself", "Lunch")
        await server.say(thread, ada, "Well?")
        await bot.hears(server, 2)
        await server.archive(thread)
        await server.say(thread, ada, "And?")  # which wakes it
        await server.rename(thread, "Dinner")
        await begins(store, key_of(thread), "[thread: Dinner]")


@pytest.mark.parametrize("scope", ["account", "user_in_channel"])
async def test_each_of_a_threads_sessions_has_its_new_title(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, scope: str
) -> None:
    bot = RecordingBot(store)
    bot.options["scope"] = per_account(bot) if scope == "account" else scope
    async with connected(server, bot):
        thread = await open_thread(server, place, ada, "from a message", "Lunch")
        await server.say(thread, ada, "Well?")
        await bot.hears(server, 2)
        key = next(one.key.text for one in bot.given if thread["id"] in one.key.text)
        await server.rename(thread, "Dinner")
        await begins(store, key, BEGINNINGS["from a message"].format("Dinner"))


@pytest.mark.parametrize("how", ["forget", "forget_sender"])
async def test_what_was_forgotten_in_a_channel_does_not_come_back_as_a_threads_beginning(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, how: str
) -> None:
    async with connected(server, bot := RecordingBot(store)):
        secret = await server.say(place, ada, "a secret")
        await server.say(place, server.user("Bob"), "hello")
        await bot.hears(server, 2)
        if how == "forget":
            await store.forget(key_of(place))
        else:
            await store.forget_sender(ada["id"])
    async with connected(server, bot := RecordingBot(store)):
        thread = server.thread(place, "Lunch", message=secret, owner=ada)
        await server.say(thread, server.user("Cleo"), "Well?")
        await bot.hears(server, 1)
    turns = await all_turns(store, key_of(thread))
    assert [one.text for one in turns] == ["[thread: Lunch]", "Well?"]


async def test_a_deleted_channel_leaves_no_session(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    async with connected(server, bot := RecordingBot(store)):
        await server.say(place, ada, "hello")
        await bot.hears(server, 1)
        await server.delete_channel(place)
        async with asyncio.timeout(PATIENCE):
            while await store.list_sessions():
                await asyncio.sleep(0.01)
