"""What a reply repeats of another message goes and changes with that message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher

from adapters.tools import RecordingBot, connected, feed, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio

GROUP = -1001


def bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await happened():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_deleted_telegram_message_leaves_no_copy_in_a_reply_to_it(
    tmp_path: Path, restarted: bool
) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    async with SessionStore(tmp_path) as store:
        SessionMiddleware(store).setup(dispatcher)
        secret = telegram.say(7, "my secret", business_connection_id="b")
        reply = telegram.say(7, "what?", business_connection_id="b", reply_to=secret)
        await feed(dispatcher, secret, reply)
        assert b"my secret" in bytes_in(tmp_path)
        if restarted:
            SessionMiddleware(store).setup(dispatcher := Dispatcher())
        deleted = telegram.delete(secret)
        assert deleted is not None
        await feed(dispatcher, deleted)
        assert b"my secret" not in bytes_in(tmp_path)
        (key,) = [info.key.text for info in await store.list_sessions()]
        assert await said(store, key) == ["user: [reply to a deleted message]\nwhat?"]


@pytest.mark.parametrize("scope", ["channel", "user_in_channel", "user", "guild"])
async def test_a_deleted_discord_message_leaves_no_copy_in_anybodys_reply_to_it(
    server: DiscordEmulator, tmp_path: Path, place: Payload, ada: Payload, scope: Any
) -> None:
    store, bob = SessionStore(tmp_path), server.user("Bob")
    async with connected(server, bot := RecordingBot(store, scope=scope)):
        secret = await server.say(place, ada, "my secret")
        await server.say(place, bob, "what?", reply_to=secret)
        await bot.hears(server, 2)
        assert bytes_in(tmp_path).count(b"my secret") == 2
        await server.delete(secret)

        async def is_gone() -> bool:
            return b"my secret" not in bytes_in(tmp_path)

        await until(is_gone)
        left = [info for info in await store.list_sessions() if info.turns]
        assert [await said(store, info.key.text) for info in left] == [
            ["user: [reply to a deleted message]\nwhat?"]
        ]


async def test_what_was_deleted_in_a_bulk_leaves_no_copy_in_replies(
    server: DiscordEmulator, tmp_path: Path, place: Payload, ada: Payload
) -> None:
    store = SessionStore(tmp_path)
    async with connected(server, bot := RecordingBot(store)):
        first = await server.say(place, ada, "my secret")
        second = await server.say(place, ada, "my secret too", reply_to=first)
        await server.say(place, ada, "and?", reply_to=second)
        await bot.hears(server, 3)
        await server.bulk_delete([first, second])

        async def is_gone() -> bool:
            return b"my secret" not in bytes_in(tmp_path)

        await until(is_gone)


async def test_a_reply_repeats_an_edited_message_as_it_then_is(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    key = f"discord:{place['id']}"
    async with connected(server, bot := RecordingBot(store)):
        plan = await server.say(place, ada, "at 8")
        await server.say(place, server.user("Bob"), "fine", reply_to=plan)
        await bot.hears(server, 2)
        await server.edit(plan, "at 9")
        wanted = ["user: at 9", "user: [reply to Ada: at 9]\nfine"]

        async def is_changed() -> bool:
            return await said(store, key) == wanted

        await until(is_changed)


async def test_whoever_is_forgotten_is_repeated_by_nobody(tmp_path: Path) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    async with SessionStore(tmp_path) as store:
        SessionMiddleware(store).setup(dispatcher)
        adas = telegram.say(GROUP, "my secret", user_id=42)
        unheard = telegram.say(GROUP, "Bob's secret", user_id=43, first_name="Bob")
        await feed(
            dispatcher,
            adas,
            telegram.say(GROUP, "what?", user_id=44, reply_to=adas),
            telegram.say(GROUP, "and?", user_id=44, reply_to=unheard),
        )
        assert await store.forget_sender(42) == {f"telegram:{GROUP}": 2}
        assert b"my secret" not in bytes_in(tmp_path)
        # Of Bob nothing was recorded, and yet he is repeated.
        assert await store.forget_sender(43) == {f"telegram:{GROUP}": 1}
        assert b"Bob" not in bytes_in(tmp_path)
        assert await store.forget_sender(42) == {}
        assert await said(store, f"telegram:{GROUP}") == [
            "user: [reply to a deleted message]\nwhat?",
            "user: [reply to a deleted message]\nand?",
        ]
