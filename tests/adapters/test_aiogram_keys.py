"""Which session an update of Telegram belongs to, and what a handler is given."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.types import CallbackQuery, InlineQuery, Message, TelegramObject

from adapters.tools import feed, keys, said
from emulators.telegram import TelegramEmulator
from turnkeep import Session, SessionStore
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio

GROUP = -1001234567890
DIRECT = {"topic_id": 5, "user": {"id": 7, "is_bot": False, "first_name": "Ada"}}


def recorder(store: SessionStore) -> tuple[Dispatcher, list[Session | None]]:
    """A dispatcher that notes which session each of its handlers was given."""
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    given: list[Session | None] = []

    async def handle(event: TelegramObject, chat_session: Session | None) -> None:
        given.append(chat_session)

    for observer in dispatcher.observers.values():
        if observer.event_name not in ("update", "error"):
            observer.register(handle)
    return dispatcher, given


@pytest.mark.parametrize(
    ("chat", "fields", "key"),
    [
        (7, {}, "telegram:7"),
        (-5, {}, "telegram:-5"),
        (GROUP, {}, f"telegram:{GROUP}"),
        (GROUP, {"thread_id": 9}, f"telegram:{GROUP}:topic:9"),
        (7, {"thread_id": 9}, "telegram:7:topic:9"),
        (GROUP, {"thread_id": 9, "is_topic": False}, f"telegram:{GROUP}"),
        (7, {"business_connection_id": "b:1"}, "telegram:7:business:b%3A1"),
        (GROUP, {"direct_messages_topic": DIRECT}, f"telegram:{GROUP}:direct:5"),
    ],
    ids=[
        "private",
        "group",
        "supergroup",
        "topic",
        "private topic",
        "reply chain",
        "business",
        "direct messages",
    ],
)
async def test_a_message_belongs_to_its_chat_and_topic(
    store: SessionStore, chat: int, fields: dict[str, Any], key: str
) -> None:
    telegram = TelegramEmulator()
    dispatcher, given = recorder(store)
    async with store:
        update = telegram.say(chat, "hello", **fields)
        await feed(dispatcher, update)
        await feed(dispatcher, telegram.edit(update, "hello!"))
        assert await keys(store) == [key]
        assert (await said(store, key))[-1] == "user: hello!"
    assert [str(session.key) for session in given if session] == [key, key]
    assert [session.turn is not None for session in given if session] == [True, True]


async def test_a_chain_of_replies_in_a_plain_group_stays_in_the_groups_session(
    store: SessionStore,
) -> None:
    telegram = TelegramEmulator()
    dispatcher, _ = recorder(store)
    async with store:
        first = telegram.say(GROUP, "first")
        reply = telegram.say(GROUP, "reply", reply_to=first)
        assert "message_thread_id" in reply["message"], "else this test tests nothing"
        await feed(dispatcher, first, reply)
        assert await said(store, f"telegram:{GROUP}") == [
            "user: first",
            "user: [reply to Ada: first]\nreply",
        ]


@pytest.mark.parametrize("direct", [False, True], ids=["chat", "direct messages"])
async def test_a_pressed_button_belongs_to_its_messages_session(
    store: SessionStore, direct: bool
) -> None:
    telegram = TelegramEmulator()
    dispatcher, given = recorder(store)
    async with store:
        fields = {"direct_messages_topic": DIRECT} if direct else {"thread_id": 9}
        message = telegram.say(GROUP, "hello", **fields)
        await feed(dispatcher, message)
        await feed(dispatcher, telegram.press(message, "data"))
    said_in, pressed_in = given
    assert said_in is not None
    assert pressed_in is not None
    assert pressed_in.key == said_in.key
    assert pressed_in.turn is not None
    assert pressed_in.turn.content == "[button: data]"


async def test_an_update_without_a_chat_has_no_session(store: SessionStore) -> None:
    dispatcher, given = recorder(store)
    ada = {"id": 7, "is_bot": False, "first_name": "Ada"}
    query = {"id": "1", "from": ada, "query": "cats", "offset": ""}
    pressed = {"id": "2", "from": ada, "chat_instance": "1", "inline_message_id": "x", "data": "d"}
    async with store:
        await feed(dispatcher, {"update_id": 1, "inline_query": query})
        await feed(dispatcher, {"update_id": 2, "callback_query": pressed})
        assert await keys(store) == []
    assert given == [None, None]


async def test_an_update_of_a_kind_that_aiogram_does_not_know_is_left_to_aiogram(
    store: SessionStore,
) -> None:
    dispatcher, given = recorder(store)
    async with store:
        with pytest.warns(RuntimeWarning, match="unknown update type"):
            await feed(dispatcher, {"update_id": 1, "of_tomorrow": {}})
    assert given == []


async def test_the_handlers_parameter_has_the_name_that_was_asked_for(
    store: SessionStore,
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, data_key="memory").setup(dispatcher)
    given: list[str] = []

    @dispatcher.message()
    async def on_message(message: Message, memory: Session, **data: Any) -> None:
        given.append(str(memory.key))
        assert "chat_session" not in data

    @dispatcher.inline_query()
    async def on_query(query: InlineQuery) -> None:
        given.append("inline")

    @dispatcher.callback_query()
    async def on_press(query: CallbackQuery, memory: Session) -> None:
        given.append(f"pressed in {memory.key}")

    telegram = TelegramEmulator()
    async with store:
        message = telegram.say(7, "hello")
        await feed(dispatcher, message)
        await feed(dispatcher, telegram.press(message, "data"))
    assert given == ["telegram:7", "pressed in telegram:7"]


async def test_registered_at_another_place_it_says_where_it_belongs(store: SessionStore) -> None:
    dispatcher = Dispatcher()
    dispatcher.message.outer_middleware(SessionMiddleware(store))
    async with store:
        with pytest.raises(ExceptionGroup) as caught:
            await feed(dispatcher, TelegramEmulator().say(7, "hello"))
    assert "SessionMiddleware(store).setup(dp)" in str(caught.value.exceptions[0])
