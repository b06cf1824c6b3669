"""The title of a topic on Telegram is the one that people see there, over a real socket."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.types import Message

from adapters.tools import all_turns, feed, keys, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession, ResetPolicy
from turnkeep_aiogram import SessionMiddleware, per_account, privacy_router

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

GROUP = -1001234567890
ADA, BOB = 71, 72


def dispatcher(store: SessionStore, **options: Any) -> Dispatcher:
    made = Dispatcher()
    SessionMiddleware(store, **options).setup(made)
    return made


def opened(telegram: TelegramEmulator, name: str = "Lunch", by: int = ADA) -> int:
    """A topic that a person opens before the bot comes; its id."""
    return int(telegram.open_topic(GROUP, name, user_id=by)["message"]["message_id"])


def key_of(topic: int) -> str:
    return f"telegram:{GROUP}:topic:{topic}"


async def test_a_topics_title_is_in_its_window(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    topic, windows = opened(telegram, r"Lunch \1 [again]"), list[Any]()
    made = dispatcher(store)

    @made.message(F.text)
    async def answer(message: Message, chat_session: ChatSession) -> None:
        windows.append([one["content"] for one in await chat_session.get_history()])
        await chat_session.answer("Yes.")

    async with polling(telegram, made):
        for number, text in enumerate(("Well?", "And now?"), 1):
            telegram.say(GROUP, text, user_id=BOB, thread_id=topic)
            await telegram.wait_sent(GROUP, number)
        await telegram.wait_taken()
    title = r"[topic: Lunch \1 (again)]"
    assert windows[0] == [title, "Well?"]
    assert windows[1] == [title, "Well?", "Yes.", "And now?"]
    turn, *_ = await all_turns(store, key_of(topic))
    assert turn.sender is not None
    assert (turn.source_id, turn.sender.id) == (f"{GROUP}:{topic}", str(ADA))


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("by", ["a person", "the bot"])
async def test_a_topics_new_title_is_in_its_window(
    store: SessionStore, telegram: TelegramEmulator, by: str, restarted: bool
) -> None:
    topic = opened(telegram)
    telegram.promote(GROUP, "can_manage_topics")

    async def rename(bot: Bot, name: str) -> None:
        if by == "the bot":
            await bot.edit_forum_topic(GROUP, topic, name=name)
        else:
            telegram.rename_topic(GROUP, topic, name)
        await telegram.wait_taken()

    async with polling(telegram, dispatcher(store)) as bot:
        telegram.say(GROUP, "Well?", thread_id=topic)
        await telegram.wait_taken()
        if not restarted:
            await rename(bot, "Dinner")
    if restarted:
        async with polling(telegram, dispatcher(store)) as bot:
            await rename(bot, "Dinner")
    lines = ["user: [topic: Dinner]", "user: Well?"]
    assert await said(store, key_of(topic)) == lines
    async with polling(telegram, dispatcher(store)) as bot:
        await rename(bot, "Supper")
        telegram.say(GROUP, "More?", thread_id=topic)
        await telegram.wait_taken()
    lines = ["user: [topic: Supper]", "user: Well?", "user: More?"]
    assert await said(store, key_of(topic)) == lines


async def test_a_topic_that_is_renamed_before_its_first_message_has_its_new_title(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, dispatcher(store)):
        topic = opened(telegram)
        telegram.rename_topic(GROUP, topic, "Dinner")
        telegram.say(GROUP, "Well?", thread_id=topic)
        await telegram.wait_taken()
    assert await said(store, key_of(topic)) == ["user: [topic: Dinner]", "user: Well?"]


async def test_a_first_message_that_replies_to_another_one_has_the_title_above_it(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, dispatcher(store, record="addressed")) as bot:
        topic = opened(telegram)
        sent = await bot.send_message(GROUP, "Well?", message_thread_id=topic)
        telegram.say(GROUP, "Yes.", thread_id=topic, reply_to=sent.message_id)
        await telegram.wait_taken()
    title, _ = await said(store, key_of(topic))
    assert title == "user: [topic: Lunch]"


async def test_messages_that_come_at_once_stand_behind_the_title_in_their_order(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    topic = opened(telegram)
    texts = [f"{number}" for number in range(20)]
    await feed(dispatcher(store), *(telegram.say(GROUP, text, thread_id=topic) for text in texts))
    lines = ["user: [topic: Lunch]", *(f"user: {text}" for text in texts)]
    assert await said(store, key_of(topic)) == lines


@pytest.mark.parametrize(
    ("scope", "key"),
    [
        ("reply_chain", f"telegram:{GROUP}:topic:{{}}"),
        ("user_in_topic", f"telegram:{GROUP}:topic:{{}}:user:{BOB}"),
        (per_account(), f"telegram:{GROUP}:topic:{{}}:account:42"),
    ],
)
async def test_each_of_a_topics_sessions_has_its_title(
    store: SessionStore, telegram: TelegramEmulator, scope: Any, key: str
) -> None:
    topic, windows = opened(telegram), list[Any]()
    made = dispatcher(store, scope=scope)

    @made.message(F.text)
    async def read(message: Message, chat_session: ChatSession) -> None:
        windows.append([one["content"] for one in await chat_session.get_history()])

    async with polling(telegram, made):
        telegram.say(GROUP, "Well?", user_id=BOB, thread_id=topic)
        telegram.rename_topic(GROUP, topic, "Dinner")
        await telegram.wait_taken()
        telegram.say(GROUP, "So?", user_id=BOB, thread_id=topic)
        await telegram.wait_taken()
    assert key.format(topic) in await keys(store)
    assert (await said(store, key.format(topic)))[0] == "user: [topic: Dinner]"
    assert windows[-1][0] == "[topic: Dinner]"
    assert windows[-1][-1] == "So?"


@pytest.mark.parametrize("scope", ["chat", "user_in_chat", "global_user"])
async def test_where_topics_share_a_session_it_has_no_title(
    store: SessionStore, telegram: TelegramEmulator, scope: Any
) -> None:
    async with polling(telegram, dispatcher(store, scope=scope)):
        topic = opened(telegram)
        telegram.say(GROUP, "Well?", user_id=BOB, thread_id=topic)
        telegram.rename_topic(GROUP, topic, "Dinner")
        await telegram.wait_taken()
    (key,) = await keys(store)
    assert await said(store, key) == ["user: Well?"]


Notice = Callable[[TelegramEmulator, int], object]


def icon(telegram: TelegramEmulator, topic: int) -> object:
    """Another icon for a topic: the notice tells no name."""
    edited: dict[str, Any] = {"forum_topic_edited": {"icon_custom_emoji_id": "5"}}
    return telegram.say(GROUP, thread_id=topic, **edited)


def close(telegram: TelegramEmulator, topic: int) -> object:
    return telegram.close_topic(GROUP, topic)


@pytest.mark.parametrize("notice", [icon, close])
async def test_other_notices_leave_the_title_as_it_is(
    store: SessionStore, telegram: TelegramEmulator, notice: Notice
) -> None:
    topic = opened(telegram)
    async with polling(telegram, dispatcher(store)):
        telegram.say(GROUP, "Well?", thread_id=topic)
        notice(telegram, topic)
        await telegram.wait_taken()
    assert await said(store, key_of(topic)) == ["user: [topic: Lunch]", "user: Well?"]


async def test_a_name_that_nobody_has_chosen_is_no_title(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    topic = telegram.open_topic(GROUP, "New Chat", is_name_implicit=True)["message"]["message_id"]
    async with polling(telegram, dispatcher(store)):
        telegram.say(GROUP, "Well?", thread_id=topic)
        await telegram.wait_taken()
    assert await said(store, key_of(topic)) == ["user: Well?"]


async def test_the_title_that_an_ignored_person_gave_is_not_recorded(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    topic = opened(telegram)
    async with polling(telegram, dispatcher(store, ignore={ADA})):
        telegram.say(GROUP, "Well?", user_id=BOB, thread_id=topic)
        telegram.rename_topic(GROUP, topic, "Dinner", user_id=ADA)
        await telegram.wait_taken()
    assert await said(store, key_of(topic)) == ["user: Well?"]


async def test_a_title_goes_with_the_person_who_gave_it_and_is_not_repeated_after_a_reset(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    topic = opened(telegram)
    made = dispatcher(store, reset=ResetPolicy(idle=timedelta(hours=1)))
    made.include_router(privacy_router())
    async with polling(telegram, made):
        now = int(telegram.clock.time())
        telegram.say(GROUP, "Well?", user_id=BOB, thread_id=topic, date=now - 9999)
        telegram.say(GROUP, "So?", user_id=BOB, thread_id=topic, date=now)
        await telegram.wait_taken()
        turns = [(turn.epoch, turn.text) for turn in await all_turns(store, key_of(topic))]
        assert turns == [(1, "[topic: Lunch]"), (1, "Well?"), (2, "So?")]
        telegram.open_chat(ADA)
        telegram.say(GROUP, "/forget", user_id=ADA, thread_id=topic)
        await telegram.wait_sent(ADA, 1)
        telegram.say(GROUP, "There?", user_id=BOB, thread_id=topic)
        await telegram.wait_taken()
    assert await said(store, key_of(topic)) == ["user: Well?", "user: So?", "user: There?"]
