"""A text that begins with a slash: a command only if the bot has it, or if it stands alone."""

from __future__ import annotations

import re

import pytest
from aiogram import Dispatcher, Router
from aiogram.filters import Command, CommandStart, and_f, or_f
from aiogram.types import BotCommand, Message

from adapters.tools import feed, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

SENTENCE = "/home is full, what can I delete?"


def private(message: Message) -> bool:
    return message.chat.type == "private"


def bot_with_commands(store: SessionStore) -> Dispatcher:
    """A dispatcher with commands of every kind, in routers of routers."""
    dispatcher, router, inner = Dispatcher(), Router(), Router()
    SessionMiddleware(store).setup(dispatcher)
    router.include_router(inner)
    dispatcher.include_router(router)  # after the middleware

    async def handle(message: Message) -> None:
        pass

    dispatcher.message.register(handle, Command("reset"))
    router.message.register(handle, or_f(Command("Help", ignore_case=True), CommandStart()))
    inner.message.register(
        handle, and_f(private, Command(BotCommand(command="model", description="M")))
    )
    inner.message.register(handle, Command(re.compile(r"item_\d+")))
    return dispatcher


async def test_a_sentence_that_begins_with_a_path_is_recorded(store: SessionStore) -> None:
    telegram = TelegramEmulator()
    await feed(bot_with_commands(store), telegram.say(7, SENTENCE))
    assert await said(store, "telegram:7") == [f"user: {SENTENCE}"]


@pytest.mark.parametrize(
    "command",
    [
        "/reset now",
        "/HELP me",
        "/model gpt",
        "/item_5 please",
        "/start payload",
        "/unknown",
        "/unknown ",
    ],
)
async def test_a_command_of_the_bot_or_one_that_stands_alone_is_not(
    store: SessionStore, command: str
) -> None:
    telegram = TelegramEmulator()
    await feed(bot_with_commands(store), telegram.say(7, command), telegram.say(7, "hello"))
    assert await said(store, "telegram:7") == ["user: hello"]


async def test_a_command_that_names_its_bot_is_a_command(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, bot_with_commands(store)):
        telegram.say(7, "/ask@another_bot what is it?")
        telegram.say(7, "hello")
        await telegram.wait_taken()
    assert await said(store, "telegram:7") == ["user: hello"]


async def test_a_command_that_the_bot_has_set_is_one_without_a_filter_too(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    telegram.bot.commands = [{"command": "draw", "description": "Draw"}]
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message) -> None:
        await message.answer("heard")

    async with polling(telegram, dispatcher):
        telegram.say(7, "/draw a cat")
        telegram.say(7, SENTENCE)
        await telegram.wait_sent(7, 2)
    assert await said(store, "telegram:7") == [f"user: {SENTENCE}"]


async def test_a_bot_whose_commands_telegram_does_not_tell_starts_all_the_same(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    telegram.fail_next("getMyCommands", status=500)
    async with polling(telegram, bot_with_commands(store)):
        telegram.say(7, SENTENCE)
        await telegram.wait_taken()
    assert await said(store, "telegram:7") == [f"user: {SENTENCE}"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("!ask why?", ["user: why?"]),
        ("\N{ROBOT FACE}ask why **so**?", ["user: why **so**?"]),
        ("/спроси why?", ["user: why?"]),
        (" /ask why?", ["user: why?"]),
        ("!other why?", ["user: !other why?"]),
        ("/вопрос why?", ["user: /вопрос why?"]),
        ("!ask", []),
        ("!", ["user: !"]),
        ("?!ask", ["user: ?!ask"]),
    ],
)
async def test_a_command_that_telegram_does_not_know_is_one_if_a_handler_takes_it(
    store: SessionStore, text: str, lines: list[str]
) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    taken: list[str] = []

    @dispatcher.message(Command("ask", prefix="!/\N{ROBOT FACE}"))
    @dispatcher.message(Command("спроси"))
    async def ask(message: Message, chat_session: ChatSession) -> None:
        taken.append(message.text or "")
        if message.text != "!ask":
            await chat_session.get_history()

    await feed(dispatcher, telegram.say(7, text))
    assert await said(store, "telegram:7") == lines
    assert bool(taken) == (lines != [f"user: {text}"])
