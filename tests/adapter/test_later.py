"""A storage that fails: a message is answered without history, and recorded later."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from aiogram import Dispatcher
from aiogram.types import Message

from adapters.tools import feed, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore, StorageError
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio


def bot_over(store: SessionStore, **options: object) -> tuple[SessionMiddleware, Dispatcher]:
    dispatcher = Dispatcher()
    middleware = SessionMiddleware(store, **options).setup(dispatcher)  # type: ignore[arg-type]

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        async with chat_session.reply() as reply:
            window = await reply.get_history()
            await asyncio.sleep(0.01)
            reply.add_text(f"{len(window)} seen")

    return middleware, dispatcher


async def test_it_is_raised_by_default_and_the_handler_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "telegram" / "7.jsonl").mkdir(parents=True)
    telegram = TelegramEmulator()
    async with SessionStore(tmp_path) as store:
        _, dispatcher = bot_over(store)
        with pytest.raises(ExceptionGroup) as raised:
            await feed(dispatcher, telegram.say(7, "hello"))
    assert raised.group_contains(StorageError, match="telegram:7")


async def test_with_later_it_is_answered_without_history_and_recorded_when_that_is_possible(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "telegram" / "7.jsonl"
    broken.mkdir(parents=True)
    telegram = TelegramEmulator()
    async with SessionStore(tmp_path) as store:
        _, dispatcher = bot_over(store, on_storage_error="later")
        update = telegram.say(7, "a")
        await feed(dispatcher, update)
        await feed(dispatcher, telegram.say(7, "b"))
        assert "recorded later" in caplog.text
        broken.rmdir()
        await feed(dispatcher, telegram.say(7, "c"))
        await feed(dispatcher, update)  # delivered again: it is known, and answered
        assert await said(store, "telegram:7") == [
            "user: a",
            "assistant: 1 seen",
            "user: b",
            "assistant: 3 seen",
            "user: c",
            "assistant: 5 seen",
        ]
        answers = [turn.answers async for turn in store.session("telegram:7").turns()]
        assert answers == [None, 1, None, 3, None, 5]


async def test_what_waits_is_recorded_at_the_end_or_its_loss_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "telegram" / "7.jsonl"
    broken.mkdir(parents=True)
    telegram = TelegramEmulator()
    for mended in (False, True):
        async with SessionStore(tmp_path) as store:
            middleware, dispatcher = bot_over(store, on_storage_error="later")
            await feed(dispatcher, telegram.say(7, "a"))
            if mended:
                broken.rmdir()
            with caplog.at_level(logging.ERROR):
                caplog.clear()
                await middleware.recorder.aclose()
            assert ("2 turns could not be recorded" in caplog.text) is not mended
            if mended:
                assert await said(store, "telegram:7") == ["user: a", "assistant: 1 seen"]


async def test_what_is_no_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="'later'"):
        bot_over(SessionStore("memory:"), on_storage_error="never")


async def test_an_answer_that_alone_is_not_taken_is_recorded_later(tmp_path: Path) -> None:
    file, moved = tmp_path / "telegram" / "7.jsonl", tmp_path / "moved"
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    async with SessionStore(tmp_path) as store:
        SessionMiddleware(store, on_storage_error="later").setup(dispatcher)

        @dispatcher.message()
        async def handle(message: Message, chat_session: ChatSession) -> None:
            async with chat_session.reply() as reply:
                reply.add_text(f"to {message.text}")
                if message.text == "a":
                    file.rename(moved)
                    file.mkdir()

        await feed(dispatcher, telegram.say(7, "a"))
        file.rmdir()
        moved.rename(file)
        await feed(dispatcher, telegram.say(7, "b"))
        lines = ["user: a", "assistant: to a", "user: b", "assistant: to b"]
        assert await said(store, "telegram:7") == lines
