"""What is easily missed on Telegram, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiogram import Dispatcher, F
from aiogram.types import CallbackQuery, Message

from adapters.test_aiogram_platform_places import both_polling
from adapters.tools import all_turns, keys, polling, said
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware, per_account

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open", "log_of_aiogram")]

ADA = 7
OLD = -5
GROUP = -1001234567890
OWN = f"telegram:{ADA}"
SHOP = f"{OWN}:business:shop"


async def ended(caplog: pytest.LogCaptureFixture, telegram: TelegramEmulator, count: int) -> None:
    """Until aiogram is done with so many updates."""
    await telegram.wait_for(lambda: caplog.text.count("handled. Duration") >= count)


async def nothing(message: Message) -> None:
    """A handler that takes a message."""


def recording(store: SessionStore, scope: object = "chat_topic") -> Dispatcher:
    dispatcher = Dispatcher()
    SessionMiddleware(store, scope=scope).setup(dispatcher)  # type: ignore[arg-type]
    dispatcher.business_message.register(nothing)
    return dispatcher


# A business chat has the ids of its account, which are those of the bot's own chat too.


async def test_an_edit_reaches_the_business_chat_it_was_made_in(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    async with polling(telegram, recording(store)):
        shop = telegram.say(ADA, "to the shop", business_connection_id="shop")
        await ended(caplog, telegram, 1)
        telegram.say(ADA, "to the bot")
        await ended(caplog, telegram, 2)
        telegram.edit(shop, "to the shop, edited")
        await ended(caplog, telegram, 3)
    assert await said(store, SHOP) == ["user: to the shop, edited"]
    assert await said(store, OWN) == ["user: to the bot"]


async def test_a_deletion_in_a_business_chat_leaves_the_bots_own_chat_alone(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    async with polling(telegram, recording(store)):
        shop = telegram.say(ADA, "to the shop", business_connection_id="shop")
        await ended(caplog, telegram, 1)
        telegram.say(ADA, "to the bot")
        await ended(caplog, telegram, 2)
        telegram.delete(shop)
        await ended(caplog, telegram, 3)
    assert await said(store, SHOP) == []
    assert await said(store, OWN) == ["user: to the bot"]


async def test_after_a_restart_a_deletion_in_a_business_chat_leaves_the_bots_own_chat_alone(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    async with polling(telegram, recording(store, "user_in_chat")):
        shop = telegram.say(ADA, "to the shop", business_connection_id="shop")
        telegram.say(ADA, "to the bot")
        await ended(caplog, telegram, 2)
    async with polling(telegram, recording(store, "user_in_chat")):
        telegram.delete(shop)
        await ended(caplog, telegram, 3)
    assert await said(store, f"{SHOP}:user:{ADA}") == []
    assert await said(store, f"{OWN}:user:{ADA}") == ["user: to the bot"]


async def test_after_a_restart_what_is_deleted_leaves_no_copy_in_its_users_session(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    async with polling(telegram, recording(store, "global_user")):
        shop = telegram.say(ADA, "to the shop", business_connection_id="shop")
        await ended(caplog, telegram, 1)
    async with polling(telegram, recording(store, "global_user")):
        telegram.delete(shop)
        await ended(caplog, telegram, 2)
    assert await said(store, f"telegram:business:shop:user:{ADA}") == []


async def test_an_edit_reaches_the_bot_to_which_it_was_said(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = recording(store, per_account())
    async with TelegramEmulator("43:TEST") as other, both_polling(dispatcher, telegram, other):
        message = telegram.say(ADA, "to 42")
        await ended(caplog, telegram, 1)
        other.say(ADA, "to 43")
        await ended(caplog, telegram, 2)
        telegram.edit(message, "to 42, edited")
        await ended(caplog, telegram, 3)
    assert await said(store, f"{OWN}:account:42") == ["user: to 42, edited"]
    assert await said(store, f"{OWN}:account:43") == ["user: to 43"]


# Buttons.


async def test_a_press_that_is_delivered_again_is_answered_once(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = recording(store)

    @dispatcher.callback_query()
    async def pressed(query: CallbackQuery, chat_session: ChatSession) -> None:
        await chat_session.answer("Tea it is.")

    async with polling(telegram, dispatcher):
        press = telegram.press(telegram.say(ADA, "Tea?"), "y", user_id=ADA)
        await ended(caplog, telegram, 2)
        telegram.redeliver(press)
        await ended(caplog, telegram, 3)
    assert len(telegram.sent(ADA)) == 1


async def test_a_button_of_a_message_that_is_gone_is_recorded(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = recording(store)

    @dispatcher.callback_query()
    async def pressed(query: CallbackQuery, chat_session: ChatSession) -> None:
        await query.answer()

    async with polling(telegram, dispatcher):
        message = telegram.say(ADA, "Tea?")["message"]
        await ended(caplog, telegram, 1)
        gone = {"chat": message["chat"], "message_id": message["message_id"], "date": 0}
        query = {"id": "1", "from": message["from"], "chat_instance": "7", "data": "y"}
        telegram.push({"callback_query": query | {"message": gone}})
        await ended(caplog, telegram, 2)
    assert await said(store, OWN) == ["user: Tea?", "user: [button: y]"]


# Flags.


async def test_the_flag_record_takes_a_message_that_is_not_said_to_the_bot(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, record="addressed").setup(dispatcher)
    dispatcher.message.register(nothing, flags={"turnkeep": {"record": True}})
    async with polling(telegram, dispatcher):
        telegram.say(GROUP, "to all")
        await ended(caplog, telegram, 1)
    assert await said(store, f"telegram:{GROUP}") == ["user: to all"]


# A group becomes a supergroup.


async def test_an_answer_that_has_begun_in_the_group_ends_in_the_supergroup(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    migrated = asyncio.Event()

    async def words() -> AsyncIterator[str]:
        yield "half"
        await migrated.wait()
        yield " and whole"

    dispatcher = recording(store)

    @dispatcher.message(F.text)
    async def answer(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(words())

    async with polling(telegram, dispatcher):
        telegram.say(OLD, "hello")
        await telegram.wait_sent(OLD, 1)
        telegram.migrate(OLD, GROUP)
        await ended(caplog, telegram, 2)
        migrated.set()
        await ended(caplog, telegram, 3)
    assert [message["text"] for message in telegram.sent(GROUP)] == ["half and whole"]
    assert await said(store, f"telegram:{GROUP}") == ["user: hello", "assistant: half and whole"]


async def test_what_was_said_right_before_the_migration_moves_along(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    async with polling(telegram, recording(store, "user_in_chat")):
        telegram.say(OLD, "right before", user_id=42)
        telegram.migrate(OLD, GROUP)
        await ended(caplog, telegram, 3)
    assert await keys(store) == [f"telegram:{GROUP}:user:42"]


async def test_an_answer_in_flight_in_the_supergroup_is_kept_when_the_groups_history_joins(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    dispatcher = recording(store)

    @dispatcher.message(F.text == "early")
    async def answer(message: Message, chat_session: ChatSession) -> None:
        async with chat_session.reply() as reply:
            begun.set()
            await go.wait()
            reply.add_text("to early")

    async with polling(telegram, dispatcher):
        telegram.say(OLD, "before")
        await ended(caplog, telegram, 1)
        telegram.say(GROUP, "early")
        await asyncio.wait_for(begun.wait(), PATIENCE)
        telegram.migrate(OLD, GROUP)
        await ended(caplog, telegram, 3)
        go.set()
        await ended(caplog, telegram, 4)
    turns = await all_turns(store, f"telegram:{GROUP}")
    assert [turn.content for turn in turns] == ["before", "early", "to early"]
    assert turns[2].answers == turns[1].id
