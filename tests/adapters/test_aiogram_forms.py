"""Forms, menus and commands of a bot's own on Telegram: what is not recorded, and what is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram import Dispatcher, F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.fsm.scene import Scene, SceneRegistry, on
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import BaseStorage
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.types import CallbackQuery, Message

from adapters.tools import keys, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession, PrivacyTexts
from turnkeep_aiogram import SessionMiddleware, privacy_router

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

ADA, BOB, GROUP, AWAY = 7, 8, -1001234567890, -1009
OURS = f"telegram:{ADA}"


class Form(StatesGroup):
    key = State()
    talk = State()


class SlowStorage(MemoryStorage):
    """A storage of states that takes its time, as one on another machine does."""

    async def get_state(self, *args: Any, **kwargs: Any) -> str | None:
        await asyncio.sleep(0.01)
        return await super().get_state(*args, **kwargs)


def with_form(
    store: SessionStore, storage: BaseStorage | None = None, **options: Any
) -> Dispatcher:
    """A bot that asks for a key after `/form`, and otherwise notes what is said."""
    dispatcher = Dispatcher(storage=storage or MemoryStorage())
    SessionMiddleware(store, **options).setup(dispatcher)

    @dispatcher.message(Command("form", "talk"))
    async def begin(message: Message, state: FSMContext) -> None:
        await state.set_state(Form.key if message.text == "/form" else Form.talk)
        await message.answer("Your key?")

    @dispatcher.message(Form.key)
    async def typed(message: Message, state: FSMContext) -> None:
        await state.clear()
        await message.answer("Thank you.")

    @dispatcher.message()
    async def other(message: Message) -> None:
        await message.answer("I see.")

    return dispatcher


async def fills(telegram: TelegramEmulator, begin: str = "/form") -> Any:
    telegram.say(ADA, begin)
    await telegram.wait_sent(ADA, 1)
    typed = telegram.say(ADA, "sk-secret")
    await telegram.wait_sent(ADA, 2)
    return typed


@pytest.mark.parametrize("storage", [MemoryStorage, SlowStorage])
@pytest.mark.parametrize("record", ["all", "handled"])
async def test_what_is_typed_into_a_form_is_not_recorded(
    store: SessionStore, telegram: TelegramEmulator, storage: Any, record: Any
) -> None:
    async with polling(telegram, with_form(store, storage(), record=record)):
        typed = await fills(telegram)
        telegram.say(ADA, "did you get it?", reply_to=typed)
        await telegram.wait_sent(ADA, 3)
    assert await said(store, OURS) == ["user: [reply to a message]\ndid you get it?"]


@pytest.mark.parametrize("states", [True, [Form.key], ["Form:key"]])
async def test_it_is_where_the_state_is_one_to_record(
    store: SessionStore, telegram: TelegramEmulator, states: Any
) -> None:
    async with polling(telegram, with_form(store, record_states=states)):
        await fills(telegram)
    assert await said(store, OURS) == ["user: sk-secret"]


async def test_another_state_stays_a_form(store: SessionStore, telegram: TelegramEmulator) -> None:
    async with polling(telegram, with_form(store, record_states=[Form.key])):
        await fills(telegram, "/talk")
    assert await keys(store) == []


async def test_a_handlers_flag_records_what_is_typed(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message(Command("form"))
    async def begin(message: Message, state: FSMContext) -> None:
        await state.set_state(Form.talk)
        await message.answer("Well?")

    @dispatcher.message(Form.talk, flags={"turnkeep": {"record": True}})
    async def talk(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer("I see.")

    async with polling(telegram, dispatcher):
        await fills(telegram)
    assert await said(store, OURS) == ["user: sk-secret", "assistant: I see."]


class Quiz(Scene, state="quiz"):
    @on.message.enter()
    async def enter(self, message: Message) -> None:
        await message.answer("Your key?")

    @on.message()
    async def typed(self, message: Message) -> None:
        await message.answer("Thank you.")


async def test_what_is_typed_in_a_scene_is_not_recorded(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher, router = Dispatcher(), Router()
    SessionMiddleware(store).setup(dispatcher)
    router.message.register(Quiz.as_handler(), Command("form"))
    dispatcher.include_router(router)
    SceneRegistry(dispatcher).add(Quiz)
    async with polling(telegram, dispatcher):
        await fills(telegram)
    assert await keys(store) == []


@pytest.mark.parametrize(
    ("options", "flags", "lines"),
    [
        ({}, {}, []),
        ({"record_states": True}, {}, ["user: [button: settings]"]),
        ({}, {"turnkeep": {"record": True}}, ["user: [button: settings]"]),
        ({"record": "handled"}, {}, ["user: [button: settings]"]),
    ],
    ids=["default", "states", "flag", "handled"],
)
async def test_a_button_that_a_handler_of_its_own_takes_is_not_recorded_unless_asked(
    store: SessionStore, telegram: TelegramEmulator, options: Any, flags: Any, lines: list[str]
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, **options).setup(dispatcher)
    taken: list[str | None] = []

    @dispatcher.callback_query(F.data == "settings", flags=flags)
    async def settings(query: CallbackQuery) -> None:
        taken.append(query.data)

    async with polling(telegram, dispatcher) as bot:
        telegram.open_chat(ADA)
        sent = await bot.send_message(ADA, "Well?")
        raw = {"chat": {"id": ADA}, "message_id": sent.message_id}
        telegram.press(raw, "settings", user_id=ADA)
        await telegram.wait_for(lambda: taken)
    assert await said(store, OURS) == lines


async def test_any_other_button_is_a_part_of_the_conversation(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    taken: list[str | None] = []

    @dispatcher.callback_query(F.data == "settings")
    async def settings(query: CallbackQuery) -> None:
        taken.append(query.data)

    async with polling(telegram, dispatcher) as bot:
        telegram.open_chat(ADA)
        sent = await bot.send_message(ADA, "Well?")
        raw = {"chat": {"id": ADA}, "message_id": sent.message_id}
        pressed = telegram.press(raw, "more", user_id=ADA)
        telegram.redeliver(pressed)
        telegram.press(raw, "settings", user_id=ADA)
        await telegram.wait_for(lambda: taken)
    assert await said(store, OURS) == ["user: [button: more]"]


# The commands of privacy.


@pytest.mark.parametrize("where", ["dispatcher", "router before", "nested"])
async def test_a_handler_that_takes_everything_does_not_swallow_them(
    store: SessionStore, telegram: TelegramEmulator, where: str
) -> None:
    dispatcher, before, outer = Dispatcher(), Router(), Router()
    SessionMiddleware(store).setup(dispatcher)
    taking = dispatcher if where == "dispatcher" else before

    @taking.message(F.text)
    async def everything(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(f"to {message.text}")

    if where == "nested":
        outer.include_router(privacy_router())
        dispatcher.include_routers(before, outer)
    else:
        dispatcher.include_routers(before, privacy_router())
    async with polling(telegram, dispatcher):
        telegram.say(ADA, "hello")
        await telegram.wait_sent(ADA, 1)
        telegram.say(ADA, "/forget")
        await telegram.wait_sent(ADA, 2)
        telegram.say(ADA, "/other")
        await telegram.wait_sent(ADA, 3)
    sent = [one["text"] for one in telegram.sent(ADA)]
    assert sent == ["to hello", "What was kept of you here is erased.", "to /other"]


async def test_a_command_of_the_bots_own_goes_before_them(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message(Command("forget"))
    async def own(message: Message) -> None:
        await message.answer("Never.")

    dispatcher.include_router(privacy_router())
    async with polling(telegram, dispatcher):
        telegram.say(ADA, "/forget")
        await telegram.wait_sent(ADA, 1)
    assert telegram.sent(ADA)[0]["text"] == "Never."


def speaking(language: str) -> dict[str, Any]:
    return {"from": {"id": ADA, "is_bot": False, "first_name": "A", "language_code": language}}


async def test_their_words_are_in_the_users_language(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    dispatcher.include_router(privacy_router())
    async with polling(telegram, dispatcher):
        for count, language in enumerate(("pt-br", "uk", "fr"), 1):
            telegram.say(ADA, "/export", **speaking(language))
            await telegram.wait_sent(ADA, count)
    assert [one["text"] for one in telegram.sent(ADA)] == [
        "Nada sobre você está guardado aqui.",
        "Про вас тут нічого не зберігається.",
        "Nothing is kept of you here.",
    ]


async def test_their_words_can_be_the_bots_own(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    dispatcher.include_router(privacy_router(texts=PrivacyTexts(nothing="Rien.")))
    async with polling(telegram, dispatcher):
        telegram.say(ADA, "/export", **speaking("ru"))
        await telegram.wait_sent(ADA, 1)
    assert telegram.sent(ADA)[0]["text"] == "Rien."


async def test_one_who_never_wrote_to_the_bot_is_told_how_and_the_group_sees_nothing_else(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    dispatcher.include_router(privacy_router())
    async with polling(telegram, dispatcher):
        telegram.say(GROUP, "my secret", user_id=ADA)
        telegram.say(GROUP, "/export", user_id=ADA)
        await telegram.wait_sent(GROUP, 1)
        telegram.say(GROUP, "/forget", user_id=ADA)
        await telegram.wait_sent(GROUP, 2)
    sent = telegram.sent(GROUP)
    assert [one["text"] for one in sent] == [
        "I can't write to you in private yet. Start a chat with me, then ask again.",
        "Done.",
    ]
    assert await keys(store) == []


async def test_an_ignored_persons_words_are_not_kept_where_others_repeat_them(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, ignore={BOB}, capture=True).setup(dispatcher)

    @dispatcher.message()
    async def answer(message: Message) -> None:
        await message.reply("I see.")

    origin = {"type": "user", "date": 1, "sender_user": {"id": BOB, "is_bot": False}}
    origin["sender_user"]["first_name"] = "Bob"  # type: ignore[index]
    async with polling(telegram, dispatcher):
        bobs = telegram.say(GROUP, "my secret", user_id=BOB, first_name="Bob")
        await telegram.wait_sent(GROUP, 1)
        telegram.say(GROUP, "what?", user_id=ADA, reply_to=bobs)
        await telegram.wait_sent(GROUP, 2)
        telegram.say(GROUP, "my secret", user_id=ADA, forward_origin=origin)
        await telegram.wait_sent(GROUP, 3)
    kept = str(await said(store, f"telegram:{GROUP}"))
    assert "[reply to a message]\\nwhat?" in kept
    assert "[forwarded]" in kept
    assert "secret" not in kept
    assert "Bob" not in kept


def _of(user: int, name: str, chat: int = GROUP, **fields: Any) -> dict[str, Any]:
    author = {"id": user, "is_bot": False, "first_name": name}
    group = {"id": chat, "type": "supergroup", "title": "The secret place"}
    return {"message_id": 90, "date": 1, "chat": group, "from": author, **fields}


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (
            {
                "checklist_tasks_done": {
                    "checklist_message": _of(
                        BOB,
                        "Bob",
                        checklist={"title": "Shop", "tasks": [{"id": 1, "text": "secret"}]},
                    ),
                    "marked_as_done_task_ids": [1],
                }
            },
            "[checklist tasks done: task 1]",
        ),
        (
            {
                "text": "what?",
                "external_reply": {
                    "origin": {
                        "type": "user",
                        "date": 1,
                        "sender_user": {"id": 5, "is_bot": False, "first_name": "Eve secret"},
                    },
                    "chat": {"id": AWAY, "type": "supergroup", "title": "The secret place"},
                    "message_id": 5,
                },
                "quote": {"text": "secret", "position": 0},
            },
            "[reply to a message]\nwhat?",
        ),
        (
            {
                "text": "what?",
                "reply_to_story": {
                    "chat": {"id": AWAY, "type": "supergroup", "title": "The secret place"},
                    "id": 5,
                },
            },
            "[reply to a message]\nwhat?",
        ),
    ],
    ids=["checklist", "another chat", "story"],
)
async def test_an_ignored_persons_or_places_words_are_not_kept_by_any_way_of_repeating_them(
    store: SessionStore, telegram: TelegramEmulator, fields: dict[str, Any], shown: str
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, ignore={BOB, AWAY}).setup(dispatcher)
    dispatcher.message.register(lambda message: None)
    text = fields.get("text", "")
    async with polling(telegram, dispatcher):
        telegram.say(GROUP, text, user_id=ADA, **{k: v for k, v in fields.items() if k != "text"})
        await telegram.wait_taken()
    assert await said(store, f"telegram:{GROUP}") == [f"user: {shown}"]


async def test_capture_keeps_to_the_topic_that_a_message_was_sent_in(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=True).setup(dispatcher)

    @dispatcher.message(F.text == "hello")
    async def answer(message: Message, chat_session: ChatSession) -> None:
        assert message.bot is not None
        async with chat_session.reply() as reply:
            reply.add_text("here")
            await message.bot.send_message(GROUP, "in the other", message_thread_id=700)
            await message.answer("here")

    async with polling(telegram, dispatcher):
        telegram.say(GROUP, "earlier", user_id=ADA, thread_id=700)
        telegram.say(GROUP, "hello", user_id=ADA, thread_id=900)
        await telegram.wait_sent(GROUP, 2)
    assert await said(store, f"telegram:{GROUP}:topic:900") == [
        "user: [topic: Topic 900]",
        "user: hello",
        "assistant: here",
    ]
    assert await said(store, f"telegram:{GROUP}:topic:700") == [
        "user: [topic: Topic 700]",
        "user: earlier",
        "assistant: in the other",
    ]


@pytest.mark.parametrize(
    ("fields", "other", "ours", "theirs"),
    [
        (
            {"business_connection_id": "shop"},
            {},
            f"telegram:{ADA}:business:shop",
            f"telegram:{ADA}",
        ),
        (
            {},
            {"business_connection_id": "shop"},
            f"telegram:{ADA}",
            f"telegram:{ADA}:business:shop",
        ),
    ],
    ids=["from a business chat", "to a business chat"],
)
async def test_capture_keeps_to_the_business_connection_that_a_message_was_sent_through(
    store: SessionStore,
    telegram: TelegramEmulator,
    fields: dict[str, Any],
    other: dict[str, Any],
    ours: str,
    theirs: str,
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, capture=True).setup(dispatcher)
    done: list[None] = []

    @dispatcher.business_message(F.from_user.id == ADA)
    @dispatcher.message()
    async def answer(message: Message) -> None:
        assert message.bot is not None
        await message.bot.send_message(ADA, "there", **other)
        await message.answer("here")
        done.append(None)

    async with polling(telegram, dispatcher):
        telegram.open_chat(ADA)
        telegram.open_chat(ADA, connection="shop")
        telegram.say(ADA, "hello", **fields)
        await telegram.wait_for(lambda: done)
    assert await said(store, ours) == ["user: hello", "assistant: here"]
    assert await said(store, theirs) == ["assistant: there"]
