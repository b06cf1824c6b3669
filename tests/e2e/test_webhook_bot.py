"""examples/webhook_bot.py in one long life: what Telegram delivers to it, and delivers again.

All tests talk to one bot, each in a chat of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from e2e.bots import free_port, reads, run, said
from emulators.openai import OpenAIEmulator
from emulators.telegram import TelegramEmulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHATS = count(100)


@dataclass
class World:
    """The bot's address, and a chat that no other test has used."""

    telegram: TelegramEmulator
    llm: OpenAIEmulator
    url: str
    folder: Path
    chat: int

    async def reads(self, *texts: str) -> None:
        """Waits until this is what the bot has written in the chat, in all."""
        await reads(self.telegram, self.chat, *texts)

    async def delivered(self, update: dict[str, Any], times: int = 1) -> list[int]:
        """The HTTP statuses with which the bot took the update, once they are so many."""

        def statuses() -> list[int]:
            log = self.telegram.updates.deliveries
            return [status for update_id, status in log if update_id == update["update_id"]]

        await self.telegram.wait_for(lambda: len(statuses()) >= times)
        return statuses()

    def said(self) -> list[str]:
        return said(self.folder, f"telegram/{self.chat}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("webhook")
    port = free_port()
    async with TelegramEmulator() as telegram, OpenAIEmulator() as llm:
        environment = {
            "TELEGRAM_TOKEN": telegram.token,
            "TELEGRAM_API_URL": telegram.url,
            "WEBHOOK_URL": f"http://127.0.0.1:{port}/telegram",
            "PORT": str(port),
            "OPENAI_BASE_URL": llm.url,
            "OPENAI_API_KEY": "x",
        }
        async with run("webhook_bot.py", folder, environment, command=True) as bot:
            await bot.wait_output("Application startup complete")
            yield World(telegram, llm, environment["WEBHOOK_URL"], folder, 0)
        assert llm.rejections == [], "every provider takes the windows"


@pytest.fixture
def world(life: World) -> World:
    life.chat = next(CHATS)
    return life


async def test_what_is_delivered_twice_is_answered_once(world: World) -> None:
    update = world.telegram.say(world.chat, "hello")
    await world.reads("echo: hello")
    world.telegram.redeliver(update)
    last = world.telegram.say(world.chat, "again")
    await world.reads("echo: hello", "echo: again")
    await world.delivered(last)
    await world.telegram.wait_for(lambda: len(world.said()) == 4)
    assert world.said() == [
        "user: hello",
        "assistant: echo: hello",
        "user: again",
        "assistant: echo: again",
    ]


async def test_an_error_of_the_model_is_told_and_not_stored(world: World) -> None:
    world.llm.fail_next(400)
    update = world.telegram.say(world.chat, "hello")
    assert await world.delivered(update) == [200]
    await world.reads("Sorry, that went wrong.")
    assert world.said() == ["user: hello"]


async def test_forget_leaves_no_trace_on_disk(world: World) -> None:
    world.telegram.say(world.chat, "xyzzy")
    world.telegram.say(world.chat, "/forget")
    await world.reads("echo: xyzzy", "What was kept of you here is erased.")
    files = [path for path in world.folder.rglob("sessions/**/*") if path.is_file()]
    assert not [path for path in files if b"xyzzy" in path.read_bytes()]


async def test_what_cannot_be_handled_is_not_delivered_for_ever(world: World) -> None:
    world.telegram.fail_next("sendMessage", status=403, chat_id=world.chat)
    update = world.telegram.say(world.chat, "/forget")
    assert await world.delivered(update) == [200]


async def test_what_cannot_be_recorded_is_delivered_again(world: World) -> None:
    in_the_way = world.folder / f"sessions/telegram/{world.chat}.jsonl"
    in_the_way.mkdir(parents=True)
    update = world.telegram.say(world.chat, "hello")
    assert await world.delivered(update) == [500]
    in_the_way.rmdir()
    await world.reads("echo: hello")
    assert (await world.delivered(update, 2))[-1] == 200


async def test_who_does_not_know_the_secret_is_refused(world: World) -> None:
    chat = {"id": world.chat, "type": "private"}
    user = {"id": world.chat, "is_bot": False, "first_name": "Mallory"}
    message = {"message_id": 1, "date": 1, "text": "hello", "chat": chat, "from": user}
    forged = {"X-Telegram-Bot-Api-Secret-Token": "guessed"}
    async with aiohttp.ClientSession() as client:
        for headers in ({}, forged):
            update = {"update_id": 1, "message": message}
            async with client.post(world.url, json=update, headers=headers) as answer:
                assert answer.status == 403
    assert world.said() == []
