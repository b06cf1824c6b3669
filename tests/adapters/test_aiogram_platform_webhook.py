"""Webhooks on a real port: what goes out in the body of the answer, and FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from aiogram import Bot, Dispatcher
from aiogram.client.telegram import TelegramAPIServer
from aiogram.methods import SendMessage
from aiogram.types import Message
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web
from fastapi import FastAPI

from adapters.tools import QuickSession, said
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import SessionStore, StoreClosedError
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio

ADA = 7


@asynccontextmanager
async def connected(telegram: TelegramEmulator) -> AsyncIterator[Bot]:
    session = QuickSession(api=TelegramAPIServer.from_base(telegram.url))
    async with Bot(telegram.token, session=session) as bot:
        yield bot


@asynccontextmanager
async def aiohttp_serving(dispatcher: Dispatcher, bot: Bot, **options: Any) -> AsyncIterator[None]:
    """aiogram's own webhook application, which emits startup and shutdown."""
    app = web.Application()
    SimpleRequestHandler(dispatcher, bot, **options).register(app, path="/hook")
    setup_application(app, dispatcher, bot=bot)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await bot.set_webhook(f"http://127.0.0.1:{runner.addresses[0][1]}/hook")
    try:
        yield
    finally:
        await bot.delete_webhook()
        await runner.cleanup()


@asynccontextmanager
async def uvicorn_serving(app: FastAPI) -> AsyncIterator[str]:
    """The application under uvicorn; yields where it is."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(PATIENCE):
            while not server.started:
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, PATIENCE)


def returning(store: SessionStore, *, capture: bool) -> Dispatcher:
    """A bot whose handler returns the method that answers."""
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=capture).setup(dispatcher)

    @dispatcher.message()
    async def answer(message: Message) -> SendMessage:
        return message.answer(f"to {message.text}")

    return dispatcher


@pytest.mark.parametrize(
    ("background", "capture", "in_the_body"),
    [(True, False, False), (True, True, False), (False, False, True), (False, True, False)],
    ids=["background", "background, captured", "in the answer", "in the answer, captured"],
)
async def test_a_returned_method_is_carried_out_once_and_recorded_only_where_captured(
    store: SessionStore,
    telegram: TelegramEmulator,
    background: bool,
    capture: bool,
    in_the_body: bool,
) -> None:
    async with store:
        dispatcher = returning(store, capture=capture)
        async with (
            connected(telegram) as bot,
            aiohttp_serving(dispatcher, bot, handle_in_background=background),
        ):
            telegram.say(ADA, "hello")
            await telegram.wait_sent(ADA, 1)
        (sent,) = telegram.sent(ADA)
        assert sent["text"] == "to hello"
        # What goes out in the body is not seen by a middleware of the requests.
        assert telegram.updates.replies == ["sendMessage"] * in_the_body
        recorded = ["assistant: to hello"] * capture
        assert await said(store, "telegram:7") == ["user: hello", *recorded]


@pytest.mark.parametrize("background", [True, False], ids=["background", "in the answer"])
async def test_an_update_that_a_webhook_gets_again_is_answered_once(
    store: SessionStore, telegram: TelegramEmulator, background: bool
) -> None:
    dispatcher, handled = Dispatcher(), 0
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message()
    async def answer(message: Message, chat_session: ChatSession) -> None:
        nonlocal handled
        handled += 1
        await chat_session.answer("once")

    async with store:
        async with (
            connected(telegram) as bot,
            aiohttp_serving(dispatcher, bot, handle_in_background=background),
        ):
            update = telegram.say(ADA, "hello")
            await telegram.wait_sent(ADA, 1)
            telegram.redeliver(update)
            telegram.redeliver(update, same_update_id=True)
            await telegram.wait_for(lambda: len(telegram.updates.deliveries) == 3)
        assert handled == 1
        assert await said(store, "telegram:7") == ["user: hello", "assistant: once"]


async def test_under_fastapi_where_startup_is_never_emitted_the_store_opens_by_itself(
    telegram: TelegramEmulator, tmp_path: Path
) -> None:
    store = SessionStore(tmp_path / "sessions", lock_timeout=0)
    dispatcher, started = Dispatcher(), list[str]()
    SessionMiddleware(store).setup(dispatcher)
    dispatcher.startup.register(lambda: started.append("startup"))

    @dispatcher.message()
    async def answer(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(f"{len(await chat_session.get_history())} so far")

    async with connected(telegram) as bot:

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            yield
            await store.aclose()

        app = FastAPI(lifespan=lifespan)

        @app.post("/telegram")
        async def feed(update: dict[str, Any]) -> dict[str, bool]:
            await dispatcher.feed_raw_update(bot, update)
            return {"ok": True}

        async with uvicorn_serving(app) as url:
            assert not (tmp_path / "sessions").exists(), "nothing was said yet"
            await bot.set_webhook(f"{url}/telegram")
            first = telegram.say(ADA, "hello")
            await telegram.wait_sent(ADA, 1)
            telegram.redeliver(first)
            telegram.say(ADA, "again")
            sent = await telegram.wait_sent(ADA, 2)
            await telegram.wait_for(lambda: len(telegram.updates.deliveries) == 3)
            await bot.delete_webhook()
    assert started == []
    assert [message["text"] for message in sent] == ["1 so far", "3 so far"]
    with pytest.raises(StoreClosedError):
        await store.session("telegram:7").info()
    async with SessionStore(tmp_path / "sessions", lock_timeout=0) as after:
        assert await said(after, "telegram:7") == [
            "user: hello",
            "assistant: 1 so far",
            "user: again",
            "assistant: 3 so far",
        ]
