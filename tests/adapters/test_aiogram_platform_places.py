"""Telegram's topics, channels and several bots over a real socket: whose session, and where the
answer goes to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Message

from adapters.tools import QuickSession, all_turns, keys, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import Sender, SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware, per_account

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

ADA = 7
GROUP = -1001234567890
CHANNEL = -1009999999999


async def answer(message: Message, chat_session: ChatSession) -> None:
    await chat_session.answer(f"to {message.text}")


def answering(store: SessionStore, **options: Any) -> Dispatcher:
    """A bot that answers messages, and has no other handler."""
    dispatcher = Dispatcher()
    SessionMiddleware(store, **options).setup(dispatcher)
    dispatcher.message.register(answer)
    return dispatcher


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages]


def direct(topic: int) -> dict[str, Any]:
    """The fields of what is written to a channel; each person has a topic there."""
    who = {"id": topic, "is_bot": False, "first_name": "Ada"}
    return {"user_id": topic, "direct_messages_topic": {"topic_id": topic, "user": who}}


# Topics.


@pytest.mark.parametrize(
    ("chat", "first", "second", "label", "field"),
    [
        (GROUP, {"thread_id": 9}, {"thread_id": 20}, "topic", "message_thread_id"),
        (ADA, {"thread_id": 9}, {"thread_id": 20}, "topic", "message_thread_id"),
        (GROUP, direct(9), direct(20), "direct", "direct_messages_topic"),
    ],
    ids=["forum", "private chat", "channel's direct messages"],
)
async def test_each_topic_has_its_session_and_gets_its_answers(
    store: SessionStore,
    telegram: TelegramEmulator,
    chat: int,
    first: dict[str, Any],
    second: dict[str, Any],
    label: str,
    field: str,
) -> None:
    async with polling(telegram, answering(store)):
        for fields in (first, second):
            telegram.say(chat, "hello", **fields)
        sent = await telegram.wait_sent(chat, 2)
    place = [message[field] for message in sent]
    assert sorted(p["topic_id"] if isinstance(p, dict) else p for p in place) == [9, 20]
    assert await keys(store) == [f"telegram:{chat}:{label}:20", f"telegram:{chat}:{label}:9"]
    for key in await keys(store):
        number = key.rpartition(":")[2]
        title = [f"user: [topic: Topic {number}]"] if (chat, label) == (GROUP, "topic") else []
        assert await said(store, key) == [*title, "user: hello", "assistant: to hello"]


async def test_a_draft_is_shown_in_the_topic_of_its_private_chat(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async def words() -> AsyncIterator[str]:
        yield "half"
        yield " and whole"

    async def grow(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(words())

    dispatcher = Dispatcher()
    SessionMiddleware(store, drafts=True).setup(dispatcher)
    dispatcher.message.register(grow)
    async with polling(telegram, dispatcher):
        telegram.say(ADA, "hello", thread_id=9)
        (sent,) = await telegram.wait_sent(ADA, 1)
    assert (sent["text"], sent["message_thread_id"]) == ("half and whole", 9)
    (draft,) = telegram.called("sendMessageDraft")
    assert draft.params["text"] == "half"
    assert int(draft.params["message_thread_id"]) == 9


async def test_a_forums_general_topic_is_the_groups_own_session(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, answering(store)):
        telegram.say(GROUP, "in a topic", thread_id=9)
        telegram.say(GROUP, "in general")
        sent = await telegram.wait_sent(GROUP, 2)
    (general,) = [message for message in sent if "message_thread_id" not in message]
    assert general["text"] == "to in general"
    assert await said(store, f"telegram:{GROUP}") == [
        "user: in general",
        "assistant: to in general",
    ]


async def test_a_plain_groups_chain_of_replies_is_no_topic(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, answering(store)):
        first = telegram.say(GROUP, "first")
        chained = telegram.say(GROUP, "second", reply_to=first)
        assert "message_thread_id" in chained["message"], "else this test tests nothing"
        sent = await telegram.wait_sent(GROUP, 2)
    assert not any("message_thread_id" in message for message in sent)
    assert await keys(store) == [f"telegram:{GROUP}"]


async def test_with_the_chats_scope_topics_share_a_session_and_answers_go_to_their_topic(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    async with polling(telegram, answering(store, scope="chat")):
        telegram.say(GROUP, "a", thread_id=9)
        telegram.say(GROUP, "b", thread_id=20)
        sent = await telegram.wait_sent(GROUP, 2)
    assert {message["text"]: message["message_thread_id"] for message in sent} == {
        "to a": 9,
        "to b": 20,
    }
    assert await keys(store) == [f"telegram:{GROUP}"]


# Channels.


async def test_a_channels_posts_and_their_edits_are_the_channels_turns(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = answering(store)
    dispatcher.channel_post.register(answer)
    async with polling(telegram, dispatcher):
        post = telegram.say(CHANNEL, "news", chat_type="channel")
        (sent,) = await telegram.wait_sent(CHANNEL, 1)
        telegram.edit(post, "better news")
        await telegram.wait_taken()
    assert sent["text"] == "to news"
    turns = await all_turns(store, f"telegram:{CHANNEL}")
    assert [turn.content for turn in turns] == ["better news", "to news"]
    assert turns[0].sender == Sender(str(CHANNEL), f"Chat {CHANNEL}")
    assert turns[1].source_ids == (f"{CHANNEL}:{sent['message_id']}",)


# Several bots.


@asynccontextmanager
async def both_polling(dispatcher: Dispatcher, *telegrams: TelegramEmulator) -> AsyncIterator[None]:
    """One dispatcher with a bot for each of the servers."""
    bots = []
    for telegram in telegrams:
        session = QuickSession(api=TelegramAPIServer.from_base(telegram.url))
        bots.append(Bot(telegram.token, session=session))
    run = dispatcher.start_polling(*bots, handle_signals=False)
    task = asyncio.create_task(run)
    try:
        for telegram in telegrams:
            await telegram.wait_for(lambda: telegram.polling or task.done())  # noqa: B023
        yield
    finally:
        await dispatcher.stop_polling()
        await task


async def test_the_private_chats_of_two_bots_in_one_dispatcher_do_not_mix(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = answering(store, scope=per_account())
    async with TelegramEmulator("43:TEST") as other, both_polling(dispatcher, telegram, other):
        one, two = telegram.say(ADA, "to 42"), other.say(ADA, "to 43")
        assert one["message"]["message_id"] == two["message"]["message_id"]
        assert texts(await telegram.wait_sent(ADA, 1)) == ["to to 42"]
        assert texts(await other.wait_sent(ADA, 1)) == ["to to 43"]
    for account in (42, 43):
        lines = await said(store, f"telegram:{ADA}:account:{account}")
        assert lines == [f"user: to {account}", f"assistant: to to {account}"]
