"""Ephemeral messages on Telegram, which only one person of a group sees, stay that person's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.filters import Command
from aiogram.types import (
    BotCommand,
    CallbackQuery,
    EphemeralMessageParameters,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
)

from adapters.tools import keys, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware, per_account

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

GROUP, ADA, BOB = -1001234567890, 1001, 1002
OURS = f"telegram:{GROUP}"
SECRET = [BotCommand(command="secret", description="Ask in private", is_ephemeral=True)]
BUTTON = InlineKeyboardMarkup(
    inline_keyboard=[[InlineKeyboardButton(text="More", callback_data="more")]]
)


def private(user: int, key: str = OURS) -> str:
    return f"{key}:thread:ephemeral:user:{user}"


def echoing(store: SessionStore, **options: Any) -> Dispatcher:
    """A bot that greets with an ephemeral message, and repeats what is said."""
    dispatcher = Dispatcher()
    SessionMiddleware(store, **options).setup(dispatcher)

    @dispatcher.message(Command("secret"))
    async def greet(message: Message) -> None:
        await message.reply("Ask me.", reply_markup=BUTTON)

    @dispatcher.message()
    async def echo(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(f"to {message.text}")

    @dispatcher.callback_query()
    async def pressed(query: CallbackQuery, chat_session: ChatSession) -> None:
        await chat_session.answer("there is more")

    return dispatcher


async def greeted(telegram: TelegramEmulator, bot: Bot, user: int = ADA) -> dict[str, Any]:
    """Return the bot's first ephemeral message, which a person replies to."""
    await bot.set_my_commands(SECRET)
    telegram.whisper(GROUP, "/secret", user_id=user)
    await telegram.wait_for(lambda: telegram.whispers(GROUP, user))
    return telegram.whispers(GROUP, user)[0]


def ask(telegram: TelegramEmulator, text: str, to: dict[str, Any], user: int = ADA) -> Any:
    return telegram.whisper(GROUP, text, user_id=user, reply_to=to["ephemeral_message_id"])


async def shows(telegram: TelegramEmulator, *texts: str, user: int = ADA) -> None:
    def seen() -> list[str]:
        return [one["text"] for one in telegram.whispers(GROUP, user)]

    await telegram.wait_for(lambda: seen() == [*texts], what=f"{texts}")


async def test_an_ephemeral_question_is_answered_as_one_and_stored_for_that_person(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, echoing(store)) as bot:
        greeting = await greeted(telegram, bot)
        ask(telegram, "my salary?", greeting)
        await shows(telegram, "Ask me.", "to my salary?")
        telegram.say(GROUP, "hello", user_id=BOB)
        await telegram.wait_sent(GROUP, 1)
    assert [one["text"] for one in telegram.sent(GROUP)] == ["to hello"]
    assert telegram.whispers(GROUP, BOB) == []
    assert await said(store, OURS) == ["user: hello", "assistant: to hello"]
    ours = await said(store, private(ADA))
    assert ours[0].endswith("my salary?")
    assert ours[1:] == ["assistant: to my salary?"]


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ("user_in_chat", private(ADA)),
        ("global_user", f"telegram:thread:ephemeral:user:{ADA}"),
        (per_account(), f"{private(ADA)}:account:42"),
        (lambda update, data: "telegram:all", f"telegram:all:thread:ephemeral:user:{ADA}"),
    ],
    ids=["user in chat", "user", "account", "function"],
)
async def test_in_every_scope_it_has_a_session_of_its_own(
    store: SessionStore, telegram: TelegramEmulator, scope: Any, key: str
) -> None:
    async with polling(telegram, echoing(store, scope=scope, capture=True)) as bot:
        greeting = await greeted(telegram, bot)
        ask(telegram, "why?", greeting)
        await shows(telegram, "Ask me.", "to why?")
    assert await keys(store) == [key]


async def test_two_people_have_two_ephemeral_sessions(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, echoing(store)) as bot:
        for user in (ADA, BOB):
            ask(telegram, f"{user}?", await greeted(telegram, bot, user), user)
            await shows(telegram, "Ask me.", f"to {user}?", user=user)
    assert await keys(store) == [private(ADA), private(BOB)]


async def test_a_pressed_ephemeral_button_is_answered_as_one(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, echoing(store)) as bot:
        telegram.press(await greeted(telegram, bot), "more", user_id=ADA)
        await shows(telegram, "Ask me.", "there is more")
    assert telegram.sent(GROUP) == []
    assert await keys(store) == [private(ADA)]
    assert await said(store, private(ADA)) == [
        "user: [button: More]",
        "assistant: there is more",
    ]


async def test_an_ephemeral_message_that_comes_again_is_recorded_and_answered_once(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, echoing(store)) as bot:
        asked = ask(telegram, "why?", await greeted(telegram, bot))
        await shows(telegram, "Ask me.", "to why?")
        telegram.redeliver(asked)
        telegram.redeliver(asked, same_update_id=True)
        await telegram.wait_taken()
    async with polling(telegram, echoing(store)):
        telegram.redeliver(asked)
        await telegram.wait_taken()
    assert len(telegram.whispers(GROUP, ADA)) == 2
    assert telegram.sent(GROUP) == []
    assert len(await said(store, private(ADA))) == 2


async def test_an_ephemeral_answer_grows_and_is_split_for_that_person_alone(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    words = "word " * 300

    async def stream() -> AsyncIterator[str]:
        yield "word "
        telegram.clock.advance(20)  # only an administrator may send another message now
        yield words[5:]

    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message()
    async def answer(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(stream(), prompt="Tell me a secret.")

    async with polling(telegram, dispatcher) as bot:
        telegram.promote(GROUP)
        await bot.set_my_commands(SECRET)
        telegram.whisper(GROUP, "/secret", user_id=ADA)
        await telegram.wait_for(lambda: len(telegram.whispers(GROUP, ADA)) == 2)
    assert " ".join(one["text"] for one in telegram.whispers(GROUP, ADA)).split() == words.split()
    assert telegram.sent(GROUP) == []
    assert telegram.called("editEphemeralMessageText")


async def test_an_ephemeral_answer_that_comes_too_late_is_not_sent_to_the_group(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    failed: list[Exception] = []
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message()
    async def answer(message: Message, chat_session: ChatSession) -> None:
        telegram.clock.advance(20)
        try:
            await chat_session.answer("late")
        except Exception as error:
            failed.append(error)
            raise

    async with polling(telegram, dispatcher) as bot:
        await bot.set_my_commands(SECRET)
        telegram.whisper(GROUP, "/secret", user_id=ADA)
        await telegram.wait_for(lambda: failed)
    assert (telegram.sent(GROUP), await keys(store)) == ([], [])


async def test_what_is_captured_goes_where_it_was_sent(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=True).setup(dispatcher)
    done: list[None] = []

    @dispatcher.message(F.text == "/secret")
    async def whispered(message: Message, bot: Bot) -> None:
        sent = await message.reply("…")
        assert sent.ephemeral_message_id is not None
        await bot.edit_ephemeral_message_text(
            text="for you",
            chat_id=GROUP,
            receiver_user_id=ADA,
            ephemeral_message_id=sent.ephemeral_message_id,
        )
        await message.answer("for all")
        done.append(None)

    @dispatcher.message()
    async def public(message: Message, bot: Bot) -> None:
        to = EphemeralMessageParameters(receiver_user_id=ADA)
        await bot.send_message(GROUP, "psst", ephemeral_message_parameters=to)
        await message.answer("loud")
        done.append(None)

    async with polling(telegram, dispatcher) as bot:
        telegram.promote(GROUP)
        await bot.set_my_commands(SECRET)
        telegram.whisper(GROUP, "/secret", user_id=ADA)
        await telegram.wait_for(lambda: len(done) == 1)
        telegram.say(GROUP, "hello", user_id=BOB)
        await telegram.wait_for(lambda: len(done) == 2)
    assert await said(store, OURS) == ["assistant: for all", "user: hello", "assistant: loud"]
    assert await said(store, private(ADA)) == [
        "assistant: [reply to Ada: /secret]\nfor you",
        "assistant: psst",
    ]
