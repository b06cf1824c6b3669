"""When the aiogram adapter opens and leaves the store, and what it waits for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiogram import Dispatcher
from aiogram.types import Message

from adapters.tools import is_closed, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import Session, SessionStore
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio

ADA = 7


async def test_a_message_that_is_being_stored_at_shutdown_still_gets_its_answer(
    telegram: TelegramEmulator, tmp_path: Path
) -> None:
    store = SessionStore(tmp_path)
    dispatcher = Dispatcher()
    middleware = SessionMiddleware(store).setup(dispatcher)
    recording, go = asyncio.Event(), asyncio.Event()
    receive = Session.receive

    async def slow(self: Session, *args: object, **fields: object) -> Session:
        recording.set()
        await go.wait()
        return await receive(self, *args, **fields)  # type: ignore[arg-type]

    @dispatcher.message()
    async def handle(message: Message, chat_session: Session) -> None:
        async with chat_session.reply() as reply:
            reply.add_text("late")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "receive", slow)
        async with polling(telegram, dispatcher):
            telegram.say(ADA, "hello")
            await recording.wait()
            stopping = asyncio.create_task(dispatcher.stop_polling())
            await asyncio.sleep(0.02)
            go.set()
            await stopping
    async with middleware.store:
        assert await said(store, "telegram:7") == ["user: hello", "assistant: late"]


async def test_one_dispatcher_takes_one_middleware(store: SessionStore) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    with pytest.raises(RuntimeError, match="has a SessionMiddleware already"):
        SessionMiddleware(store).setup(dispatcher)


async def test_one_middleware_serves_one_dispatcher(store: SessionStore) -> None:
    middleware = SessionMiddleware(store).setup(Dispatcher())
    with pytest.raises(RuntimeError, match="serves another dispatcher already"):
        middleware.setup(Dispatcher())


async def test_two_dispatchers_over_one_store_close_it_when_both_have_left(
    store: SessionStore,
) -> None:
    first, second = Dispatcher(), Dispatcher()
    for dispatcher in (first, second):
        SessionMiddleware(store).setup(dispatcher)
        await dispatcher.emit_startup()
    await first.emit_shutdown()
    assert not await is_closed(store)
    await second.emit_shutdown()
    assert await is_closed(store)
