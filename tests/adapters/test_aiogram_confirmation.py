"""Telegram is told that an update has come when that is recorded, and no sooner."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.types import Message

from adapters.tools import polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore, StorageError
from turnkeep.storage.memory import MemoryStorage
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio


class SlowStorage(MemoryStorage):
    """One that takes nothing until it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.fails = False

    async def append(self, *arguments: Any, **options: Any) -> Any:
        self.asked.set()
        await self.go_on.wait()
        if self.fails:
            raise StorageError("session telegram:7: the disk is full")
        return await super().append(*arguments, **options)


async def test_an_update_is_confirmed_when_it_is_recorded(telegram: TelegramEmulator) -> None:
    storage, dispatcher = SlowStorage(), Dispatcher()
    store = SessionStore(storage)
    SessionMiddleware(store).setup(dispatcher)
    handling, answered = asyncio.Event(), asyncio.Event()

    @dispatcher.message()
    async def handle(message: Message) -> None:
        handling.set()
        await answered.wait()  # a slow model holds nothing up

    async with polling(telegram, dispatcher) as bot:
        for text in ("a", "b"):
            telegram.say(7, text)
        await storage.asked.wait()
        for _ in range(20):  # a poll that waits for nothing would have gone ahead of these
            await bot.get_me()
        pending = telegram.pending()
        storage.go_on.set()
        await handling.wait()
        await telegram.wait_for(lambda: telegram.pending() == 0)
        assert await said(store, "telegram:7") == ["user: a", "user: b"]
        answered.set()
    assert pending == 2, "a process that had been killed then would have got them again"


async def test_an_update_that_the_storage_refuses_holds_up_no_others(
    telegram: TelegramEmulator,
) -> None:
    storage, dispatcher = SlowStorage(), Dispatcher()
    storage.go_on.set()
    storage.fails = True
    SessionMiddleware(SessionStore(storage)).setup(dispatcher)
    async with polling(telegram, dispatcher):
        telegram.say(7, "lost")
        await telegram.wait_for(lambda: telegram.pending() == 0)
        storage.fails = False
        telegram.say(7, "stored")
        await telegram.wait_for(lambda: telegram.pending() == 0)


async def test_a_command_that_comes_twice_is_handled_once(telegram: TelegramEmulator) -> None:
    dispatcher, handled = Dispatcher(), list[str | None]()
    SessionMiddleware(SessionStore("memory:")).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message) -> None:
        handled.append(message.text)

    async with polling(telegram, dispatcher):
        update = telegram.say(7, "/retry")
        await telegram.wait_for(lambda: handled)
        telegram.redeliver(update, same_update_id=True)
        telegram.say(7, "/next")
        await telegram.wait_for(lambda: "/next" in handled)
    assert handled == ["/retry", "/next"]


async def test_a_command_whose_handler_failed_is_handled_when_it_comes_again(
    telegram: TelegramEmulator,
) -> None:
    dispatcher, handled = Dispatcher(), list[str | None]()
    SessionMiddleware(SessionStore("memory:")).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message) -> None:
        handled.append(message.text)
        if len(handled) == 1:
            raise LookupError("no model")

    async with polling(telegram, dispatcher):
        update = telegram.say(7, "/retry")
        await telegram.wait_for(lambda: handled)
        telegram.redeliver(update, same_update_id=True)
        await telegram.wait_for(lambda: len(handled) == 2)
