"""Business chats over a real socket: the bot writes in them for the owner of the account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.types import BusinessConnection, Message

from adapters.tools import all_turns, keys, polling, said
from emulators.telegram import TelegramEmulator
from emulators.telegram_chats import BUSINESS_OWNER
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware, per_account

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

ADA = 7
SHOP = f"telegram:{ADA}:business:shop"


async def answer(message: Message, chat_session: ChatSession) -> None:
    await chat_session.answer(f"to {message.text}")


async def noted(message: Message, chat_session: ChatSession) -> None:
    await chat_session.answer("noted")


def is_adas(message: Message) -> bool:
    sender = message.from_user
    return message.sender_business_bot is None and sender is not None and sender.id == ADA


def answering(store: SessionStore, **options: Any) -> Dispatcher:
    """A bot that answers what customers say to a business, and has no other handler."""
    dispatcher = Dispatcher()
    SessionMiddleware(store, **options).setup(dispatcher)
    dispatcher.business_message.register(answer, is_adas)
    return dispatcher


async def test_a_business_chat_is_answered_through_its_connection(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = answering(store)
    dispatcher.message.register(answer)
    async with polling(telegram, dispatcher):
        telegram.say(ADA, "to the shop", business_connection_id="shop")
        telegram.say(ADA, "to the bot")
        (shops,) = await telegram.wait_sent(ADA, 1, connection="shop")
        (bots,) = await telegram.wait_sent(ADA, 1)
    assert (shops["text"], bots["text"]) == ("to to the shop", "to to the bot")
    assert shops["sender_business_bot"]["id"] == 42
    assert await said(store, SHOP) == ["user: to the shop", "assistant: to to the shop"]
    assert await said(store, f"telegram:{ADA}") == ["user: to the bot", "assistant: to to the bot"]


async def test_an_answer_grows_in_a_business_chat(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    shown = asyncio.Event()

    async def words() -> AsyncIterator[str]:
        yield "half"
        await shown.wait()
        yield " and whole"

    dispatcher = Dispatcher()
    SessionMiddleware(store, drafts=True).setup(dispatcher)

    @dispatcher.business_message()
    async def grow(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(words())

    async with polling(telegram, dispatcher):
        telegram.say(ADA, "hello", business_connection_id="shop")
        (first,) = await telegram.wait_sent(ADA, 1, connection="shop")
        shown.set()
        await telegram.wait_for(lambda: telegram.called("editMessageText"))
        (last,) = telegram.sent(ADA, "shop")
    assert (first["text"], last["text"]) == ("half", "half and whole")
    assert await said(store, SHOP) == ["user: hello", "assistant: half and whole"]


async def test_an_edit_in_a_business_chat_reaches_the_history(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, answering(store)):
        message = telegram.say(ADA, "I want tea", business_connection_id="shop")
        await telegram.wait_sent(ADA, 1, connection="shop")
        telegram.edit(message, "I want coffee")
        await telegram.wait_taken()
    assert await said(store, SHOP) == ["user: I want coffee", "assistant: to I want tea"]


@pytest.mark.parametrize(
    "scope", ["chat_topic", "user_in_chat", per_account()], ids=["chat", "user", "account"]
)
async def test_what_is_deleted_in_a_business_chat_leaves_no_copy(
    store: SessionStore, telegram: TelegramEmulator, tmp_path: Path, scope: Any
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, scope=scope).setup(dispatcher)
    dispatcher.business_message.register(noted)
    async with polling(telegram, dispatcher):
        deleted = [
            telegram.say(ADA, text, business_connection_id="shop")
            for text in ("classified", "kept", "classified too")
        ]
        await telegram.wait_sent(ADA, 3, connection="shop")
        for message in deleted[::2]:
            telegram.delete(message)
        await telegram.wait_taken()
    (key,) = await keys(store)
    assert [line for line in await said(store, key) if "user" in line] == ["user: kept"]
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if b"classified" in file.read_bytes()]


async def test_what_the_business_owner_writes_himself_is_his_in_the_customers_session(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    own = {"user_id": BUSINESS_OWNER["id"], "first_name": "Owner"}
    async with polling(telegram, answering(store, scope="user_in_chat")):
        telegram.say(ADA, "hello", business_connection_id="shop")
        await telegram.wait_sent(ADA, 1, connection="shop")
        telegram.say(ADA, "I take over", business_connection_id="shop", **own)
        await telegram.wait_taken()
    (key,) = await keys(store)
    assert key == f"{SHOP}:user:{ADA}"
    turns = await all_turns(store, key)
    assert [(turn.role, turn.content, turn.sender and turn.sender.id) for turn in turns] == [
        ("user", "hello", "7"),
        ("assistant", "to hello", None),
        ("user", "I take over", "9001"),
    ]


async def test_what_the_bot_wrote_for_the_owner_is_not_recorded_as_his(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.business_message(is_adas)
    async def greet(message: Message) -> None:
        await message.answer("not recorded, so known by no id")

    async with polling(telegram, dispatcher):
        telegram.say(ADA, "hello", business_connection_id="shop")
        (sent,) = await telegram.wait_sent(ADA, 1, connection="shop")
        assert sent["from"] == BUSINESS_OWNER
        telegram.push({"business_message": sent})
        await telegram.wait_taken()
    assert await said(store, SHOP) == ["user: hello"]


async def test_a_business_connection_itself_leaves_nothing(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    given: list[ChatSession | None] = []
    dispatcher = answering(store)

    @dispatcher.business_connection()
    async def connected(event: BusinessConnection, chat_session: ChatSession | None) -> None:
        given.append(chat_session)

    async with polling(telegram, dispatcher):
        telegram.connect("shop")
        await telegram.wait_for(lambda: given)
    assert given == [None]
    assert await keys(store) == []
