"""What the Telegram emulator makes of queries, businesses and channels, checked by aiogram."""

from __future__ import annotations

import pytest
from aiogram import Dispatcher
from aiogram.methods import SendMessage
from aiogram.types import InlineQueryResultArticle, InputTextMessageContent, Message
from aiogram.webhook.aiohttp_server import SimpleRequestHandler

from emulators.telegram import TelegramEmulator
from emulators.test_telegram_emulator import connected, refused, webhook

pytestmark = pytest.mark.asyncio

CHANNEL = -1009999999999
DIRECT = -1001234567890
ARTICLE = InlineQueryResultArticle(
    id="1", title="A cat", input_message_content=InputTextMessageContent(message_text="Meow.")
)


async def test_an_inline_query_can_be_answered_once() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.ask_inline("cats", user_id=7)
        (update,) = await bot.get_updates()
        assert update.inline_query is not None
        assert (update.inline_query.query, update.inline_query.from_user.id) == ("cats", 7)
        await bot.answer_inline_query(update.inline_query.id, [ARTICLE])
        assert telegram.bot.answers[update.inline_query.id][0]["title"] == "A cat"
        again = bot.answer_inline_query(update.inline_query.id, [ARTICLE])
        assert "query is too old" in await refused(again)


async def test_a_guest_message_can_be_answered_and_its_chat_cannot_be_written_to() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.summon(DIRECT, "@emulated_bot, cats?")
        (update,) = await bot.get_updates()
        message = update.guest_message
        assert message is not None
        sent = await bot(message.answer_guest_query(ARTICLE))
        assert sent.inline_message_id.startswith("guest-")
        assert "chat not found" in await refused(bot.send_message(DIRECT, "Meow."))


async def test_a_business_connection_is_told_of_and_can_be_looked_up() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.connect("b1")
        (update,) = await bot.get_updates()
        assert update.business_connection is not None
        assert await bot.get_business_connection("b1") == update.business_connection
        unknown = bot.send_message(7, "hello", business_connection_id="b2")
        assert "business connection not found" in await refused(unknown)


async def test_a_direct_messages_chat_wants_to_know_the_topic() -> None:
    topic = {"topic_id": 5, "user": {"id": 7, "is_bot": False, "first_name": "Ada"}}
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.say(DIRECT, "to the channel", user_id=7, direct_messages_topic=topic)
        (update,) = await bot.get_updates()
        assert update.message is not None
        assert update.message.chat.is_direct_messages
        assert "topic not found" in await refused(bot.send_message(DIRECT, "to whom?"))
        sent = await bot.send_message(DIRECT, "to you", direct_messages_topic_id=5)
        assert sent.direct_messages_topic == update.message.direct_messages_topic


async def test_what_a_bot_posts_in_a_channel_is_the_channels() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(CHANNEL, "channel")
        sent = await bot.send_message(CHANNEL, "news")
        assert sent.from_user is None
        assert sent.sender_chat is not None
        assert sent.sender_chat.id == CHANNEL


async def test_what_a_webhook_answers_with_is_told_apart_from_what_is_called() -> None:
    dispatcher = Dispatcher()

    @dispatcher.message()
    async def answer(message: Message) -> SendMessage | None:
        if message.text == "return":
            return message.answer("returned")
        await message.answer("called")
        return None

    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        handler = SimpleRequestHandler(dispatcher, bot, handle_in_background=False)
        async with webhook(telegram, handler.handle) as url:
            await bot.set_webhook(url)
            telegram.say(7, "call")
            telegram.say(7, "return")
            await telegram.wait_sent(7, 2)
            assert telegram.updates.replies == ["sendMessage"]
            await bot.delete_webhook()
