"""When the aiogram adapter opens and leaves the store, and what it waits for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiogram import Dispatcher
from aiogram.types import Message

from adapters.tools import feed, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import Session, SessionStore, StoreClosedError
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio

ADA = 7


async def is_closed(store: SessionStore) -> bool:
    try:
        await store.session("telegram:7").info()
    except StoreClosedError:
        return True
    return False


async def test_the_store_opens_and_is_left_with_the_dispatcher(
    telegram: TelegramEmulator, tmp_path: Path
) -> None:
    store = SessionStore(tmp_path)
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    for _ in range(2):
        async with polling(telegram, dispatcher):
            with pytest.raises(TimeoutError, match="another process owns this folder"):
                await SessionStore(tmp_path, lock_timeout=0).__aenter__()
        assert await is_closed(store)
    async with SessionStore(tmp_path, lock_timeout=0):
        pass


async def test_a_store_that_its_user_has_opened_stays_open(
    telegram: TelegramEmulator, store: SessionStore
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    async with store:
        async with polling(telegram, dispatcher):
            pass
        assert not await is_closed(store)
    assert await is_closed(store)


async def test_where_startup_is_never_emitted_the_store_opens_by_itself(
    store: SessionStore,
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    await feed(dispatcher, TelegramEmulator().say(ADA, "hello"))
    assert await said(store, "telegram:7") == ["user: hello"]
    await store.aclose()
    assert await is_closed(store)


async def test_handlers_under_way_at_shutdown_are_waited_for_and_their_replies_stored(
    telegram: TelegramEmulator, store: SessionStore
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    started, go = asyncio.Event(), asyncio.Event()

    @dispatcher.message()
    async def handle(message: Message, chat_session: Session) -> None:
        async with chat_session.reply() as reply:
            started.set()
            await go.wait()
            reply.add_text("late")

    async with store:
        async with polling(telegram, dispatcher):
            telegram.say(ADA, "hello")
            await started.wait()
            stopping = asyncio.create_task(dispatcher.stop_polling())
            await asyncio.sleep(0.02)
            assert not stopping.done()
            go.set()
            await stopping
        assert await said(store, "telegram:7") == ["user: hello", "assistant: late"]


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


async def test_a_handler_that_never_ends_holds_the_shutdown_up_for_a_limited_time_only(
    telegram: TelegramEmulator, store: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, drain_timeout=0.05).setup(dispatcher)
    started, never = asyncio.Event(), asyncio.Event()
    outcome: list[type[BaseException]] = []

    @dispatcher.message()
    async def handle(message: Message, chat_session: Session) -> None:
        try:
            async with chat_session.reply() as reply:
                started.set()
                await never.wait()
                reply.add_text("too late")
        except BaseException as error:
            outcome.append(type(error))
            raise

    async with polling(telegram, dispatcher):
        telegram.say(ADA, "hello")
        await started.wait()
    assert await is_closed(store)
    assert "1 handlers still run after 0.05 seconds" in caplog.text
    never.set()
    await telegram.wait_for(lambda: outcome)
    assert outcome == [StoreClosedError], "it is told, and not lost in silence"


async def test_a_handler_that_fails_does_not_hold_the_shutdown_up(
    telegram: TelegramEmulator, store: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message) -> None:
        raise ValueError("a bug of the bot's")

    async with polling(telegram, dispatcher):
        telegram.say(ADA, "hello")
        await telegram.wait_for(lambda: "a bug of the bot's" in caplog.text)
    assert "still run" not in caplog.text


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
