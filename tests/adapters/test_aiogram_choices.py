"""A handler of aiogram's chooses for its own messages: by a flag."""

from __future__ import annotations

import asyncio

import pytest
from aiogram import Dispatcher, F
from aiogram.filters import Command
from aiogram.types import Message

from adapters.tools import feed, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]


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


async def test_a_handlers_flag_stores_the_arguments_of_its_command(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    turns: list[str | None] = []

    @dispatcher.message(Command("ask"), flags={"turnkeep": {"record": True}})
    async def ask(message: Message, chat_session: ChatSession) -> None:
        turns.append(None if chat_session.turn is None else chat_session.turn.text)

    update = telegram.say(7, "/ask why?")
    await feed(dispatcher, update, update)
    assert turns == ["why?"]
    assert await said(store, "telegram:7") == ["user: why?"]


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

    first, *others = [telegram.say(7, text) for text in "abcd"]
    feeds.append(asyncio.create_task(feed(dispatcher, first)))
    while not begun:
        await asyncio.sleep(0.001)
    feeds += [asyncio.create_task(feed(dispatcher, update)) for update in others]
    await asyncio.gather(*feeds)
    assert begun == [["a"], ["b", "c", "d"]], "the first, and all that came meanwhile"


async def test_what_is_no_choice_is_refused(store: SessionStore) -> None:
    with pytest.raises(ValueError, match="'handled'"):
        SessionMiddleware(store, record="some")  # type: ignore[arg-type]
