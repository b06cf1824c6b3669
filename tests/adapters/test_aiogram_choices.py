"""What is recorded on Telegram is a choice, and so is what happens to messages that overlap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiogram import Dispatcher, F
from aiogram.filters import Command
from aiogram.types import Message

from adapters.tools import feed, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio

GROUP = -1001234567890
KEY = f"telegram:{GROUP}"


@pytest_asyncio.fixture(autouse=True)
async def kept_open(store: SessionStore) -> AsyncIterator[None]:
    """The store stays open when the bot has stopped, to be looked into."""
    async with store:
        yield


async def nothing(message: Message, chat_session: ChatSession) -> None:
    """A handler that takes a message."""


async def test_only_what_is_said_to_the_bot_is_recorded(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher, heard = Dispatcher(), list[str]()
    SessionMiddleware(store, record="addressed").setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        heard.append(message.text or "")
        if message.text == "first":
            await message.answer("the bot's")

    async with polling(telegram, dispatcher):
        telegram.say(GROUP, "first")
        (sent,) = await telegram.wait_sent(GROUP, 1)
        telegram.say(GROUP, "a reply", reply_to=sent["message_id"])
        name = {"type": "mention", "offset": 0, "length": 13}
        telegram.say(GROUP, "@emulated_bot hi", entities=[name])
        telegram.say(GROUP, "to all")
        telegram.say(7, "in private")
        await telegram.wait_for(lambda: len(heard) == 5)
    recorded = [line.rpartition("\n")[2].removeprefix("user: ") for line in await said(store, KEY)]
    assert sorted(recorded) == ["@emulated_bot hi", "a reply"]
    assert await said(store, "telegram:7") == ["user: in private"]


async def test_only_what_a_handler_takes_is_recorded(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store, record="handled").setup(dispatcher)
    dispatcher.message.register(nothing, F.text.startswith("bot"))
    await feed(dispatcher, telegram.say(7, "bot, hello"), telegram.say(7, "to myself"))
    assert await said(store, "telegram:7") == ["user: bot, hello"]


@pytest.mark.parametrize("with_await", [False, True])
async def test_a_predicate_chooses(store: SessionStore, with_await: bool) -> None:
    async def slowly(event: Any) -> bool:
        await asyncio.sleep(0)
        return "secret" not in event.text

    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    choose = slowly if with_await else (lambda event: "secret" not in event.text)
    SessionMiddleware(store, record=choose).setup(dispatcher)
    await feed(dispatcher, telegram.say(7, "a secret"), telegram.say(7, "hello"))
    assert await said(store, "telegram:7") == ["user: hello"]


async def test_a_handlers_flag_keeps_its_messages_out(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    given: list[object] = []

    @dispatcher.message(F.text == "password", flags={"turnkeep": {"record": False}})
    async def secret(message: Message, chat_session: ChatSession) -> None:
        given.append(chat_session.turn)

    await feed(dispatcher, telegram.say(7, "password"), telegram.say(7, "hello"))
    assert given == [None]
    assert await said(store, "telegram:7") == ["user: hello"]


async def test_a_handlers_flag_takes_its_command_in(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    turns: list[str | None] = []

    @dispatcher.message(Command("ask"), flags={"turnkeep": {"record": True}})
    async def ask(message: Message, chat_session: ChatSession) -> None:
        turns.append(None if chat_session.turn is None else chat_session.turn.text)

    update = telegram.say(7, "/ask why?")
    await feed(dispatcher, update, update)
    assert turns == ["/ask why?"]
    assert await said(store, "telegram:7") == ["user: /ask why?"]


async def test_a_handlers_flag_overrides_the_overlap(store: SessionStore) -> None:
    telegram, dispatcher, begun = TelegramEmulator(), Dispatcher(), list[list[object]]()
    SessionMiddleware(store).setup(dispatcher)
    feeds: list[asyncio.Task[None]] = []

    @dispatcher.message(flags={"turnkeep": {"busy": "collect"}})
    async def slow(message: Message, chat_session: ChatSession) -> None:
        assert chat_session.turn is not None
        begun.append([turn.content for turn in (*chat_session.joined, chat_session.turn)])
        # Until the last one alone is left to wait: it has taken the other two along.
        while len(begun) == 1 and sum(task.done() for task in feeds) < 2:
            await asyncio.sleep(0.001)

    updates = [telegram.say(7, text) for text in "abcd"]
    feeds += [asyncio.create_task(feed(dispatcher, update)) for update in updates]
    await asyncio.gather(*feeds)
    assert begun == [["a"], ["b", "c", "d"]], "the first, and all that came meanwhile"


async def test_what_is_no_choice_is_refused(store: SessionStore) -> None:
    with pytest.raises(ValueError, match="'handled'"):
        SessionMiddleware(store, record="some")  # type: ignore[arg-type]


async def test_forgetting_a_person_reaches_every_chat_and_only_that_person(
    store: SessionStore,
) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message()
    async def echo(message: Message, chat_session: ChatSession) -> None:
        await chat_session.append("assistant", f"to {message.text}")

    for chat in (GROUP, 42):
        await feed(dispatcher, telegram.say(chat, "Ada's", user_id=42))
    await feed(dispatcher, telegram.say(GROUP, "Bob's", user_id=43))
    assert await store.forget_sender(42, prefix="telegram:") == {KEY: 2, "telegram:42": 2}
    assert await said(store, KEY) == ["user: Bob's", "assistant: to Bob's"]
    assert await store.forget_sender(42) == {}
