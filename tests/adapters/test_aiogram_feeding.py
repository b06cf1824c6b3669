"""A webhook that answers Telegram as soon as an update is recorded."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from aiogram import Dispatcher
from aiogram.types import Message, Update

from adapters.tools import offline_bot, said
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import SessionStore, StorageError
from turnkeep._session.leases import ANSWER
from turnkeep.adapter import ChatSession
from turnkeep.storage.memory import MemoryStorage
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]


class Hook:
    """A dispatcher behind a webhook, which delivers an update when the one before is taken."""

    def __init__(self, store: SessionStore, **options: Any) -> None:
        self.dispatcher = Dispatcher()
        self.middleware = SessionMiddleware(store, **options).setup(self.dispatcher)
        self.handled: list[list[str]] = []
        self.go_on = asyncio.Event()
        self.ended = asyncio.Event()

        @self.dispatcher.message()
        async def handle(message: Message, chat_session: ChatSession) -> None:
            assert chat_session.turn is not None
            self.handled.append([turn.text for turn in (*chat_session.joined, chat_session.turn)])
            await self.go_on.wait()
            self.ended.set()

    async def take(self, *updates: Any) -> None:
        for update in updates:
            await self.middleware.feed_update(offline_bot(), update)


async def test_an_update_is_taken_when_it_is_stored_and_not_when_it_is_handled(
    store: SessionStore,
) -> None:
    telegram, hook = TelegramEmulator(), Hook(store)
    await asyncio.wait_for(hook.take(telegram.say(7, "hello")), PATIENCE)
    assert await said(store, "telegram:7") == ["user: hello"]
    assert not hook.ended.is_set()
    hook.go_on.set()
    await asyncio.wait_for(hook.ended.wait(), PATIENCE)


@pytest.mark.parametrize("options", [{}, {"debounce": 0.5}, {"busy": "queue"}])
async def test_an_album_stays_together(store: SessionStore, options: dict[str, Any]) -> None:
    telegram, hook = TelegramEmulator(), Hook(store, **options)
    hook.go_on.set()
    await hook.take(*telegram.album(7, ["one", "two", "three"]))
    await asyncio.wait_for(hook.ended.wait(), PATIENCE)
    assert [len(parts) for parts in hook.handled] == [3]


@pytest.mark.parametrize("busy", ["latest", "collect"])
async def test_what_comes_meanwhile_is_answered_together(store: SessionStore, busy: str) -> None:
    telegram, hook = TelegramEmulator(), Hook(store, busy=busy)
    await hook.take(*(telegram.say(7, text) for text in ("1", "2", "3")))
    async with asyncio.timeout(PATIENCE), store.desk.use() as storage:
        # They stand in line when each has the lease on its answer.
        while sum(one.name.startswith(ANSWER) for one in await storage.claims()) < 3:
            await asyncio.sleep(0.01)
    await store.session("telegram:8").append("user", "written after the leases")
    await anyio.wait_all_tasks_blocked()
    hook.go_on.set()
    await asyncio.wait_for(hook.ended.wait(), PATIENCE)
    async with asyncio.timeout(PATIENCE):
        while not hook.handled or hook.handled[-1][-1] != "3":
            await asyncio.sleep(0.01)
    assert "2" in hook.handled[-1]


async def test_an_update_object_of_another_bot_is_taken_too(store: SessionStore) -> None:
    telegram, hook = TelegramEmulator(), Hook(store)
    hook.go_on.set()
    await hook.take(Update.model_validate(telegram.say(7, "hello")))
    assert await said(store, "telegram:7") == ["user: hello"]


class Failing(MemoryStorage):
    async def append(self, *arguments: Any, **options: Any) -> Any:
        raise StorageError("as it is meant")


async def test_what_cannot_be_stored_is_an_error_so_that_telegram_delivers_it_again() -> None:
    async with SessionStore(Failing()) as store:
        with pytest.raises(StorageError):
            await Hook(store).take(TelegramEmulator().say(7, "hello"))
