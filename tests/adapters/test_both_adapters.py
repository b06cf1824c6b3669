"""Both adapters in one process, over one store."""

from __future__ import annotations

import subprocess
import sys

import pytest
from aiogram import Dispatcher

from adapters.tools import RecordingBot, connected, feed, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore, StoreClosedError
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("first", ["Telegram", "Discord"])
async def test_the_store_closes_when_both_have_left(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, first: str
) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    bot = RecordingBot(store)
    key = f"discord:{place['id']}"
    async with connected(server, bot):
        await dispatcher.emit_startup()
        await feed(dispatcher, telegram.say(7, "hello"))
        await server.say(place, ada, "hello")
        await bot.hears(server, 1)
        assert await keys(store) == sorted(["telegram:7", key])
        if first == "Telegram":
            await dispatcher.emit_shutdown()
            await server.say(place, ada, "still here")
            await bot.hears(server, 2)
            assert await said(store, key) == ["user: hello", "user: still here"]
            await bot.close()
        else:
            await bot.close()
            await feed(dispatcher, telegram.say(7, "still here"))
            assert await said(store, "telegram:7") == ["user: hello", "user: still here"]
            await dispatcher.emit_shutdown()
        with pytest.raises(StoreClosedError):
            await said(store, key)


@pytest.mark.parametrize("package", ["aiogram", "discord"])
async def test_without_its_framework_an_adapter_names_the_extra_to_install(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; import turnkeep_{package}"
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert f"pip install 'turnkeep[{package}]'" in ended.stderr.splitlines()[-1]
