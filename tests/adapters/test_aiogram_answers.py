"""Answers that grow, what is captured of what a bot sends, and the ready-made handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.filters import Command
from aiogram.methods import SendMessage
from aiogram.types import CallbackQuery, Message

from adapters.tools import all_turns, polling, said
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import Reply, SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

GROUP = -1001234567890


async def words(text: str, pause: float = 0) -> AsyncIterator[str]:
    for word in text.split(" "):
        yield word + " "
        await asyncio.sleep(pause)


def saying(says: Callable[[Message], Any]) -> Callable[..., Any]:
    """A handler that answers so."""

    async def handle(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(says(message))

    return handle


async def echo(message: Message, chat_session: ChatSession) -> None:
    await chat_session.answer(words(f"You said: {message.text}"))


async def test_an_answer_may_be_shown_as_a_draft(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, drafts=True).setup(dispatcher)
    dispatcher.message.register(echo)
    async with polling(telegram, dispatcher):
        telegram.say(7, "hello")
        await telegram.wait_for(lambda: len(telegram.sent(7)) == 1)
    assert telegram.called("sendMessageDraft")
    assert not telegram.called("editMessageText")
    assert telegram.sent(7)[0]["text"] == "You said: hello"


async def test_what_render_makes_is_sent_and_what_the_model_said_is_stored(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()

    def bold(text: str) -> dict[str, Any]:
        return {"text": f"<b>{text}</b>", "parse_mode": "HTML"}

    SessionMiddleware(store, render=bold).setup(dispatcher)
    dispatcher.message.register(saying(lambda message: message.text))
    async with polling(telegram, dispatcher):
        telegram.say(7, "hello")
        telegram.say(7, "<i>not closed")  # Telegram refuses it: sent as it is
        await telegram.wait_for(lambda: len(telegram.sent(7)) == 2)
    assert sorted(one["text"] for one in telegram.sent(7)) == ["<i>not closed", "hello"]
    assert "assistant: hello" in await said(store, "telegram:7")


async def test_an_agent_adds_its_tools_to_the_reply(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    async def agent(reply: Reply) -> AsyncIterator[str]:
        yield "Let me look. "
        reply.add_tool_call("c1", "look", {"at": "clock"})
        reply.add_tool_result("c1", "noon")
        assert [one["role"] for one in await reply.get_history()] == ["user", "assistant", "tool"]
        yield "It is noon."

    dispatcher.message.register(saying(lambda message: agent))
    async with polling(telegram, dispatcher):
        telegram.say(7, "What time is it?")
        await telegram.wait_for(
            lambda: [one["text"] for one in telegram.sent(7)] == ["Let me look. It is noon."]
        )
    turns = await all_turns(store, "telegram:7")
    assert [turn.role for turn in turns] == ["user", "assistant", "tool", "assistant"]


async def test_what_the_bot_sends_is_captured_once_as_it_stands_in_the_end(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    middleware = SessionMiddleware(store, capture=True)
    middleware.setup(dispatcher)

    @dispatcher.message(Command("help"))
    async def help_(message: Message) -> SendMessage:
        return message.answer("Ask me anything.")

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        wait = await message.answer("…")
        gone = await message.answer("one moment")
        await gone.delete()
        await wait.edit_text("half")
        await wait.edit_text("all of it")
        async with chat_session.reply() as reply:
            reply.add_text("**said**")
            await message.answer("said")  # a part of the reply, though nobody linked it

    async with polling(telegram, dispatcher) as bot:
        telegram.say(7, "hello")
        await telegram.wait_for(lambda: len(telegram.sent(7)) == 2)
        telegram.say(7, "/help")
        await telegram.wait_for(lambda: len(telegram.sent(7)) == 3)
        sent = await bot.send_message(7, "Good morning")  # outside of any handler
        await sent.edit_text("Good evening")
    turns = await said(store, "telegram:7")
    assert sorted(turns) == [
        "assistant: **said**",
        "assistant: Ask me anything.",
        "assistant: Good evening",
        "assistant: all of it",
        "user: hello",
    ]


async def test_a_proactive_message_is_recorded_with_one_call(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    sessions = SessionMiddleware(store).setup(dispatcher)
    telegram.open_chat(7)
    async with polling(telegram, dispatcher) as bot:
        sent = await bot.send_message(7, "Good <morning>")
        await sessions.record_sent(sent)
        await sessions.record_sent(sent)
        await sessions.record_sent(await bot.send_message(7, "Two"), "**Two**")
    assert await said(store, "telegram:7") == ["assistant: Good <morning>", "assistant: **Two**"]


async def test_a_pressed_button_can_be_answered(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.callback_query()
    async def pressed(query: CallbackQuery, chat_session: ChatSession) -> None:
        await query.answer()
        await chat_session.answer("Tea it is.")

    async with polling(telegram, dispatcher):
        telegram.press(telegram.say(7, "Tea?"), "yes", user_id=7)
        await telegram.wait_for(lambda: len(telegram.sent(7)) == 1)
    assert (await said(store, "telegram:7"))[1:] == ["user: [button: yes]", "assistant: Tea it is."]


async def test_an_answer_after_the_group_became_a_supergroup_goes_there(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher, begun, migrated = Dispatcher(), asyncio.Event(), asyncio.Event()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message(lambda message: message.text)
    async def handle(message: Message, chat_session: ChatSession) -> None:
        begun.set()
        await migrated.wait()
        await chat_session.answer("here")

    async with polling(telegram, dispatcher):
        telegram.say(-5, "hello")
        await asyncio.wait_for(begun.wait(), PATIENCE)
        telegram.migrate(-5, GROUP)
        migrated.set()
        await telegram.wait_sent(GROUP, 1)
    assert await said(store, f"telegram:{GROUP}") == ["user: hello", "assistant: here"]


async def test_a_bot_of_its_own_needs_no_dispatcher_to_record(store: SessionStore) -> None:
    async with store:
        bot = Bot("42:TEST")
        message = Message.model_validate(
            {
                "message_id": 5,
                "date": 1,
                "chat": {"id": 7, "type": "private", "first_name": "Ada"},
                "text": "hi",
            }
        ).as_(bot)
        await SessionMiddleware(store).record_sent(message, key="telegram:8")
        assert await said(store, "telegram:8") == ["assistant: hi"]
