"""What a bot sends beside its replies is recorded once, on both platforms."""

from __future__ import annotations

import asyncio

import anyio
import discord
import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from adapters.tools import QuickSession, RecordingBot, all_turns, connected, keys, polling, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from emulators.telegram import PHOTO, TelegramEmulator
from patience import PATIENCE
from turnkeep import Session, SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware
from turnkeep_discord import chat_session
from turnkeep_discord._capture import Capture

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]


KEYBOARD = InlineKeyboardMarkup(
    inline_keyboard=[[InlineKeyboardButton(text="Again", callback_data="again")]]
)


async def test_a_telegram_placeholder_that_becomes_the_reply_is_one_turn(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=True).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        wait = await message.answer("Thinking…")
        async with chat_session.reply() as reply:
            reply.add_text("**all** of it")
            if message.text == "inside":
                await wait.edit_text("all of it")
        if message.text == "behind":
            await wait.edit_text("all of it")

    async with polling(telegram, dispatcher):
        telegram.say(7, "inside")
        await telegram.wait_for(lambda: len(telegram.called("editMessageText")) == 1)
        telegram.say(7, "behind")
        await telegram.wait_for(lambda: len(telegram.called("editMessageText")) == 2)
    answer = "assistant: **all** of it"
    assert await said(store, "telegram:7") == ["user: inside", answer, "user: behind", answer]


async def test_a_captured_message_on_telegram_waits_until_the_open_reply_ends(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher, during = Dispatcher(), list[list[str]]()
    SessionMiddleware(store, capture=True).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        async with chat_session.reply() as reply:
            await message.answer("Here it is, in other words than the model's:")
            during.append(await said(store, "telegram:7"))
            reply.add_text("all of it")

    async with polling(telegram, dispatcher):
        telegram.say(7, "where?")
        await telegram.wait_sent(7, 1)
        await telegram.wait_for(lambda: telegram.pending() == 0)
    assert during == [["user: where?"]]
    assert await said(store, "telegram:7") == ["user: where?", "assistant: all of it"]


async def test_what_a_handler_sent_before_it_was_cancelled_is_recorded(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher, waits = Dispatcher(), asyncio.Event()
    SessionMiddleware(store, capture=True).setup(dispatcher)
    session = QuickSession(api=TelegramAPIServer.from_base(telegram.url))

    @dispatcher.message()
    async def handle(message: Message) -> None:
        await message.answer("one")
        await message.answer("two")
        waits.set()
        await asyncio.Event().wait()

    update = telegram.say(7, "hello")
    async with Bot(telegram.token, session=session) as bot, anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.feed_raw_update, bot, dict(update))
        await waits.wait()
        tasks.cancel_scope.cancel()  # as a web framework's time limit does
    turns = ["user: hello", "assistant: one", "assistant: two"]
    assert await said(store, "telegram:7") == turns


async def test_what_is_sent_to_another_chat_inside_of_a_reply_is_recorded_there(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=True).setup(dispatcher)
    telegram.open_chat(8)

    @dispatcher.message()
    async def handle(message: Message, bot: Bot, chat_session: ChatSession) -> None:
        async with chat_session.reply() as reply:
            reply.add_text("done")
            await bot.send_message(8, "somebody asked")

    async with polling(telegram, dispatcher):
        telegram.say(7, "hello")
        await telegram.wait_sent(8, 1)
    assert await said(store, "telegram:8") == ["assistant: somebody asked"]
    assert await said(store, "telegram:7") == ["user: hello", "assistant: done"]


async def test_a_button_that_is_taken_off_an_answer_leaves_what_the_model_said(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher, pressed = Dispatcher(), asyncio.Event()
    SessionMiddleware(store, capture=True).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        async with chat_session.reply() as reply:
            reply.add_text("**done**")
            await message.answer("done", reply_markup=KEYBOARD)

    @dispatcher.callback_query()
    async def press(query: CallbackQuery) -> None:
        assert isinstance(query.message, Message)
        await query.message.edit_reply_markup(reply_markup=None)
        note = await query.message.answer("Wait")
        await note.edit_text("Once more!")
        pressed.set()

    async with polling(telegram, dispatcher):
        telegram.say(7, "hello")
        (sent,) = await telegram.wait_sent(7, 1)
        telegram.press(sent, "again", user_id=7)
        await pressed.wait()
    assert await said(store, "telegram:7") == [
        "user: hello",
        "assistant: **done**",
        "user: [button: Again]",
        "assistant: Once more!",
    ]


async def test_what_a_task_sends_after_its_handler_ended_is_recorded(
    store: SessionStore, telegram: TelegramEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "aiogram.event")
    dispatcher, tasks = Dispatcher(), list[asyncio.Task[None]]()
    SessionMiddleware(store, capture=True).setup(dispatcher)
    go_on = asyncio.Event()

    @dispatcher.message()
    async def handle(message: Message) -> None:
        async def remind() -> None:
            await go_on.wait()
            await message.answer("a reminder")

        tasks.append(asyncio.create_task(remind()))

    async with polling(telegram, dispatcher):
        telegram.say(7, "hello")
        await telegram.wait_for(lambda: "handled. Duration" in caplog.text)
        go_on.set()
        await tasks[0]
    assert await said(store, "telegram:7") == ["user: hello", "assistant: a reminder"]


@pytest.mark.parametrize("handled", [True, False], ids=["in a handler", "outside of one"])
async def test_what_is_sent_in_a_plain_groups_chain_of_replies_is_the_groups(
    store: SessionStore, telegram: TelegramEmulator, handled: bool
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=True).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message) -> None:
        if handled and message.reply_to_message is not None:
            sent = [await message.reply("a reply"), await message.answer("a remark")]
            assert [one.message_thread_id is None for one in sent] == [False, True]

    group = -1001234567890
    async with polling(telegram, dispatcher) as bot:
        first = telegram.say(group, "first")
        second = telegram.say(group, "second", reply_to=first)
        await telegram.wait_for(lambda: telegram.pending() == 0)
        if not handled:
            number = second["message"]["message_id"]
            sent = await bot.send_message(group, "a reply", reply_to_message_id=number)
            assert sent.message_thread_id, "else this test tests nothing"
            await bot.send_message(group, "a remark")
    assert await keys(store) == [f"telegram:{group}"]
    turns = await all_turns(store, f"telegram:{group}")
    assert [turn.text.splitlines()[-1] for turn in turns] == [
        *("first", "second", "a reply", "a remark")
    ]
    assert [turn.answers for turn in turns[2:]] == [2 if handled else None] * 2


@pytest.mark.parametrize("scope", ["user_in_chat", "user_in_topic", "global_user"])
async def test_what_is_sent_to_nobody_in_a_group_of_single_users_is_in_no_session(
    store: SessionStore, telegram: TelegramEmulator, scope: str
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=True, scope=scope).setup(dispatcher)  # type: ignore[arg-type]
    telegram.open_chat(-1001)
    async with polling(telegram, dispatcher) as bot:
        heard = telegram.say(-1001, "hello", user_id=42)
        await telegram.wait_for(lambda: telegram.pending() == 0)
        await bot.send_message(-1001, "to everybody")
        number = heard["message"]["message_id"]
        await bot.send_message(-1001, "to Ada", reply_to_message_id=number)
    (info,) = await store.list_sessions()
    assert dict(info.key.scopes)["user"] == "42"
    turns = await said(store, info.key.text)
    assert turns == ["user: hello", "assistant: [reply to Ada: hello]\nto Ada"]


class TalkingBot(RecordingBot):
    """One whose handler is of its own, over capture."""

    async def on_message(self, message: discord.Message) -> None:
        if not message.author.bot:
            session = await chat_session(self, message)
            await self.talk(message, session)
            self.given.append(session)

    async def talk(self, message: discord.Message, session: ChatSession) -> None:
        send = message.channel.send
        if message.content == "placeholder":
            wait = await send("Thinking…")
            async with session.reply() as reply:
                reply.add_text("**all** of it")
                await wait.edit(content="all of")
                await wait.edit(content="all of it")
        elif message.content == "unlinked":
            async with session.reply() as reply:
                reply.add_text("# Hello\n\nthere")
                await send("Hello")
                await send("there")
        elif message.content == "behind":
            async with session.reply() as reply:
                reply.add_text("so be it")
            await send("so be it")
        else:
            async with session.reply() as reply:
                reply.add_text("quiet")
                await send("something else")


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("placeholder", ["**all** of it"]),
        ("unlinked", ["# Hello\n\nthere"]),
        ("behind", ["so be it"]),
        ("other", ["quiet", "something else"]),
    ],
)
async def test_discord_tells_of_a_message_later_and_it_is_recorded_once(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    text: str,
    answers: list[str],
) -> None:
    key = f"discord:{place['id']}"
    async with connected(server, bot := TalkingBot(store, capture=True)):
        await server.say(place, ada, text)
        await bot.hears(server, 1)
        sent = server.sent(place)
        session: Session = store.session(key)
        async with asyncio.timeout(PATIENCE):
            for message in sent:  # each is known in the end, in one turn or another
                while await session.find(f"{place['id']}:{message['id']}") is None:
                    await asyncio.sleep(0.02)
    assert await said(store, key) == [f"user: {text}", *[f"assistant: {one}" for one in answers]]


async def test_a_discord_placeholder_that_was_recorded_becomes_the_reply(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("turnkeep_discord._capture.PAUSE", 0.05)
    key = f"discord:{place['id']}"

    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            if message.author.bot:
                return
            session = await chat_session(self, message)
            wait = await message.channel.send("Looking it up…")
            while len(await said(store, key)) == 1:
                await asyncio.sleep(0.01)
            async with session.reply() as reply:
                reply.add_text("found")
                await wait.edit(content="found")
            self.given.append(session)

    async with connected(server, bot := Bot(store, capture=True)):
        await server.say(place, ada, "where?")
        await bot.hears(server, 1)
        async with asyncio.timeout(PATIENCE):
            while await said(store, key) != ["user: where?", "assistant: found"]:
                await asyncio.sleep(0.01)


async def test_a_captured_message_on_discord_waits_until_the_open_reply_ends(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("turnkeep_discord._capture.PAUSE", 0.01)
    key, looks, start = f"discord:{place['id']}", list[int](), Capture._start_wait
    answered: list[str] = []

    def start_wait(capture: Capture, message: discord.Message) -> None:
        looks.append(message.id)
        start(capture, message)

    monkeypatch.setattr(Capture, "_start_wait", start_wait)

    class Bot(RecordingBot):
        async def on_message(self, message: discord.Message) -> None:
            if message.author.bot:
                return
            session = await chat_session(self, message)
            async with session.reply() as reply:
                sent = await message.channel.send("found")
                async with asyncio.timeout(PATIENCE):  # until it was looked at, and looked at again
                    while looks.count(sent.id) < 3 and len(await said(store, key)) == 1:
                        await asyncio.sleep(0.01)
                reply.add_text("found")
            answered.append(sent.content)

    async with connected(server, Bot(store, capture=True)):
        await server.say(place, ada, "where?")
        await server.wait_for(lambda: answered, what="the answer")
        (sent,) = server.sent(place)
        async with asyncio.timeout(PATIENCE):
            while await store.session(key).find(f"{place['id']}:{sent['id']}") is None:
                await asyncio.sleep(0.01)
    assert await said(store, key) == ["user: where?", "assistant: found"]


async def test_a_copy_is_recorded_with_what_its_message_says(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher, done = Dispatcher(), asyncio.Event()
    SessionMiddleware(store, capture=True).setup(dispatcher)
    telegram.open_chat(8)

    @dispatcher.message()
    async def handle(message: Message, bot: Bot) -> None:
        if message.text != "copy":
            await message.copy_to(8)
            return
        await bot.copy_message(8, 7, message.message_id - 2, caption="mine")
        await bot.copy_message(8, 7, message.message_id - 1)
        await bot.copy_messages(8, 7, [message.message_id - 2, message.message_id - 1])
        done.set()

    async with polling(telegram, dispatcher):
        photo = telegram.say(7, photo=PHOTO, caption="my cat")
        telegram.say(7, "so sweet", reply_to=photo)
        await telegram.wait_sent(8, 2)
        telegram.say(7, "copy")
        await done.wait()
    turns = [turn async for turn in store.session("telegram:8").turns()]
    told = [(turn.text, [one.kind for one in turn.media]) for turn in turns]
    cat, mine = ("my cat", ["photo"]), ("mine", ["photo"])
    sweet: tuple[str, list[str]] = ("so sweet", [])
    assert sorted(told[:2]) == [cat, sweet]
    assert told[2:] == [mine, sweet, cat, sweet]
    assert {turn.role for turn in turns} == {"assistant"}
    assert len({turn.source_id for turn in turns}) == 6


async def test_a_post_of_another_administrator_that_the_bot_edits_is_not_the_bots(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    channel, dispatcher, done = -1002, Dispatcher(), asyncio.Event()
    SessionMiddleware(store, capture=True, record="handled").setup(dispatcher)
    telegram.open_chat(channel, "channel")
    telegram.promote(channel, "can_post_messages", "can_edit_messages")

    @dispatcher.channel_post(flags={"turnkeep": {"record": False}})
    async def decorate(post: Message, bot: Bot, chat_session: ChatSession) -> None:
        await post.edit_reply_markup(reply_markup=KEYBOARD)
        async with chat_session.reply() as reply:
            reply.add_text("I am here, too")
            await post.edit_text("by another, and improved")
            own = await post.answer("I am here")
        await own.edit_text("I am here, too")
        done.set()

    async with polling(telegram, dispatcher):
        telegram.say(channel, "by another")
        await done.wait()
    (turn,) = [turn async for turn in store.session(f"telegram:{channel}").turns()]
    assert (turn.content, turn.source_ids) == ("I am here, too", (f"{channel}:2",))


async def test_a_result_of_the_bots_inline_mode_is_the_bots_own_message(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=True).setup(dispatcher)
    async with polling(telegram, dispatcher):
        chosen = telegram.say(7, "42, …", via_bot=telegram.bot.me)
        await telegram.wait_taken()
        async with asyncio.timeout(PATIENCE):
            while not await said(store, "telegram:7"):
                await asyncio.sleep(0.01)
        assert await said(store, "telegram:7") == ["assistant: 42, …"]
        telegram.edit(chosen, "42, of course")
        await telegram.wait_taken()
    assert await said(store, "telegram:7") == ["assistant: 42, of course"]
