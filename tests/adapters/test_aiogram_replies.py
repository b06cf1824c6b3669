"""A bot's answers on Telegram: stored once, as the model said them, and only if they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiogram import Bot, Dispatcher
from aiogram.types import Message

from adapters.tools import all_turns, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import Session, SessionStore
from turnkeep_aiogram import SessionMiddleware, source_id

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("log_of_aiogram")]

ADA = 7
RAW = "1 < 2 & *bold*\n\n- a list  \n"


@dataclass
class Model:
    """A model that answers with `text`, when it may go on, and counts how often it was asked."""

    text: str = "hello to you"
    asked: int = 0
    error: Exception | None = None
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self) -> str:
        self.asked += 1
        await self.may_go_on.wait()
        if self.error is not None:
            raise self.error
        return self.text


@pytest.fixture
def model() -> Model:
    model = Model()
    model.may_go_on.set()
    return model


Send = Callable[[Message, str], Awaitable[list[Message]]]


async def send_whole(message: Message, text: str) -> list[Message]:
    return [await message.answer(text)]


async def send_as_html(message: Message, text: str) -> list[Message]:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return [await message.answer(f"<b>{escaped}</b>", parse_mode="HTML")]


async def send_in_pieces(message: Message, text: str) -> list[Message]:
    pieces = [text[at : at + 5] for at in range(0, len(text), 5)]
    return [await message.answer(piece) for piece in pieces if piece.strip()]


def answering(store: SessionStore, model: Model, send: Send = send_whole) -> Dispatcher:
    """A bot that answers each message once."""
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, bot: Bot, chat_session: Session) -> None:
        if chat_session.already_answered:
            return
        async with chat_session.reply() as reply:
            reply.add_text(await model.ask())
            for sent in await send(message, reply.text):
                await reply.link(source_id(sent))

    return dispatcher


async def handled(caplog: pytest.LogCaptureFixture, telegram: TelegramEmulator, n: int) -> None:
    """Until so many handlers have ended."""
    await telegram.wait_for(lambda: caplog.text.count("handled. Duration") >= n)


@pytest.mark.parametrize("send", [send_whole, send_as_html, send_in_pieces])
async def test_an_answer_is_stored_once_as_the_model_said_it(
    telegram: TelegramEmulator,
    store: SessionStore,
    model: Model,
    send: Send,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model.text = RAW
    async with store, polling(telegram, answering(store, model, send)):
        telegram.say(ADA, "hello")
        await handled(caplog, telegram, 1)
        assert await said(store, "telegram:7") == ["user: hello", f"assistant: {RAW}"]


async def test_every_piece_of_an_answer_leads_to_its_turn(
    telegram: TelegramEmulator,
    store: SessionStore,
    model: Model,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with store, polling(telegram, answering(store, model, send_in_pieces)):
        telegram.say(ADA, "hello")
        await handled(caplog, telegram, 1)
        session = store.session("telegram:7")
        pieces = telegram.sent(ADA)
        assert len(pieces) == 3
        for number, piece in enumerate(pieces):
            edited = await session.edit(f"7:{piece['message_id']}", f"edit {number}")
            assert edited is not None
            assert (edited.id, edited.role) == (2, "assistant")
        assert await said(store, "telegram:7") == ["user: hello", "assistant: edit 2"]


async def test_an_answer_that_the_model_breaks_off_is_not_stored(
    telegram: TelegramEmulator,
    store: SessionStore,
    model: Model,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model.error = ConnectionError("the model went away")
    async with store, polling(telegram, answering(store, model)):
        update = telegram.say(ADA, "hello")
        await handled(caplog, telegram, 1)
        assert await said(store, "telegram:7") == ["user: hello"]
        model.error = None
        telegram.redeliver(update)
        await handled(caplog, telegram, 2)
        assert await said(store, "telegram:7") == ["user: hello", "assistant: hello to you"]


@pytest.mark.parametrize("send", [send_whole, send_in_pieces])
async def test_an_answer_that_telegram_refuses_is_not_stored(
    telegram: TelegramEmulator,
    store: SessionStore,
    model: Model,
    send: Send,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with store, polling(telegram, answering(store, model, send)):
        telegram.fail_next("sendMessage", status=400)
        telegram.say(ADA, "hello")
        await handled(caplog, telegram, 1)
        assert await said(store, "telegram:7") == ["user: hello"]


async def test_each_of_two_answers_under_way_has_its_own_question_last(
    telegram: TelegramEmulator, store: SessionStore, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    windows: list[list[str]] = []
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: Session) -> None:
        async with chat_session.reply() as reply:
            await model.ask()
            windows.append([turn["content"] for turn in await reply.get_history()])
            reply.add_text(f"to {message.text}")

    model.may_go_on.clear()
    async with store, polling(telegram, dispatcher):
        telegram.say(ADA, "first")
        telegram.say(ADA, "second")
        await telegram.wait_for(lambda: model.asked == 2)
        model.may_go_on.set()
        await handled(caplog, telegram, 2)
        turns = await all_turns(store, "telegram:7")
    assert sorted(window[-1] for window in windows) == ["first", "second"]
    assert ["first"] in windows, "what came later is not in sight"
    assert {(turn.content, turn.answers) for turn in turns[2:]} == {
        ("to first", 1),
        ("to second", 2),
    }
