"""The bots that the documents show, run on their platforms."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio
from aiogram import Dispatcher
from discord.ext import commands

from adapters.tools import connected, polling
from docs.blocks import ROOT, blocks
from docs.test_documents import run_document
from emulators.discord import DiscordEmulator
from emulators.telegram import TelegramEmulator
from emulators.telegram_chats import PHOTO
from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep_aiogram import SessionMiddleware
from turnkeep_discord import SessionCog

pytestmark = pytest.mark.asyncio

ADAPTERS = ROOT / "docs" / "adapters.md"
MEDIA = ROOT / "docs" / "media.md"
REPLACING = ROOT / "docs" / "replacing.md"


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[TelegramEmulator]:
    async with TelegramEmulator() as server:
        yield server


async def ran(
    document: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, first: int | None = None
) -> dict[str, Any]:
    """What a document's blocks have defined, in a thread: they bring an event loop of theirs."""
    monkeypatch.chdir(folder)
    return await asyncio.to_thread(run_document, document, first)


async def said(folder: Path, key: str) -> list[str]:
    async with SessionStore(folder, read_only=True) as store:
        turns = [turn async for turn in store.session(key).turns(epoch="all")]
    return [f"{turn.role}: {turn.content}" for turn in turns]


async def stored(folder: Path, key: str, number: int) -> None:
    """Until so many turns are on disk: an answer is stored after it is sent."""
    async with asyncio.timeout(PATIENCE):
        while len(await said(folder, key)) < number:
            await asyncio.sleep(0.01)


async def test_from_a_dict_to_turnkeep_takes_ten_lines() -> None:
    _, recipe = [text for language, text in blocks(ADAPTERS) if language == "python"][:2]
    assert len([line for line in recipe.splitlines() if line.strip()]) == 10


async def test_the_bot_with_turnkeep_instead_of_a_dict_answers_and_stores(
    telegram: TelegramEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await ran(ADAPTERS, tmp_path, monkeypatch, 2)
    async with polling(telegram, document["dp"]):
        telegram.say(7, "/unknown")
        telegram.say(7, "Hi.")
        await telegram.wait_for(lambda: [m["text"] for m in telegram.sent(7)] == ["Hello!"])
    assert await said(tmp_path / "sessions", "telegram:7") == ["user: Hi.", "assistant: Hello!"]


async def test_what_replaces_the_history_of_llmcord_hears_all_and_answers_who_addresses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await ran(REPLACING, tmp_path, monkeypatch)
    bot = document["LlmBot"]("!", intents=discord.Intents.all())
    async with DiscordEmulator() as server:
        place, ada = server.channel(server.guild("Guild")), server.user("Ada")
        async with connected(server, bot):
            await server.say(place, ada, "Is anybody here?")
            question = await server.say(place, ada, "Say hello.", mentions_bot=True)
            await server.wait_for(lambda: [m["content"] for m in server.sent(place)] == ["Hello!"])
    assert question["mentions"], "and only who mentions it"
    assert await said(tmp_path / "sessions", f"discord:{place['id']}") == [
        "user: Is anybody here?",
        "user: Say hello.",
        "assistant: Hello!",
    ]


PNG = b"\x89PNG the bytes"
SEEN = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


async def seen(store: SessionStore, key: str, fetch: Any) -> list[str]:
    """The addresses of the pictures, and the texts, of the last message of a window."""
    content: Any = (await store.session(key).get_history(media=fetch))[-1]["content"]
    return [part.get("text") or part["image_url"]["url"] for part in content]


async def test_a_picture_on_discord_is_seen_when_its_address_has_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await ran(MEDIA, tmp_path, monkeypatch)
    bot = commands.Bot("!", intents=discord.Intents.all())
    async with DiscordEmulator() as server, SessionStore("memory:") as store:
        await bot.add_cog(SessionCog(bot, store))
        place, ada = server.channel(server.guild("Guild")), server.user("Ada")
        key = f"discord:{place['id']}"
        async with connected(server, bot):
            await server.say(place, ada, "look", attachments={"cat.png": PNG})
            async with asyncio.timeout(PATIENCE):
                while await store.session(key).latest() is None:
                    await asyncio.sleep(0.01)
            server.clock.advance(3 * 24 * 3600)
            turn = await store.session(key).latest()
            assert turn is not None
            (media,) = turn.media
            with pytest.raises(discord.NotFound):
                await bot.http.get_from_cdn(str(media.url))
            fetch = document["discord_pictures"](bot)
            assert await seen(store, key, fetch) == ["look", SEEN]
    await bot.close()


async def test_a_picture_on_telegram_is_seen_by_its_file_id(
    telegram: TelegramEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await ran(MEDIA, tmp_path, monkeypatch)
    dispatcher = Dispatcher()
    async with SessionStore("memory:") as store:
        SessionMiddleware(store).setup(dispatcher)
        async with polling(telegram, dispatcher) as bot:
            telegram.say(7, photo=PHOTO, caption="look")
            async with asyncio.timeout(PATIENCE):
                while await store.session("telegram:7").latest() is None:
                    await asyncio.sleep(0.01)
            for _ in range(2):
                said = await seen(store, "telegram:7", document["telegram_pictures"](bot))
                assert said[0] == "look"
                assert said[1].startswith("data:image/jpeg;base64,")
    calls = [call for call in telegram.calls if call.method.lower() == "getfile"]
    assert len(calls) == 1, "the second window remembers it"


async def test_what_replaces_the_dialogs_of_father_bot_follows_a_user_through_chats(
    telegram: TelegramEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = await ran(REPLACING, tmp_path, monkeypatch)
    group, ada = -1001234567890, 42
    name = {"type": "mention", "offset": 0, "length": 13}
    async with polling(telegram, document["dp"]):
        telegram.say(ada, "Hi.")
        await telegram.wait_for(lambda: [m["text"] for m in telegram.sent(ada)] == ["Hello!"])
        telegram.say(group, "not to the bot", user_id=ada)
        telegram.say(group, "@emulated_bot hi!", user_id=ada, entities=[name])
        await telegram.wait_for(lambda: [m["text"] for m in telegram.sent(group)] == ["Hello!"])
        await stored(tmp_path / "dialogs", f"telegram:user:{ada}", 4)
        telegram.say(ada, "/retry")
        await telegram.wait_for(lambda: [m["text"] for m in telegram.sent(ada)][1:] == ["Hello!"])
        await stored(tmp_path / "dialogs", f"telegram:user:{ada}", 4)
        telegram.say(ada, "/new")
        await telegram.wait_sent(ada, 3)
    assert await said(tmp_path / "dialogs", f"telegram:user:{ada}") == [
        "user: Hi.",
        "assistant: Hello!",
        "user: @emulated_bot hi!",
        "assistant: Hello!",
    ]
