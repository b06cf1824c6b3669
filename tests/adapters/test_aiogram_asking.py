"""Commands that ask the model on Telegram: the window ends with what was asked."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiogram import Dispatcher, F
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from adapters.asking import WAYS, Asking, stream
from adapters.tools import all_turns, feed, polling, said
from emulators.telegram import PHOTO, TelegramEmulator
from turnkeep import SessionStore, TurnkeepError
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware, chat_session

pytestmark = pytest.mark.asyncio

BEFORE = ["user: hello", "assistant: to hello"]


@pytest_asyncio.fixture(autouse=True)
async def kept_open(store: SessionStore) -> AsyncIterator[None]:
    """The store stays open when the bot has stopped, to be looked into."""
    async with store:
        await store.session("telegram:7").append("user", "hello")
        await store.session("telegram:7").append("assistant", "to hello")
        yield


class Bot:
    """A dispatcher with `/ask`, and what came of it."""

    def __init__(self, store: SessionStore, way: Asking = stream, **options: Any) -> None:
        self.dispatcher = Dispatcher()
        self.windows: list[list[Any]] = []
        self.errors: list[str] = []
        SessionMiddleware(store, **options).setup(self.dispatcher)

        @self.dispatcher.message(Command("ask"))
        async def ask(message: Message, chat_session: ChatSession) -> None:
            try:
                await way(chat_session, self.windows)
            except TurnkeepError as error:
                self.errors.append(str(error))


@pytest.mark.parametrize("way", WAYS)
async def test_a_window_ends_with_what_was_asked(
    store: SessionStore, telegram: TelegramEmulator, way: Asking
) -> None:
    bot = Bot(store, way)
    async with polling(telegram, bot.dispatcher):
        telegram.say(7, "/ask What is it?")
        await telegram.wait_taken()
    assert bot.windows == [["hello", "to hello", "What is it?"]]
    assert await said(store, "telegram:7") == [
        *BEFORE,
        "user: What is it?",
        "assistant: to What is it?",
    ]
    turns = await all_turns(store, "telegram:7")
    assert turns[-1].answers == turns[-2].id


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        ({"text": "/ask  What\nis it?"}, "What\nis it?"),
        (
            {
                "text": "/ask see this",
                "entities": [
                    {"type": "bot_command", "offset": 0, "length": 4},
                    {"type": "text_link", "offset": 5, "length": 8, "url": "https://a.b/"},
                ],
            },
            "[see this](https://a.b/)",
        ),
        (
            {
                "text": "/ask what",
                "entities": [
                    {"type": "bot_command", "offset": 0, "length": 4},
                    {"type": "code", "offset": 0, "length": 9},
                ],
            },
            "`what`",
        ),
    ],
    ids=["another line", "a link", "around it"],
)
async def test_the_words_behind_the_command_are_the_question(
    store: SessionStore, fields: dict[str, Any], stored: str
) -> None:
    telegram, bot = TelegramEmulator(), Bot(store, WAYS[3])
    text = fields.pop("text")
    await feed(bot.dispatcher, telegram.say(7, text, **fields))
    assert bot.windows[0][-1] == stored


async def test_a_photo_with_a_command_is_asked_with_its_words(store: SessionStore) -> None:
    telegram, bot = TelegramEmulator(), Bot(store, WAYS[3])
    entities = [{"type": "bot_command", "offset": 0, "length": 4}]
    update = telegram.say(7, photo=PHOTO, caption="/ask What is it?", caption_entities=entities)
    await feed(bot.dispatcher, update)
    question = (await all_turns(store, "telegram:7"))[2]
    assert [medium.kind for medium in question.media] == ["photo"]
    assert "What is it?" in question.text
    assert "/ask" not in question.text


async def test_a_command_that_replies_to_a_message_asks_about_it(store: SessionStore) -> None:
    telegram, bot = TelegramEmulator(), Bot(store, WAYS[3])
    original = telegram.say(7, "the plan")
    await feed(bot.dispatcher, original)
    await feed(bot.dispatcher, telegram.say(7, "/ask", reply_to_message=original["message"]))
    assert bot.windows[0][-1] == "[reply to Ada: the plan]"


@pytest.mark.parametrize("way", WAYS[:3])
async def test_a_command_without_a_question_is_a_clear_error(
    store: SessionStore, telegram: TelegramEmulator, way: Asking
) -> None:
    bot = Bot(store, way)
    async with polling(telegram, bot.dispatcher):
        telegram.say(7, "/ask")
        await telegram.wait_taken()
    assert ["prompt=" in error for error in bot.errors] == [True]
    assert await said(store, "telegram:7") == BEFORE
    assert not telegram.sent(7)


async def test_prompt_is_the_question_where_it_cannot_be_known(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher, windows = Dispatcher(), list[Any]()
    SessionMiddleware(store).setup(dispatcher)

    async def ask(reply: Any) -> AsyncIterator[str]:
        windows.append([one["content"] for one in await reply.get_history()])
        yield "Once upon a time."

    @dispatcher.message(Command("story"))
    async def story(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(ask, prompt="Tell a story.")

    @dispatcher.callback_query(F.data == "story")
    async def button(query: CallbackQuery, chat_session: ChatSession) -> None:
        async with chat_session.reply(prompt="Tell another one.") as reply:
            async for piece in ask(reply):
                reply.add_text(piece)

    async with polling(telegram, dispatcher):
        telegram.say(7, "/story")
        (sent,) = await telegram.wait_sent(7, 1)
        telegram.press(sent, "story", user_id=7)
        await telegram.wait_taken()
    assert windows[0][-1] == "Tell a story."
    assert windows[1][-2:] == ["Once upon a time.", "Tell another one."]


async def test_a_question_that_the_handler_stores_itself_is_not_stored_twice(
    store: SessionStore,
) -> None:
    async def way(session: ChatSession, windows: list[Any]) -> None:
        await session.append("user", "What, in my words?")
        await WAYS[3](session, windows)

    telegram, bot = TelegramEmulator(), Bot(store, way)
    await feed(bot.dispatcher, telegram.say(7, "/ask What is it?"))
    assert bot.windows == [["hello", "to hello", "What, in my words?"]]


async def test_a_command_that_asks_nothing_of_the_model_is_not_recorded(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async def way(session: ChatSession, windows: list[Any]) -> None:
        await session.info()
        await session.clear()

    bot = Bot(store, way)
    await feed(bot.dispatcher, telegram.say(7, "/ask de"))
    assert await said(store, "telegram:7") == BEFORE


async def test_a_command_that_is_delivered_twice_is_asked_once(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    bot = Bot(store)
    async with polling(telegram, bot.dispatcher):
        asked = telegram.say(7, "/ask What is it?")
        await telegram.wait_sent(7, 1)
        telegram.redeliver(asked)
        await telegram.wait_taken()
    assert (await said(store, "telegram:7"))[2:] == [
        "user: What is it?",
        "assistant: to What is it?",
    ]


async def test_an_edit_of_a_command_changes_its_question(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    bot = Bot(store)
    async with polling(telegram, bot.dispatcher):
        asked = telegram.say(7, "/ask What is it?")
        await telegram.wait_sent(7, 1)
        telegram.edit(asked, "/ask What was it?")
        await telegram.wait_taken()
    assert (await said(store, "telegram:7"))[2] == "user: What was it?"


def alone(handler: Callable[[Message], Any]) -> Callable[[Message], Any]:
    """A decorator that hands on the message, and nothing else."""

    async def handle(message: Message) -> Any:
        return await handler(message)

    return functools.update_wrapper(handle, handler, updated=())


async def test_chat_session_is_the_session_beside_the_parameter(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher, windows = Dispatcher(), list[Any]()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.callback_query()
    async def button(query: CallbackQuery, chat_session: ChatSession) -> None:
        assert _session(query) is chat_session
        assert isinstance(query.message, Message)
        assert _session(query.message) is chat_session
        await stream(chat_session, windows)

    @dispatcher.message()
    @alone
    async def handle(message: Message) -> None:
        await stream(_session(message), windows)

    async with polling(telegram, dispatcher):
        telegram.say(7, "one")
        (sent,) = await telegram.wait_sent(7, 1)
        telegram.press(sent, "two", user_id=7)
        await telegram.wait_sent(7, 2)
        await telegram.wait_taken()
    assert [window[-1] for window in windows] == ["one", "[button: two]"]


_session = chat_session


async def test_chat_session_outside_of_a_handler_is_a_clear_error(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    kept: list[Message] = []

    @dispatcher.message()
    async def handle(message: Message) -> None:
        kept.append(message)
        for other in kept[:-1]:
            with pytest.raises(TurnkeepError, match="no session here"):
                chat_session(other)

    await feed(dispatcher, telegram.say(7, "one"))
    await feed(dispatcher, telegram.say(7, "two"))
    assert len(kept) == 2
    with pytest.raises(TurnkeepError, match=r"store\.session"):
        chat_session(kept[0])


async def test_a_command_without_a_question_in_a_new_chat_tells_the_way(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    bot = Bot(store)
    async with polling(telegram, bot.dispatcher):
        telegram.say(8, "/ask")
        await telegram.wait_taken()
    assert bot.windows == []
    assert ["session telegram:8: nothing is asked here" in error for error in bot.errors] == [True]
    assert ["the session has no message" in error for error in bot.errors] == [True]
