"""A storage that fails: a message is answered without history, and recorded later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.types import Message

from adapters.tools import feed, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import Sender, SessionKey, SessionStore, StorageError
from turnkeep.adapter import AnswerOptions, ChatSession, Looks, Recorder
from turnkeep.storage.memory import MemoryStorage
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


async def feed_quietly(dispatcher: Dispatcher, update: dict[str, Any]) -> None:
    """The storage that fails is told of, and what waits has changed all the same."""
    with suppress(ExceptionGroup):
        await feed(dispatcher, update)


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


class Unreadable(MemoryStorage):
    """One that takes what is said, and gives none of it back while it `fails`."""

    fails = False

    async def read(self, *arguments: Any, **options: Any) -> Any:
        if self.fails:
            raise StorageError("session telegram:7: the server is away")
        return await super().read(*arguments, **options)


async def test_a_history_that_can_not_be_read_is_answered_without() -> None:
    telegram, dispatcher, storage = TelegramEmulator(), Dispatcher(), Unreadable()
    windows = list[object]()
    async with SessionStore(storage) as store:
        SessionMiddleware(store, on_storage_error="later").setup(dispatcher)

        @dispatcher.message()
        async def handle(message: Message, chat_session: ChatSession) -> None:
            windows.append(await chat_session.get_history())
            async with chat_session.reply() as reply:
                reply.add_text(f"to {message.text}")
                windows.append(await reply.get_history())

        await feed(dispatcher, telegram.say(7, "a"))
        storage.fails = True
        windows.clear()
        await feed(dispatcher, telegram.say(7, "b"))
        question = {"role": "user", "content": "b"}
        answer = {"role": "assistant", "content": "to b"}
        assert windows == [[question], [question, answer]]
        storage.fails = False
        lines = ["user: a", "assistant: to a", "user: b", "assistant: to b"]
        assert await said(store, "telegram:7") == lines


async def test_a_history_that_can_not_be_read_is_raised_by_default() -> None:
    telegram, dispatcher, storage = TelegramEmulator(), Dispatcher(), Unreadable()
    async with SessionStore(storage) as store:
        SessionMiddleware(store).setup(dispatcher)
        raised = list[str]()

        @dispatcher.message()
        async def handle(message: Message, chat_session: ChatSession) -> None:
            storage.fails = True
            with pytest.raises(StorageError) as window:
                await chat_session.get_history()
            with pytest.raises(StorageError) as reply:
                async with chat_session.reply():
                    pass
            raised.extend((str(window.value), str(reply.value)))

        await feed(dispatcher, telegram.say(7, "a"))
    assert raised == ["session telegram:7: the server is away"] * 2


async def test_what_is_edited_or_deleted_while_it_waits_is_recorded_so(tmp_path: Path) -> None:
    broken = tmp_path / "telegram" / "7,business,b.jsonl"
    broken.mkdir(parents=True)
    telegram = TelegramEmulator()
    async with SessionStore(tmp_path) as store:
        _, dispatcher = bot_over(store, on_storage_error="later")
        first, second, third = (
            telegram.say(7, text, business_connection_id="b") for text in ("a", "b", "c")
        )
        await feed(dispatcher, first, second, third)
        await feed(dispatcher, telegram.say(7, "d", business_connection_id="b", reply_to=second))
        await feed_quietly(dispatcher, telegram.edit(first, "a, rather"))
        deleted = telegram.delete(second)
        assert deleted is not None
        await feed_quietly(dispatcher, deleted)
        broken.rmdir()
        await feed(dispatcher, telegram.say(7, "e", business_connection_id="b"))
        (key,) = [info.key.text for info in await store.list_sessions()]
        users = [line for line in await said(store, key) if line.startswith("user")]
        gone = "[reply to a deleted message]"
        assert users == ["user: a, rather", "user: c", f"user: {gone}\nd", "user: e"]


class Full(MemoryStorage):
    """One that takes nothing while it `fails`."""

    fails = False

    async def append(self, *arguments: Any, **options: Any) -> Any:
        if self.fails:
            raise StorageError("session telegram:7: the disk is full")
        return await super().append(*arguments, **options)


class Shown:
    """A chat that shows what is sent there."""

    limit, pace, drafts = 4000, 1.0, False
    sign_seconds, draft_seconds = 4.0, 20.0
    options = AnswerOptions()
    draft_name = None

    def __init__(self) -> None:
        self.looks = Looks()
        self.texts: list[str] = []

    def buttons(self, *, done: bool) -> None:
        """Shows none."""

    def begin(self, name: str, sent: Sequence[str]) -> None:
        """Nothing was sent before."""

    async def working(self) -> None:
        """Shows nothing."""

    async def send(self, text: str, buttons: object = None) -> str:
        self.texts.append(text)
        return f"7:{100 + len(self.texts)}"

    async def edit(self, number: int, text: str, buttons: object = None) -> None:
        self.texts[number] = text

    async def remove(self, number: int) -> None:
        """Leaves it."""

    async def erase(self, source_id: str) -> None:
        """Leaves it."""

    async def draft(self, text: str) -> None:
        """Shows nothing."""


async def test_what_is_recorded_before_its_handler_answers_is_answered() -> None:
    storage, shown = Full(), Shown()
    async with SessionStore(storage) as store:
        recorder = Recorder(store, on_storage_error="later")
        storage.fails = True
        first = recorder.session(SessionKey("telegram", 7), shown)
        received = await recorder.receive(first, "hello", source_id="7:1", sender=Sender("7"))
        storage.fails = False
        other = recorder.session(SessionKey("telegram", 8), shown)
        await recorder.receive(other, "settles it", source_id="8:1", sender=Sender("8"))
        reply = await received.answer("hi")
        assert not reply.discarded
        assert shown.texts == ["hi"]
        assert await said(store, "telegram:7") == ["user: hello", "assistant: hi"]


async def test_a_message_that_waits_is_handled_though_another_is_in_hand() -> None:
    storage, handled, go_on = Full(), list[object](), asyncio.Event()
    begun = asyncio.Event()
    async with SessionStore(storage) as store:
        recorder = Recorder(store, on_storage_error="later")
        session = recorder.session(SessionKey("telegram", 7))

        async def handle(bound: ChatSession) -> None:
            assert bound.turn is not None
            handled.append(bound.turn.content)
            if bound.turn.content == "one":
                begun.set()
                await go_on.wait()

        first = await recorder.receive(session, "one", source_id="7:1", sender=Sender("7"))
        task = asyncio.create_task(recorder.overlap.run(first, handle))
        await begun.wait()
        storage.fails = True
        second = await recorder.receive(session, "two", source_id="7:2", sender=Sender("7"))
        await recorder.overlap.run(second, handle)
        assert handled == ["one", "two"]
        go_on.set()
        await task
        storage.fails = False


class BreaksOff(Full):
    """One that stores, and never answers the append with the number `at` of those that follow."""

    at = 0

    def __init__(self) -> None:
        super().__init__()
        self.stored = asyncio.Event()

    async def append(self, *arguments: Any, **options: Any) -> Any:
        appended = await super().append(*arguments, **options)
        self.at -= 1
        if self.at == 0:
            self.stored.set()
            await asyncio.Event().wait()
        return appended


@pytest.mark.parametrize("at", [2, 3, 4, 5])
async def test_recording_that_is_broken_off_in_its_middle_stores_no_answer_twice(at: int) -> None:
    storage = BreaksOff()
    async with SessionStore(storage) as store:
        recorder = Recorder(store, on_storage_error="later")
        storage.fails = True
        for text in "ab":
            session = recorder.session(SessionKey("telegram", 7))
            fields = {"source_id": f"7:{text}", "sender": Sender("7")}
            received = await recorder.receive(session, text, **fields)  # type: ignore[arg-type]
            async with received.reply() as reply:
                reply.add_text(f"to {text}")
        storage.fails, storage.at = False, at
        other = recorder.session(SessionKey("telegram", 8))
        settling = recorder.receive(other, "settles it", source_id="8:1", sender=Sender("8"))
        task = asyncio.ensure_future(settling)
        await storage.stored.wait()  # the first append is that of the other session
        task.cancel()
        await asyncio.wait([task])
        await recorder.aclose()
        expected = ["user: a", "assistant: to a", "user: b", "assistant: to b"]
        assert await said(store, "telegram:7") == expected


async def test_an_answer_whose_recording_is_broken_off_is_stored_once() -> None:
    storage = BreaksOff()
    async with SessionStore(storage) as store:
        recorder = Recorder(store, on_storage_error="later")
        session = recorder.session(SessionKey("telegram", 7))
        received = await recorder.receive(session, "a", source_id="7:a", sender=Sender("7"))
        async with received.reply() as reply:
            reply.add_text("to a")
            storage.fails = True
        storage.fails, storage.at = False, 2
        other = recorder.session(SessionKey("telegram", 8))
        settling = recorder.receive(other, "settles it", source_id="8:1", sender=Sender("8"))
        task = asyncio.ensure_future(settling)
        await storage.stored.wait()
        task.cancel()
        await asyncio.wait([task])
        await recorder.aclose()
        assert await said(store, "telegram:7") == ["user: a", "assistant: to a"]


@pytest.mark.parametrize("replies", [False, True])
async def test_what_is_captured_while_the_storage_fails_raises_nothing(replies: bool) -> None:
    telegram, dispatcher, storage = TelegramEmulator(), Dispatcher(), Full()
    async with telegram, SessionStore(storage) as store:
        SessionMiddleware(store, capture=True, on_storage_error="later").setup(dispatcher)

        @dispatcher.message()
        async def handle(message: Message, chat_session: ChatSession) -> None:
            if replies:
                async with chat_session.reply() as reply:
                    reply.add_text(f"to {message.text}")
                    await message.answer(f"to {message.text}")
            else:
                await message.answer(f"to {message.text}")
            storage.fails = False

        storage.fails = True
        async with polling(telegram, dispatcher):
            for count, text in enumerate(("a", "b"), 1):
                telegram.say(7, text)
                await telegram.wait_sent(7, count)
                await telegram.wait_for(lambda: telegram.pending() == 0)
        assert await said(store, "telegram:7") == [
            "user: a",
            "assistant: to a",
            "user: b",
            "assistant: to b",
        ]
