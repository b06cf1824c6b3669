"""What comes at the same time on Telegram, or twice, or from several bots, is told apart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, Router
from aiogram.client.telegram import TelegramAPIServer
from aiogram.dispatcher.event.bases import SkipHandler
from aiogram.filters import Command
from aiogram.fsm.storage.memory import SimpleEventIsolation
from aiogram.types import Message, User

from adapters.tools import QuickSession, all_turns, feed, keys, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore, TurnkeepError
from turnkeep.adapter import ChatSession
from turnkeep.storage.memory import MemoryStorage
from turnkeep_aiogram import SessionMiddleware, per_account, privacy_router

pytestmark = pytest.mark.asyncio

GROUP = -1001
ADA = {"id": 7, "is_bot": False, "first_name": "Ada"}
CHAT = {"id": 7, "type": "private", "first_name": "Ada"}
COMMAND = {"type": "bot_command", "offset": 0}


def bot_on(telegram: TelegramEmulator, token: str | None = None) -> Bot:
    session = QuickSession(api=TelegramAPIServer.from_base(telegram.url))
    return Bot(token or telegram.token, session=session)


def update(number: int, kind: str, text: str, **fields: Any) -> dict[str, Any]:
    """Ada's message 5 in the private chat, as any of her bots might be told of it."""
    message = {"message_id": 5, "date": 1, "chat": CHAT, "from": ADA, "text": text}
    return {"update_id": number, kind: message | fields}


def run(dispatcher: Dispatcher, bot: Bot, **options: Any) -> asyncio.Task[None]:
    polls = dispatcher.start_polling(bot, handle_signals=False, close_bot_session=False, **options)
    return asyncio.create_task(polls)


async def test_a_bot_that_skips_old_updates_at_its_start_polls(telegram: TelegramEmulator) -> None:
    dispatcher, heard = Dispatcher(), list[str | None]()
    SessionMiddleware(SessionStore("memory:")).setup(dispatcher)

    @dispatcher.startup()
    async def skip(bot: Bot) -> None:
        for old in await bot.get_updates(offset=-1):
            await bot.get_updates(offset=old.update_id + 1, timeout=0)

    @dispatcher.message()
    async def handle(message: Message) -> None:
        heard.append(message.text)

    telegram.say(7, "old")
    async with polling(telegram, dispatcher):
        await telegram.wait_for(lambda: telegram.pending() == 0)
        telegram.say(7, "new")
        await telegram.wait_for(lambda: heard)
    assert heard == ["new"]


async def test_polling_that_begins_again_is_held_up_by_no_handler_of_before(
    telegram: TelegramEmulator,
) -> None:
    dispatcher, heard, go_on = Dispatcher(), list[str | None](), asyncio.Event()
    SessionMiddleware(SessionStore("memory:"), drain_timeout=0.1).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message) -> None:
        heard.append(message.text)
        if message.text == "a":
            await go_on.wait()

    async with bot_on(telegram) as bot:
        task = run(dispatcher, bot, handle_as_tasks=False)
        await telegram.wait_for(lambda: telegram.polling)
        for text in ("a", "b"):
            telegram.say(7, text)
        await telegram.wait_for(lambda: heard)
        await dispatcher.stop_polling()
        await task
        go_on.set()
        task = run(dispatcher, bot, handle_as_tasks=False)
        await telegram.wait_for(lambda: heard[-1] == "b")
        await dispatcher.stop_polling()
        await task


async def test_bots_that_share_a_session_of_aiohttp_poll_each_by_itself(
    telegram: TelegramEmulator,
) -> None:
    first, second, heard = Dispatcher(), Dispatcher(), list[str | None]()
    for dispatcher in (first, second):
        SessionMiddleware(SessionStore("memory:")).setup(dispatcher)

    @first.message()
    async def handle(message: Message) -> None:
        heard.append(message.text)

    async with bot_on(telegram) as bot:
        other = Bot("43:OTHER", session=bot.session)
        other._me = User(id=43, is_bot=True, first_name="Other", username="other_bot")
        await second.emit_startup(bot=other, bots=(other,))
        task = run(first, bot)
        await telegram.wait_for(lambda: telegram.polling)
        for count, text in enumerate(("a", "b"), 1):
            telegram.say(7, text)
            await telegram.wait_for(lambda count=count: len(heard) == count)  # type: ignore[misc]
        await first.stop_polling()
        await task
        await second.emit_shutdown(bot=other, bots=(other,))
    assert heard == ["a", "b"]


async def test_an_edit_that_waits_for_a_handler_holds_up_no_other_chat(
    telegram: TelegramEmulator,
) -> None:
    dispatcher = Dispatcher(events_isolation=SimpleEventIsolation())
    heard, go_on = list[str | None](), asyncio.Event()
    SessionMiddleware(SessionStore("memory:"), record="handled").setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message) -> None:
        heard.append(message.text)
        if message.text == "slow":
            await go_on.wait()
        elif message.text == "stop":
            go_on.set()

    async with polling(telegram, dispatcher):
        slow = telegram.say(7, "slow")
        await telegram.wait_for(lambda: heard)
        telegram.say(7, "second")
        telegram.edit(slow, "slow!")
        telegram.say(8, "stop")
        await telegram.wait_for(lambda: "second" in heard)
    assert heard == ["slow", "stop", "second"]


async def test_an_edit_that_one_bot_is_told_of_changes_nothing_of_another_bots() -> None:
    dispatcher, store = Dispatcher(), SessionStore("memory:")
    SessionMiddleware(store, scope=per_account()).setup(dispatcher)
    dispatcher.message.register(lambda message: None, Command("login"))
    first, second = Bot("42:TEST"), Bot("43:TEST")
    command = [COMMAND | {"length": 6}]
    await dispatcher.feed_raw_update(first, update(1, "message", "to the first"))
    login = update(1, "message", "/login a", entities=command)
    await dispatcher.feed_raw_update(second, login)
    edited = update(2, "edited_message", "/login b", edit_date=2, entities=command)
    await dispatcher.feed_raw_update(second, edited)
    assert await said(store, "telegram:7:account:42") == ["user: to the first"]
    assert await keys(store) == ["telegram:7:account:42"]


async def test_an_edit_in_a_business_chat_changes_nothing_of_the_bots_own_chat() -> None:
    dispatcher, store = Dispatcher(), SessionStore("memory:")
    SessionMiddleware(store).setup(dispatcher)
    of_business = {"edit_date": 2, "business_connection_id": "b"}
    await dispatcher.feed_raw_update(Bot("42:TEST"), update(1, "message", "to the bot"))
    edited = update(2, "edited_business_message", "to the owner", **of_business)
    await dispatcher.feed_raw_update(Bot("42:TEST"), edited)
    assert await said(store, "telegram:7") == ["user: to the bot"]


async def test_what_one_bot_sends_is_recorded_with_no_other_bots() -> None:
    dispatcher, store = Dispatcher(), SessionStore("memory:")
    middleware = SessionMiddleware(store, scope=per_account()).setup(dispatcher)
    heard = update(1, "message", "hello")
    await dispatcher.feed_raw_update(Bot("42:TEST"), heard)
    fields = {
        "message_id": 6,
        "date": 1,
        "chat": CHAT,
        "from": {"id": 43, "is_bot": True, "first_name": "Second"},
        "text": "from the second",
        "reply_to_message": heard["message"],
    }
    sent = Message.model_validate(fields, context={"bot": Bot("43:TEST")})
    await middleware.record_sent(sent, "from the second")
    assert await said(store, "telegram:7:account:42") == ["user: hello"]
    assert await said(store, "telegram:7:account:43") == ["assistant: from the second"]


async def test_what_is_sent_to_nobody_needs_a_key_also_where_each_bot_has_its_own_sessions() -> (
    None
):
    store, telegram = SessionStore("memory:"), TelegramEmulator()
    middleware = SessionMiddleware(store, scope=per_account("user_in_chat")).setup(Dispatcher())
    group = telegram.say(GROUP, "hello")["message"]["chat"]
    fields = {"message_id": 6, "date": 1, "chat": group, "text": "to everybody"}
    sent = Message.model_validate(fields, context={"bot": Bot("42:TEST")})
    with pytest.raises(TurnkeepError, match="give record_sent key="):
        await middleware.record_sent(sent)


async def test_what_a_reply_says_is_captured_once_though_its_message_is_not_recorded(
    telegram: TelegramEmulator, store: SessionStore
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=True).setup(dispatcher)

    @dispatcher.message(flags={"turnkeep": {"record": False}})
    async def handle(message: Message, chat_session: ChatSession) -> None:
        async with chat_session.reply() as reply:
            reply.add_text("hello there")
            await message.answer("hello there")

    async with store:
        async with polling(telegram, dispatcher):
            telegram.say(7, "hello")
            await telegram.wait_sent(7, 1)
        assert await said(store, "telegram:7") == ["assistant: hello there"]


@pytest.mark.parametrize("record", ["all", "handled"])
async def test_what_is_captured_answers_the_message_in_hand_whatever_recorded_that(
    telegram: TelegramEmulator, store: SessionStore, record: Any
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=True, record=record).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        await message.answer("hello there")

    async with store:
        async with polling(telegram, dispatcher):
            telegram.say(7, "hello")
            await telegram.wait_sent(7, 1)
        _, answer = await all_turns(store, "telegram:7")
        assert (answer.content, answer.answers) == ("hello there", 1)


class SlowAnswers(MemoryStorage):
    """One that takes what the bot says when it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def append(self, key: Any, turns: Any, **options: Any) -> Any:
        if turns[0].role == "assistant":
            self.asked.set()
            await self.go_on.wait()
        return await super().append(key, turns, **options)


async def test_what_is_deleted_while_what_was_captured_is_recorded_raises_nothing(
    telegram: TelegramEmulator,
) -> None:
    dispatcher, storage, failures = Dispatcher(), SlowAnswers(), list[Exception]()
    store, sent = SessionStore(storage), list[Message]()
    SessionMiddleware(store, capture=True).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        sent.extend([await message.answer("one"), await message.answer("wait a bit")])

    @dispatcher.errors()
    async def note(event: Any) -> None:
        failures.append(event.exception)

    async with store:
        async with polling(telegram, dispatcher):
            telegram.say(7, "hello")
            await storage.asked.wait()
            await sent[1].delete()
            storage.go_on.set()
        assert failures == []
        assert (await said(store, "telegram:7"))[:2] == ["user: hello", "assistant: one"]


async def test_forgetting_while_a_message_is_in_hand_leaves_the_next_one_to_its_handler(
    telegram: TelegramEmulator,
) -> None:
    dispatcher, router, store = Dispatcher(), Router(), SessionStore("memory:")
    heard, go_on = list[str | None](), asyncio.Event()
    SessionMiddleware(store).setup(dispatcher)
    dispatcher.include_routers(privacy_router(), router)

    @router.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        heard.append(message.text)
        if message.text == "one":
            await go_on.wait()

    async with store, polling(telegram, dispatcher):
        telegram.say(7, "one")
        await telegram.wait_for(lambda: heard)
        telegram.say(7, "/forget", entities=[COMMAND | {"length": 7}])
        await telegram.wait_sent(7, 1)
        telegram.say(7, "two")
        await telegram.wait_for(lambda: len(heard) == 2)
        go_on.set()
        assert await said(store, "telegram:7") == ["user: two"]
    assert heard == ["one", "two"]


async def test_an_answer_that_goes_past_the_session_is_sent_once_though_its_update_comes_twice(
    telegram: TelegramEmulator, store: SessionStore
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        await message.answer("pong" if message.text == "ping" else "the end")

    async with polling(telegram, dispatcher):
        ping = telegram.say(7, "ping")
        await telegram.wait_sent(7, 1)
        telegram.redeliver(ping)
        telegram.redeliver(ping, same_update_id=True)
        await telegram.wait_for(lambda: telegram.pending() == 0)
        telegram.say(7, "end")
        await telegram.wait_sent(7, 2)
    assert [one["text"] for one in telegram.sent(7)] == ["pong", "the end"]


async def test_an_album_that_a_handler_passes_on_comes_whole_to_the_next_one() -> None:
    dispatcher, first, second = Dispatcher(), Router(), Router()
    telegram, joined = TelegramEmulator(), list[int]()
    SessionMiddleware(SessionStore("memory:")).setup(dispatcher)
    dispatcher.include_routers(first, second)

    @first.message()
    async def skip(message: Message) -> None:
        raise SkipHandler

    @second.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        joined.append(len(chat_session.joined))

    await feed(dispatcher, *telegram.album(7, ["a", "b", "c"]))
    assert joined == [2]
