"""Webhooks: aiogram's own request handler, in both of its modes, on a real port."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.telegram import TelegramAPIServer
from aiogram.methods import SendMessage
from aiogram.types import Message
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web

from adapters.tools import QuickSession, said
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]


@pytest.mark.parametrize("background", [True, False], ids=["in the background", "in the answer"])
@pytest.mark.parametrize("capture", [True, False], ids=["captured", "explicit"])
async def test_a_webhook_records_and_answers_once(
    store: SessionStore, telegram: TelegramEmulator, background: bool, capture: bool
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=capture).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> SendMessage | None:
        if message.text == "return it":
            return message.answer("returned")
        await chat_session.answer(f"to {message.text}")
        return None

    session = QuickSession(api=TelegramAPIServer.from_base(telegram.url))
    async with Bot(telegram.token, session=session) as bot:
        app = web.Application()
        SimpleRequestHandler(
            dispatcher, bot, handle_in_background=background, secret_token="known"
        ).register(app, path="/hook")
        setup_application(app, dispatcher, bot=bot)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server: Any = site._server
        port = server.sockets[0].getsockname()[1]
        await bot.set_webhook(f"http://127.0.0.1:{port}/hook", secret_token="known")
        first = telegram.say(7, "hello")
        await telegram.wait_sent(7, 1)
        telegram.redeliver(first)
        telegram.say(7, "return it")
        sent = await telegram.wait_sent(7, 2)
        wanted = 4 if capture else 3
        async with asyncio.timeout(PATIENCE):
            while len(await said(store, "telegram:7")) < wanted:
                await asyncio.sleep(0.01)
        await bot.delete_webhook()
        await runner.cleanup()
    assert sorted(message["text"] for message in sent) == ["returned", "to hello"]
    turns = await said(store, "telegram:7")
    assert turns[:2] == ["user: hello", "assistant: to hello"]
    assert turns[2:] == ["user: return it", "assistant: returned"][: wanted - 2]
