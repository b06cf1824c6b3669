"""A Telegram group becomes a supergroup, over a real socket: its sessions move along."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram import Dispatcher, F
from aiogram.types import Message

from adapters.tools import all_turns, keys, polling, said
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open", "log_of_aiogram")]

OLD = -5
NEW = -1001234567890
BOTH_ORDERS = pytest.mark.parametrize("new_first", [False, True], ids=["old first", "new first"])


class Ended:
    """`await ended(2)`: until aiogram is done with two more updates."""

    def __init__(self, caplog: pytest.LogCaptureFixture, telegram: TelegramEmulator) -> None:
        self._caplog = caplog
        self._telegram = telegram
        self._count = 0

    async def __call__(self, more: int) -> None:
        self._count += more
        text = "handled. Duration"
        await self._telegram.wait_for(lambda: self._caplog.text.count(text) >= self._count)


@pytest.fixture
def ended(caplog: pytest.LogCaptureFixture, telegram: TelegramEmulator) -> Ended:
    return Ended(caplog, telegram)


def answering(store: SessionStore, begun: asyncio.Event, go: asyncio.Event) -> Dispatcher:
    """A bot that answers what is said when it may."""
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message(F.text)
    async def answer(message: Message, chat_session: ChatSession) -> None:
        begun.set()
        await go.wait()
        await chat_session.answer(f"to {message.text}")

    return dispatcher


@BOTH_ORDERS
@pytest.mark.parametrize("scope", ["chat_topic", "user_in_chat"])
async def test_a_groups_sessions_move_and_the_old_keys_are_aliases(
    store: SessionStore, telegram: TelegramEmulator, ended: Ended, new_first: bool, scope: Any
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, scope=scope).setup(dispatcher)
    async with polling(telegram, dispatcher):
        telegram.say(OLD, "before", user_id=42)
        await ended(1)
        telegram.migrate(OLD, NEW, new_first=new_first)
        await ended(2)
        after = telegram.say(NEW, "after", user_id=42)
        await ended(1)
        telegram.edit(after, "long after")
        await ended(1)
    (key,) = await keys(store)
    assert key == f"telegram:{NEW}" + (":user:42" if scope == "user_in_chat" else "")
    assert await said(store, key) == ["user: before", "user: long after"]
    assert await said(store, key.replace(str(NEW), str(OLD))) == await said(store, key)


@pytest.mark.parametrize("seen", [OLD, NEW], ids=["the old chat's", "the new chat's"])
async def test_one_of_the_two_service_messages_is_enough(
    store: SessionStore, telegram: TelegramEmulator, ended: Ended, seen: int
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    async with polling(telegram, dispatcher):
        telegram.say(OLD, "before")
        await ended(1)
        fields: dict[str, Any] = {"migrate_to_chat_id": NEW}
        if seen == NEW:
            fields = {"migrate_from_chat_id": OLD}
        telegram.say(seen, **fields)
        await ended(1)
    assert await keys(store) == [f"telegram:{NEW}"]
    assert await said(store, f"telegram:{NEW}") == ["user: before"]


@BOTH_ORDERS
async def test_both_service_messages_again_change_nothing(
    store: SessionStore, telegram: TelegramEmulator, ended: Ended, new_first: bool
) -> None:
    dispatcher = Dispatcher()
    middleware = SessionMiddleware(store).setup(dispatcher)
    async with polling(telegram, dispatcher):
        telegram.say(OLD, "before")
        await ended(1)
        updates = telegram.migrate(OLD, NEW, new_first=new_first)
        await ended(2)
        telegram.say(NEW, "after")
        await ended(1)
        turns = await all_turns(store, f"telegram:{NEW}")
        for update in (*updates, *reversed(updates)):
            telegram.redeliver(update)
            telegram.redeliver(update, same_update_id=True)
            await ended(2)
        await middleware.migrate(OLD, NEW)
    assert [turn.content for turn in turns] == ["before", "after"]
    assert await all_turns(store, f"telegram:{NEW}") == turns
    assert await keys(store) == [f"telegram:{NEW}"]


async def test_messages_of_the_two_chats_with_one_id_are_two_turns(
    store: SessionStore, telegram: TelegramEmulator, ended: Ended
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    async with polling(telegram, dispatcher):
        for number in range(3):
            telegram.say(OLD, f"old {number + 1}")
        await ended(3)
        telegram.migrate(OLD, NEW)
        await ended(2)
        second = telegram.say(NEW, "new 2")
        await ended(1)
    assert second["message"]["message_id"] == 2, "else this test tests nothing"
    lines = await said(store, f"telegram:{NEW}")
    assert lines == ["user: old 1", "user: old 2", "user: old 3", "user: new 2"]


@BOTH_ORDERS
async def test_an_answer_in_flight_goes_to_the_supergroup(
    store: SessionStore, telegram: TelegramEmulator, ended: Ended, new_first: bool
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    async with polling(telegram, answering(store, begun, go)):
        telegram.say(OLD, "hello")
        await asyncio.wait_for(begun.wait(), PATIENCE)
        telegram.migrate(OLD, NEW, new_first=new_first)
        await ended(2)
        go.set()
        (sent,) = await telegram.wait_sent(NEW, 1)
    assert sent["text"] == "to hello"
    assert telegram.sent(OLD) == []
    _, answer = await all_turns(store, f"telegram:{NEW}")
    assert answer.source_ids == (f"{NEW}:{sent['message_id']}",)


async def test_a_migration_that_is_first_seen_when_an_answer_is_refused_moves_the_session(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    async with polling(telegram, answering(store, begun, go)):
        telegram.say(OLD, "hello")
        await asyncio.wait_for(begun.wait(), PATIENCE)
        telegram.open_chat(NEW)
        telegram.open_chat(OLD).migrated_to = NEW  # and the bot is not told of it
        go.set()
        await telegram.wait_sent(NEW, 1)
    assert await keys(store) == [f"telegram:{NEW}"]
    assert await said(store, f"telegram:{OLD}") == ["user: hello", "assistant: to hello"]
