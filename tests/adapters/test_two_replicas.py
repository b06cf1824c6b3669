"""Two processes share a storage: a button under an answer works in whichever it reaches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.telegram import TelegramAPIServer

from adapters.on_telegram import Telegram
from adapters.platforms import Platform
from adapters.test_both_looks import Model
from adapters.tools import QuickSession
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep.adapter import AGAIN_LABEL, STOP, STOP_LABEL, under_way
from turnkeep.storage.memory import MemoryStorage
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio

Stores = Callable[[], SessionStore]


@pytest.fixture(params=["memory", "sqlite"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Make a store for each process, over one storage."""
    if request.param == "sqlite":
        return lambda: SessionStore(f"sqlite:{tmp_path / 'shared.sqlite'}")
    shared = MemoryStorage(shared=True)
    return lambda: SessionStore(shared)


@asynccontextmanager
async def replica(
    telegram: TelegramEmulator, store: SessionStore
) -> AsyncGenerator[Callable[[dict[str, Any]], Awaitable[object]]]:
    """Another process of the same bot, behind the same webhook: yields a function to feed it."""
    dispatcher = Dispatcher()
    SessionMiddleware(store, stop=True).setup(dispatcher)
    session = QuickSession(api=TelegramAPIServer.from_base(telegram.url))
    async with store, Bot(telegram.token, session=session) as bot:
        yield lambda update: dispatcher.feed_raw_update(bot, {"update_id": 1, **update})


async def presses(store: SessionStore) -> list[str]:
    """The presses that still wait for a process."""
    async with store.desk.use() as storage:
        return [one.name for one in await storage.claims(prefix="adapter:")]


async def test_a_press_that_reaches_another_process_stops_the_answer(
    platform: Platform, stores: Stores
) -> None:
    model, here = Model(), platform.group
    model.may_go_on.clear()
    await platform.start(model, store=stores(), stop=True)
    await platform.say(platform.ada, "hello", at=here)
    await platform.wait(lambda: platform.labels(here) == [[STOP_LABEL]])
    async with stores() as other:
        name = platform.latest(here).source_id
        stranger = asyncio.create_task(under_way(other.desk).press(name, platform.bob.id))
        while not await presses(other):
            await asyncio.sleep(0.01)
        assert await under_way(other.desk).press(name, platform.ada.id)
        await platform.ended()
        assert model.is_closed
        *_, answer = await platform.turns(here)
        assert (answer.text, answer.interrupted) == ("answer 1", True)
        assert not await stranger, "nobody else may stop it"
        assert await presses(other) == []


async def test_an_answer_is_given_once_more_by_one_process_at_a_time(
    platform: Platform, stores: Stores
) -> None:
    model, here = Model(), platform.private(platform.ada)
    await platform.start(model, store=stores(), regenerate=model)
    await platform.say(platform.ada, "hello")
    await platform.wait(lambda: platform.labels(here) == [[AGAIN_LABEL]])
    await platform.ended()
    async with stores() as other:
        name = platform.latest(here).source_id
        model.may_go_on.clear()
        await platform.press(platform.ada, here, AGAIN_LABEL)
        await platform.wait(lambda: model.count == 2)
        async with under_way(other.desk).again(name) as may_begin:
            assert not may_begin
        model.may_go_on.set()
        await platform.shows("answer 2, whole", at=here)
        async with asyncio.timeout(PATIENCE):
            while await presses(other):
                await asyncio.sleep(0.01)
        async with under_way(other.desk).again(name) as may_begin:
            assert may_begin


@pytest.mark.parametrize("drafts", [False, True])
async def test_a_webhooks_press_reaches_the_other_bot(
    tmp_path: Path, stores: Stores, drafts: bool
) -> None:
    model = Model()
    model.may_go_on.clear()
    async with Telegram(tmp_path / "sessions") as platform:
        here, server = platform.private(platform.ada), platform.server
        await platform.start(model, store=stores(), stop=True, drafts=drafts)
        async with replica(server, stores()) as feed:
            await platform.say(platform.ada, "hello")
            if drafts:
                await platform.wait(lambda: server.drafts)
                ((chat, draft),) = server.drafts
                stopped = {"chat": {"id": chat, "type": "private"}, "draft_id": draft}
                await feed({"stopped_message_generation": stopped})
            else:
                await platform.wait(lambda: platform.labels(here) == [[STOP_LABEL]])
                by = {"id": int(platform.ada.id), "is_bot": False, "first_name": "Ada"}
                query = {"id": "9", "from": by, "message": platform.latest(here).raw, "data": STOP}
                await feed({"callback_query": {**query, "chat_instance": "1"}})
            await platform.shows("answer 1", at=here)
            await platform.ended()
        *_, answer = await platform.turns(here)
        assert (answer.text, answer.interrupted) == ("answer 1", True)
