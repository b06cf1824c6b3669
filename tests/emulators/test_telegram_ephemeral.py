"""Ephemeral messages and drafts on the emulated Telegram, checked by aiogram."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    Message,
)
from aiogram.types import EphemeralMessageParameters as Ephemeral
from aiogram.types import ReplyParameters as Reply

from emulators.telegram import TelegramEmulator
from emulators.test_telegram_emulator import connected, polling, refused

pytestmark = pytest.mark.asyncio

ADA, BOB = 1001, 1002
GROUP = -1001234567890
SECRET = [BotCommand(command="secret", description="Ask in private", is_ephemeral=True)]
BUTTON = InlineKeyboardMarkup(
    inline_keyboard=[[InlineKeyboardButton(text="More", callback_data="more")]]
)


async def whispered(telegram: TelegramEmulator, bot: Bot, text: str = "/secret why?") -> Message:
    """Return an ephemeral command of Ada's, as the bot reads it."""
    await bot.set_my_commands(SECRET)
    telegram.whisper(GROUP, text, user_id=ADA)
    message = (await bot.get_updates())[-1].message
    assert message is not None
    return message


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages]


async def test_an_ephemeral_message_comes_from_a_group_with_message_id_0() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        first = await whispered(telegram, bot)
        second = await whispered(telegram, bot)
        assert (first.message_id, second.message_id, first.chat.id) == (0, 0, GROUP)
        assert first.ephemeral_message_id != second.ephemeral_message_id
        assert first.receiver_user is not None
        assert first.receiver_user.id == bot.id
        with pytest.raises(LookupError, match="setMyCommands"):
            telegram.whisper(GROUP, "/public")


async def test_an_ephemeral_reply_is_seen_by_the_one_who_asked_alone() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        asked = await whispered(telegram, bot)
        sent = await asked.reply("because")  # aiogram adds the parameters
        assert (sent.message_id, sent.ephemeral_message_id is not None) == (0, True)
        assert sent.receiver_user is not None
        assert sent.receiver_user.id == ADA
        assert texts(telegram.whispers(GROUP, ADA)) == ["because"]
        assert (telegram.whispers(GROUP, BOB), telegram.sent(GROUP)) == ([], [])
        telegram.whisper(GROUP, "and then?", user_id=ADA, reply_to=sent.ephemeral_message_id or 0)
        again = (await bot.get_updates())[-1].message
        assert again is not None
        assert again.reply_to_message is not None


async def test_an_answer_without_parameters_is_public_and_cannot_be_a_reply() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        asked = await whispered(telegram, bot)
        await asked.answer("for all to read")
        assert texts(telegram.sent(GROUP)) == ["for all to read"]
        reply = Reply(ephemeral_message_id=asked.ephemeral_message_id)
        send = bot.send_message(GROUP, "x", reply_parameters=reply)
        assert "message to be replied not found" in await refused(send)


async def test_one_who_is_no_administrator_answers_within_15_seconds_or_not_at_all() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        asked = await whispered(telegram, bot)
        to_ada = Ephemeral(receiver_user_id=ADA)
        unasked = bot.send_message(GROUP, "x", ephemeral_message_parameters=to_ada)
        assert "MESSAGE_NOT_COMMAND" in await refused(unasked)
        telegram.clock.advance(16)
        assert "message to be replied not found" in await refused(asked.reply("x"))
        telegram.promote(GROUP)
        await bot.send_message(GROUP, "at any time", ephemeral_message_parameters=to_ada)
        assert texts(telegram.whispers(GROUP, ADA)) == ["at any time"]


async def test_a_pressed_button_is_answered_by_an_ephemeral_message_within_15_seconds() -> None:
    dispatcher = Dispatcher()

    @dispatcher.callback_query()
    async def pressed(query: CallbackQuery) -> None:
        if query.data == "late":
            telegram.clock.advance(16)
        to = Ephemeral(receiver_user_id=query.from_user.id, callback_query_id=query.id)
        await query.bot.send_message(GROUP, "hush", ephemeral_message_parameters=to)  # type: ignore[union-attr]

    async with TelegramEmulator() as telegram, polling(telegram, dispatcher) as bot:
        telegram.say(GROUP, "hello")
        question = await bot.send_message(GROUP, "well?", reply_markup=BUTTON)
        raw = {"chat": {"id": GROUP}, "message_id": question.message_id}
        telegram.press(raw, "more", user_id=BOB)
        await telegram.wait_for(lambda: telegram.whispers(GROUP, BOB))
        telegram.press(raw, "late", user_id=BOB)
        await telegram.wait_for(lambda: telegram.called("sendMessage")[-1].error)
        assert len(telegram.whispers(GROUP, BOB)) == 1


async def test_an_ephemeral_message_is_changed_by_methods_of_its_own() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        asked = await whispered(telegram, bot)
        sent = await asked.reply("…", reply_markup=BUTTON)
        edit = bot.edit_message_text("x", chat_id=GROUP, message_id=sent.message_id)
        assert "message to edit not found" in await refused(edit)
        delete = bot.delete_message(GROUP, sent.message_id)
        assert "message to delete not found" in await refused(delete)
        assert sent.ephemeral_message_id is not None
        named: dict[str, Any] = {
            "chat_id": GROUP,
            "receiver_user_id": ADA,
            "ephemeral_message_id": sent.ephemeral_message_id,
        }
        await bot.edit_ephemeral_message_text(text="because", **named)
        assert texts(telegram.whispers(GROUP, ADA)) == ["because"]
        other = bot.edit_ephemeral_message_text(text="x", **named | {"receiver_user_id": BOB})
        assert "message to edit not found" in await refused(other)
        same = bot.edit_ephemeral_message_text(text="because", **named)
        assert "not modified" in await refused(same)
        await bot.edit_ephemeral_message_reply_markup(**named, reply_markup=BUTTON)
        telegram.press(telegram.whispers(GROUP, ADA)[0], "more", user_id=ADA)
        query = (await bot.get_updates())[-1].callback_query
        assert query is not None
        assert isinstance(query.message, Message)
        assert query.message.ephemeral_message_id == sent.ephemeral_message_id
        await bot.delete_ephemeral_message(**named)
        assert telegram.whispers(GROUP, ADA) == []


async def test_media_can_be_ephemeral_and_albums_are_public() -> None:
    photo = BufferedInputFile(b"jpeg", "a.jpg")
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        asked = await whispered(telegram, bot)
        sent = await asked.reply_photo(photo, caption="1")
        assert sent.ephemeral_message_id is not None
        named: dict[str, Any] = {
            "chat_id": GROUP,
            "receiver_user_id": ADA,
            "ephemeral_message_id": sent.ephemeral_message_id,
        }
        await bot.edit_ephemeral_message_caption(**named, caption="2")
        await bot.edit_ephemeral_message_media(
            media=InputMediaPhoto(media=photo, caption="3"), **named
        )
        assert [one["caption"] for one in telegram.whispers(GROUP, ADA)] == ["3"]
        await asked.answer_media_group([InputMediaPhoto(media=photo)])
        assert len(telegram.sent(GROUP)) == 1


async def test_an_ephemeral_message_stands_in_a_topic_and_ends_with_it() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.say(GROUP, "hello", thread_id=900)
        telegram.promote(GROUP)
        to_ada = Ephemeral(receiver_user_id=ADA)
        sent = await bot.send_message(
            GROUP, "x", message_thread_id=900, ephemeral_message_parameters=to_ada
        )
        assert (sent.message_thread_id, sent.is_topic_message) == (900, True)
        telegram.delete_topic(GROUP, 900)
        assert telegram.whispers(GROUP, ADA) == []
        again = bot.send_message(
            GROUP, "x", message_thread_id=900, ephemeral_message_parameters=to_ada
        )
        assert "message thread not found" in await refused(again)


async def test_ephemeral_messages_are_for_groups_alone() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        to_ada = Ephemeral(receiver_user_id=ADA)
        send = bot.send_message(ADA, "x", ephemeral_message_parameters=to_ada)
        assert "CHAT_TYPE_INVALID" in await refused(send)


async def test_a_draft_lives_30_seconds_unless_it_is_renewed() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        await bot.send_message_draft(ADA, 1, text="")
        telegram.clock.advance(20)
        await bot.send_message_draft(ADA, 1, text="thin")
        telegram.clock.advance(20)
        assert telegram.drafts == {(ADA, 1): "thin"}
        telegram.clock.advance(11)
        assert telegram.drafts == {}


async def test_a_user_stops_a_draft_that_allows_it() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        await bot.get_updates(allowed_updates=["stopped_message_generation"])
        await bot.send_message_draft(ADA, 1, text="kept", can_stop=True, keep_on_stop=True)
        await bot.send_message_draft(ADA, 2, text="gone", can_stop=True)
        await bot.send_message_draft(ADA, 3, text="unstoppable")
        with pytest.raises(LookupError, match="no button"):
            telegram.stop_draft(ADA, 3)
        for draft_id in (1, 2):
            telegram.stop_draft(ADA, draft_id)
        stopped = [update.stopped_message_generation for update in await bot.get_updates()]
        assert [(one.chat.id, one.draft_id) for one in stopped if one] == [(ADA, 1), (ADA, 2)]
        assert set(telegram.drafts.values()) == {"kept", "unstoppable"}
