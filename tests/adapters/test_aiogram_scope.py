"""Who shares a session on Telegram, in the words of aiogram's FSMStrategy."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Bot, Dispatcher
from aiogram.fsm.strategy import FSMStrategy
from aiogram.types import Update

from adapters.tools import feed, keys, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionKey, SessionStore
from turnkeep_aiogram import Scope, SessionMiddleware, per_account

pytestmark = pytest.mark.asyncio

GROUP = -1001234567890


def by_title(update: Update, data: dict[str, Any]) -> SessionKey | None:
    """A function of the event: no session in private chats."""
    chat = data["event_context"].chat
    return None if chat is None or chat.type == "private" else SessionKey("telegram", "all-groups")


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("chat_topic", ["telegram:-100:topic:9", "telegram:-100", "telegram:42"]),
        ("chat", ["telegram:-100", "telegram:42"]),
        (FSMStrategy.CHAT, ["telegram:-100", "telegram:42"]),
        (
            "user_in_chat",
            ["telegram:-100:user:42", "telegram:-100:user:43", "telegram:42:user:42"],
        ),
        (
            FSMStrategy.USER_IN_TOPIC,
            [
                "telegram:-100:topic:9:user:42",
                "telegram:-100:user:42",
                "telegram:-100:user:43",
                "telegram:42:user:42",
            ],
        ),
        ("global_user", ["telegram:user:42", "telegram:user:43"]),
        (by_title, ["telegram:all-groups"]),
        (
            per_account("chat"),
            ["telegram:-100:account:42", "telegram:42:account:42"],
        ),
    ],
    # xdist compares the names that its processes found: no address may stand in one.
    ids=lambda value: None if callable(value) else str(value),
)
async def test_a_scope_says_who_shares_a_session(
    store: SessionStore, scope: Scope, expected: list[str]
) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store, scope=scope).setup(dispatcher)
    async with store:
        await feed(dispatcher, telegram.say(GROUP, "a", user_id=42, thread_id=9))
        await feed(dispatcher, telegram.say(GROUP, "b", user_id=42))
        await feed(dispatcher, telegram.say(GROUP, "c", user_id=43))
        await feed(dispatcher, telegram.say(42, "d"))
        found = [key.replace(str(GROUP), "-100") for key in await keys(store)]
    assert found == sorted(expected)


async def test_anonymous_administrators_of_two_groups_share_nothing(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store, scope="global_user").setup(dispatcher)
    fake = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
    async with store:
        for group in (GROUP, GROUP - 1):
            chat = {"id": group, "type": "supergroup", "title": f"Group {group}"}
            by: dict[str, Any] = {"sender_chat": chat, "from": fake}
            await feed(dispatcher, telegram.say(group, "hi", **by))
        assert await keys(store) == sorted([f"telegram:user:{GROUP}", f"telegram:user:{GROUP - 1}"])


async def test_two_bots_in_one_dispatcher_have_sessions_of_their_own(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store, scope=per_account()).setup(dispatcher)
    async with store:
        update = telegram.say(7, "hello")
        for token in ("42:TEST", "43:TEST"):
            await dispatcher.feed_raw_update(Bot(token), update)
        for account in (42, 43):
            assert await said(store, f"telegram:7:account:{account}") == ["user: hello"]


async def test_a_scope_that_there_is_not_is_refused(store: SessionStore) -> None:
    with pytest.raises(ValueError, match="'user_in_chat'"):
        SessionMiddleware(store, scope="planet")  # type: ignore[arg-type]


async def test_a_group_that_becomes_a_supergroup_keeps_its_sessions(store: SessionStore) -> None:
    for new_first in (False, True):
        telegram, dispatcher = TelegramEmulator(), Dispatcher()
        SessionMiddleware(store, scope="user_in_chat").setup(dispatcher)
        old, new = -5 - new_first, GROUP - 10 - new_first
        async with store:
            await feed(dispatcher, telegram.say(old, "before", user_id=42))
            for update in telegram.migrate(old, new, new_first=new_first):
                await feed(dispatcher, update)
            await feed(dispatcher, telegram.say(new, "after", user_id=42))
            turns = await said(store, f"telegram:{new}:user:42")
            assert turns == ["user: before", "user: after"]
            assert await said(store, f"telegram:{old}:user:42") == turns, "the alias"


async def test_what_has_no_chat_belongs_to_its_user_or_to_nobody(store: SessionStore) -> None:
    ada = {"id": 7, "is_bot": False, "first_name": "Ada"}
    inline = {"id": "1", "from": ada, "query": "cats", "offset": ""}
    guest = TelegramEmulator().say(GROUP, "as a guest", user_id=7)["message"]
    for scope, expected in (("global_user", "telegram:user:7"), ("chat", None)):
        dispatcher, given = Dispatcher(), list[Any]()
        SessionMiddleware(store, scope=scope).setup(dispatcher)  # type: ignore[arg-type]

        async def handle(event: object, chat_session: Any, given: list[Any] = given) -> None:
            given.append(chat_session and str(chat_session.key))

        dispatcher.inline_query.register(handle)
        dispatcher.guest_message.register(handle)
        async with store:
            await feed(dispatcher, {"update_id": 1, "inline_query": inline})
            await feed(dispatcher, {"update_id": 2, "guest_message": guest})
            assert await keys(store) == []
        assert given == [expected, None]
