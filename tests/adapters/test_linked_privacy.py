"""Where chats are one session, people see and erase what is their own, and nothing comes back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiogram import Dispatcher, Router
from aiogram.types import Message

from adapters.tools import RecordingBot, connected, keys, polling, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from emulators.telegram import TelegramEmulator
from turnkeep import Sender, SessionKey, SessionStore
from turnkeep.adapter import ChatSession, Quoted, Recorder
from turnkeep_aiogram import SessionMiddleware, privacy_router
from turnkeep_discord import PrivacyCog

pytestmark = pytest.mark.asyncio

GROUP = -1001
FORGOTTEN = "What was kept of you here is erased."
LEFT = (
    "Messages that others wrote, or that you wrote from another account, stay here: 1. "
    "Use /forget there too."
)


def command(text: str) -> dict[str, Any]:
    return {"entities": [{"type": "bot_command", "offset": 0, "length": len(text)}]}


async def test_in_a_private_chat_that_is_linked_to_a_group_they_are_about_who_asks(
    telegram: TelegramEmulator, store: SessionStore
) -> None:
    dispatcher, router = Dispatcher(), Router()
    SessionMiddleware(store).setup(dispatcher)
    dispatcher.include_routers(privacy_router(), router)

    @router.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(f"to {message.text}")

    async with store:
        async with polling(telegram, dispatcher) as bot:
            telegram.say(GROUP, "Ada's", user_id=7)
            telegram.say(GROUP, "Bob's", user_id=8, first_name="Bob")
            await telegram.wait_sent(GROUP, 2)
            await store.link("telegram:7", to=f"telegram:{GROUP}")
            telegram.say(7, "/export", **command("/export"))
            (sent,) = await telegram.wait_sent(7, 1)
            file = await bot.download(sent["document"]["file_id"])
            assert file is not None
            exported = [row["content"] for row in json.loads(file.read())]
            assert exported == ["Ada's", "to Ada's"]
            telegram.say(7, "/forget", **command("/forget"))
            await telegram.wait_sent(7, 2)
            assert telegram.sent(7)[1]["text"] == f"{FORGOTTEN}\n{LEFT}"
        left = sorted(await said(store, f"telegram:{GROUP}"))
        assert left == ["assistant: to Bob's", "user: Bob's"]


async def test_forgetting_leaves_no_session_behind_though_what_is_sent_is_captured(
    telegram: TelegramEmulator, store: SessionStore
) -> None:
    dispatcher, router = Dispatcher(), Router()
    SessionMiddleware(store, capture=True).setup(dispatcher)
    dispatcher.include_routers(privacy_router(), router)

    @router.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        await message.answer(f"to {message.text}")

    async with store:
        async with polling(telegram, dispatcher):
            telegram.say(7, "my secret")
            await telegram.wait_sent(7, 1)
            telegram.say(7, "/forget", **command("/forget"))
            await telegram.wait_sent(7, 2)
        assert telegram.sent(7)[1]["text"] == FORGOTTEN
        assert await keys(store) == []


@pytest.mark.parametrize("chat", [7, GROUP])
async def test_what_a_running_handler_has_sent_does_not_come_back_after_a_forget(
    telegram: TelegramEmulator, store: SessionStore, chat: int
) -> None:
    dispatcher, router, forgotten = Dispatcher(), Router(), asyncio.Event()
    SessionMiddleware(store, capture=True).setup(dispatcher)
    dispatcher.include_routers(privacy_router(), router)

    @router.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        await message.answer(f"to {message.text}")
        if message.from_user is not None and message.from_user.id == 7:
            await forgotten.wait()

    async with store:
        async with polling(telegram, dispatcher):
            telegram.say(chat, "my secret", user_id=7)
            telegram.say(GROUP, "Bob's", user_id=8, first_name="Bob")
            await telegram.wait_sent(GROUP, 1 if chat == 7 else 2)
            sent = len(await telegram.wait_sent(chat, 1))
            telegram.say(chat, "/forget", user_id=7, **command("/forget"))
            await telegram.wait_sent(chat, sent + 1)
            forgotten.set()
        (key,) = await keys(store)
        assert sorted(await said(store, key)) == ["assistant: to Bob's", "user: Bob's"]


class PrivateBot(RecordingBot):
    """A bot whose chats may all be one session, and which has the commands of privacy."""

    async def setup_hook(self) -> None:
        await super().setup_hook()
        await self.add_cog(PrivacyCog(self))
        await self.tree.sync()


async def test_in_a_direct_message_whose_session_is_everybodys_they_are_about_who_asks(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    def everybodys(_: object) -> str:
        return "discord:all"

    async with store:
        async with connected(server, bot := PrivateBot(store, scope=everybodys)):
            await server.say(place, ada, "Ada's")
            await server.say(place, server.user("Bob"), "Bob's")
            await bot.hears(server, 2)
            here = server.dm(ada)
            await server.slash(here, ada, "export")
            (sent,) = await server.wait_sent(here, 1)
            (attached,) = sent["attachments"]
            async with aiohttp.ClientSession() as web, web.get(attached["url"]) as response:
                exported = json.loads(await response.read())
            assert [row["content"] for row in exported] == ["Ada's"]
            await server.slash(here, ada, "forget")
            await server.wait_sent(here, 2)
            assert server.sent(here)[1]["content"] == f"{FORGOTTEN}\n{LEFT}"
        assert await said(store, "discord:all") == ["user: Bob's"]


async def test_forgetting_on_discord_leaves_no_session_behind_though_what_is_sent_is_captured(
    server: DiscordEmulator, store: SessionStore, ada: Payload
) -> None:
    here = server.dm(ada)
    async with store:
        async with connected(server, bot := PrivateBot(store, capture=True)):
            await server.say(here, ada, "my secret")
            await bot.hears(server, 1)
            await server.slash(here, ada, "forget")
            await server.wait_sent(here, 1)
        assert server.sent(here)[0]["content"] == FORGOTTEN
        assert await keys(store) == []


async def test_what_waits_to_be_captured_on_discord_does_not_come_back_after_a_forget(
    server: DiscordEmulator, store: SessionStore, ada: Payload
) -> None:
    here = server.dm(ada)
    async with store:
        async with connected(server, bot := PrivateBot(store, capture=True)):
            await server.say(here, ada, "my secret")
            await bot.hears(server, 1)
            place: Any = await bot.fetch_channel(int(here["id"]))
            await place.send("to my secret")
            await server.wait_sent(here, 1)
            await server.slash(here, ada, "forget")
            await server.wait_sent(here, 2)
        assert server.sent(here)[1]["content"] == FORGOTTEN
        assert await keys(store) == []


async def test_an_edit_of_a_reply_brings_nothing_back_of_whoever_was_forgotten() -> None:
    key, ada, bob = SessionKey("telegram", 7), Sender("1", "Ada"), Sender("2", "Bob")
    async with SessionStore("memory:") as store:
        recorder = Recorder(store)
        session, head = recorder.session(key), "[reply to Ada: my secret]"
        await recorder.receive(session, "my secret", source_id="7:1", sender=ada)
        quoted = Quoted("7:1", "1")
        await recorder.receive(
            session, f"{head}\nreally?", source_id="7:2", sender=bob, quoted=quoted
        )
        await store.forget_sender("1")
        await recorder.edit("7:2", f"{head}\nReally?", key)  # the platform still has it
        assert "secret" not in str(await said(store, key.text))
        assert (await said(store, key.text))[0].endswith("Really?")
