"""Topics on the emulated Telegram, checked by aiogram."""

from __future__ import annotations

import pytest
from aiogram import Bot

from emulators.telegram import TelegramEmulator
from emulators.test_telegram_emulator import connected, refused

pytestmark = pytest.mark.asyncio

ADA = 7
FORUM = -1001234567890


async def opened(telegram: TelegramEmulator, bot: Bot, name: str = "Plans") -> int:
    """Return the id of a topic that the bot opens as an administrator."""
    telegram.say(FORUM, "hello", thread_id=900)
    telegram.promote(FORUM, "can_manage_topics")
    return (await bot.create_forum_topic(FORUM, name)).message_thread_id


async def test_a_bot_that_may_opens_a_topic_and_is_told_of_it() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.say(FORUM, "hello", thread_id=900)
        create = bot.create_forum_topic(FORUM, "Plans")
        assert "not enough rights to create a topic" in await refused(create)
        telegram.promote(FORUM, "can_manage_topics")
        topic = await bot.create_forum_topic(FORUM, "Plans")
        message = (await bot.get_updates())[-1].message
        assert message is not None
        assert message.from_user is not None
        assert message.forum_topic_created is not None
        assert (message.message_id, message.message_thread_id) == (topic.message_thread_id,) * 2
        assert (message.from_user.id, message.forum_topic_created.name) == (bot.id, "Plans")


async def test_messages_in_a_topic_of_the_bot_are_replies_to_what_the_bot_opened_it_with() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        thread_id = await opened(telegram, bot)
        telegram.say(FORUM, "so?", thread_id=thread_id)
        message = (await bot.get_updates())[-1].message
        assert message is not None
        opener = message.reply_to_message
        assert opener is not None
        assert opener.from_user is not None
        assert (opener.message_id, opener.from_user.id) == (thread_id, bot.id)
        assert opener.forum_topic_created is not None


async def test_a_closed_topic_takes_messages_of_who_opened_it_or_manages_topics_alone() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        theirs = telegram.open_topic(FORUM, "Help")["message"]["message_id"]
        telegram.close_topic(FORUM, theirs)
        send = bot.send_message(FORUM, "x", message_thread_id=theirs)
        assert "TOPIC_CLOSED" in await refused(send)
        telegram.promote(FORUM, "can_manage_topics")
        await bot.send_message(FORUM, "x", message_thread_id=theirs)
        own = (await bot.create_forum_topic(FORUM, "Own")).message_thread_id
        await bot.close_forum_topic(FORUM, own)
        telegram.promote(FORUM)
        await bot.send_message(FORUM, "y", message_thread_id=own)
        with pytest.raises(ValueError, match="is closed"):
            telegram.say(FORUM, "z", thread_id=own)


async def test_a_reply_into_a_closed_topic_is_refused_and_an_edit_there_is_not() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        said = telegram.say(FORUM, "question", thread_id=900)["message"]
        sent = await bot.send_message(FORUM, "answ", message_thread_id=900)
        telegram.close_topic(FORUM, 900)
        reply = bot.send_message(FORUM, "x", reply_to_message_id=said["message_id"])
        assert "TOPIC_CLOSED" in await refused(reply)
        await bot.edit_message_text("answer", chat_id=FORUM, message_id=sent.message_id)
        telegram.close_topic(FORUM, 900, closed=False)
        await bot.send_message(FORUM, "more", message_thread_id=900)


async def test_a_deleted_topic_is_gone_with_its_messages_and_the_bot_is_not_told() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.say(FORUM, "question", thread_id=900)
        sent = await bot.send_message(FORUM, "answer", message_thread_id=900)
        elsewhere = await bot.send_message(FORUM, "in the General topic")
        count = telegram.pending()
        telegram.delete_topic(FORUM, 900)
        assert telegram.pending() == count
        send = bot.send_message(FORUM, "x", message_thread_id=900)
        assert "message thread not found" in await refused(send)
        edit = bot.edit_message_text("x", chat_id=FORUM, message_id=sent.message_id)
        assert "message to edit not found" in await refused(edit)
        assert [one["message_id"] for one in telegram.sent(FORUM)] == [elsewhere.message_id]
        with pytest.raises(ValueError, match="opened no topic"):
            telegram.say(FORUM, "ghost", thread_id=900)


async def test_a_bot_renames_closes_reopens_and_deletes_topics_and_reads_of_it() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        thread_id = await opened(telegram, bot)
        await bot.edit_forum_topic(FORUM, thread_id, name="Ideas")
        await bot.close_forum_topic(FORUM, thread_id)
        assert "TOPIC_NOT_MODIFIED" in await refused(bot.close_forum_topic(FORUM, thread_id))
        await bot.reopen_forum_topic(FORUM, thread_id)
        told = [update.message for update in (await bot.get_updates())[-3:]]
        assert [message and message.content_type for message in told] == [
            "forum_topic_edited",
            "forum_topic_closed",
            "forum_topic_reopened",
        ]
        delete = bot.delete_forum_topic(FORUM, thread_id)
        assert "not enough rights" in await refused(delete)
        telegram.promote(FORUM, "can_delete_messages")
        await bot.delete_forum_topic(FORUM, thread_id)
        close = bot.close_forum_topic(FORUM, thread_id)
        assert "TOPIC_ID_INVALID" in await refused(close)


async def test_the_general_topic_is_written_to_without_an_id_and_can_be_closed() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        await opened(telegram, bot)
        await bot.close_general_forum_topic(FORUM)
        await bot.send_message(FORUM, "an administrator may")
        telegram.promote(FORUM)
        assert "TOPIC_CLOSED" in await refused(bot.send_message(FORUM, "x"))
        by_id = bot.send_message(FORUM, "x", message_thread_id=1)
        assert "message thread not found" in await refused(by_id)
        telegram.promote(FORUM, "can_manage_topics")
        await bot.reopen_general_forum_topic(FORUM)
        telegram.promote(FORUM)
        await bot.send_message(FORUM, "again")


async def test_the_general_topic_is_renamed_and_hidden_which_closes_it() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        await opened(telegram, bot)
        await bot.edit_general_forum_topic(FORUM, "Lobby")
        await bot.hide_general_forum_topic(FORUM)
        await bot.unhide_general_forum_topic(FORUM)
        again = bot.unhide_general_forum_topic(FORUM)
        assert "TOPIC_NOT_MODIFIED" in await refused(again)
        told = [update.message for update in (await bot.get_updates())[-3:]]
        assert [message and message.content_type for message in told] == [
            "forum_topic_edited",
            "general_forum_topic_hidden",
            "general_forum_topic_unhidden",
        ]
        telegram.promote(FORUM)
        assert "TOPIC_CLOSED" in await refused(bot.send_message(FORUM, "x"))


async def test_only_forums_and_private_chats_have_topics() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(FORUM)
        telegram.open_chat(ADA)
        create = bot.create_forum_topic(FORUM, "x")
        assert "the chat is not a forum" in await refused(create)
        topic = await bot.create_forum_topic(ADA, "Recipes")
        sent = await bot.send_message(ADA, "soup", message_thread_id=topic.message_thread_id)
        assert (sent.message_thread_id, sent.is_topic_message) == (topic.message_thread_id, True)
        await bot.delete_forum_topic(ADA, topic.message_thread_id)
        assert telegram.sent(ADA) == []
        assert "title must be non-empty" in await refused(bot.create_forum_topic(ADA, " "))
