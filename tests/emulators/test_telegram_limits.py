"""Rate limits, blocks and old updates on the emulated Telegram, checked by aiogram."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest
from aiogram.exceptions import TelegramForbiddenError, TelegramRetryAfter
from aiogram.types import BufferedInputFile, InputMediaPhoto

from emulators.telegram import TelegramEmulator
from emulators.telegram_limits import PER_GROUP
from emulators.test_telegram_emulator import connected, refused

pytestmark = pytest.mark.asyncio

ADA, BOB = 7, 8
GROUP = -1001234567890


async def retry_after(call: Awaitable[object]) -> int:
    """Return the seconds that a 429 names."""
    with pytest.raises(TelegramRetryAfter) as caught:
        await call
    return caught.value.retry_after


async def test_limits_are_off_until_a_test_asks_for_them() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.clock.stop()
        telegram.open_chat(ADA)
        for number in range(3):
            await bot.send_message(ADA, str(number))
        telegram.limit_rates()
        await bot.send_message(ADA, "one")
        assert await retry_after(bot.send_message(ADA, "two")) == 1


async def test_a_chat_takes_one_message_a_second_and_edits_count() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.clock.stop()
        telegram.limit_rates()
        telegram.open_chat(ADA)
        telegram.open_chat(BOB)
        sent = await bot.send_message(ADA, "one")
        edit = bot.edit_message_text("1", chat_id=ADA, message_id=sent.message_id)
        assert await retry_after(edit) == 1
        await bot.send_message(BOB, "another chat")
        await bot.send_chat_action(ADA, "typing")
        await bot.send_message_draft(ADA, 1, text="free")
        telegram.clock.advance(1)
        await bot.edit_message_text("1", chat_id=ADA, message_id=sent.message_id)


async def test_a_group_takes_20_messages_a_minute() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.clock.stop()
        telegram.limit_rates(chat=None, group=PER_GROUP)
        telegram.open_chat(GROUP)
        for number in range(20):
            await bot.send_message(GROUP, str(number))
        assert await retry_after(bot.send_message(GROUP, "too much")) == 60
        telegram.clock.advance(60)
        photos = [InputMediaPhoto(media=BufferedInputFile(b"jpeg", "a.jpg"))] * 2
        for _ in range(10):
            await bot.send_media_group(GROUP, photos)  # type: ignore[arg-type]
        await retry_after(bot.send_message(GROUP, "an album counts by its parts"))


async def test_a_flood_is_waited_out_and_each_answer_names_what_is_left() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.clock.stop()
        telegram.open_chat(ADA)
        telegram.open_chat(BOB)
        telegram.flood(43_838, ADA)
        assert await retry_after(bot.send_message(ADA, "x")) == 43_838
        telegram.clock.advance(43_000)
        assert await retry_after(bot.send_message(ADA, "x")) == 838
        await bot.send_message(BOB, "another chat")
        telegram.flood(5)
        assert await retry_after(bot.send_message(BOB, "x")) == 5
        telegram.clock.advance(838)
        await bot.send_message(ADA, "at last")


async def test_a_user_who_blocked_the_bot_gets_nothing_new() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.say(ADA, "hello")
        sent = await bot.send_message(ADA, "answ")
        telegram.block(ADA)
        change = (await bot.get_updates())[-1].my_chat_member
        assert change is not None
        assert (change.new_chat_member.status, change.from_user.id) == ("kicked", ADA)
        for call in (
            bot.send_message(ADA, "x"),
            bot.send_message_draft(ADA, 1, text="x"),
            bot.send_chat_action(ADA, "typing"),
        ):
            words = await refused(call, TelegramForbiddenError)
            assert "Forbidden: bot was blocked by the user" in words
        await bot.edit_message_text("answer", chat_id=ADA, message_id=sent.message_id)
        telegram.let_in(ADA)
        await bot.send_message(ADA, "welcome back")


async def test_a_group_that_removed_the_bot_is_out_of_its_reach() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.say(GROUP, "hello")
        sent = await bot.send_message(GROUP, "answ")
        telegram.kick(GROUP)
        words = "Forbidden: bot was kicked from the supergroup chat"
        assert words in await refused(bot.send_message(GROUP, "x"), TelegramForbiddenError)
        edit = bot.edit_message_text("x", chat_id=GROUP, message_id=sent.message_id)
        assert words in await refused(edit, TelegramForbiddenError)


async def test_an_administrator_deletes_what_others_wrote() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        said = telegram.say(GROUP, "spam")["message"]["message_id"]
        assert "message can't be deleted" in await refused(bot.delete_message(GROUP, said))
        telegram.promote(GROUP, "can_delete_messages")
        await bot.delete_message(GROUP, said)


async def test_an_update_waits_for_a_day_and_no_longer() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.say(ADA, "old")
        telegram.clock.advance(23 * 3600)
        young = telegram.say(ADA, "young")
        telegram.clock.advance(2 * 3600)
        served = await bot.get_updates()
        assert [update.update_id for update in served] == [young["update_id"]]
        assert served[0].message is not None
        assert served[0].message.date.timestamp() == young["message"]["date"]
