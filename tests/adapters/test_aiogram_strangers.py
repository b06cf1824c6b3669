"""What a stranger's business connection says of messages changes nobody else's history."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Dispatcher

from adapters.tools import all_turns, feed, keys, polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep_aiogram import SessionMiddleware, per_account, source_id

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

ADA = 7
SCOPES: list[Any] = [
    "chat_topic",
    "global_user",
    per_account(),
    per_account("global_user"),
    per_account("user_in_chat"),
    lambda update, data: "telegram:everybody",
]
IDS = ["chat", "user", "account", "user and account", "user in chat and account", "function"]


def recording(store: SessionStore, scope: Any) -> Dispatcher:
    dispatcher = Dispatcher()
    SessionMiddleware(store, scope=scope).setup(dispatcher)
    dispatcher.business_message.register(lambda message: None)
    return dispatcher


@pytest.mark.parametrize("scope", SCOPES, ids=IDS)
async def test_a_strangers_connection_erases_nothing_of_another_person(
    store: SessionStore, telegram: TelegramEmulator, scope: Any
) -> None:
    async with polling(telegram, recording(store, scope)):
        telegram.say(ADA, "private")
        telegram.say(ADA, "to the shop", business_connection_id="shop")
        await telegram.wait_taken()
        before = {key: await said(store, key) for key in await keys(store)}
        chat = {"id": ADA, "type": "private", "first_name": "Ada"}
        deleted = {"business_connection_id": "strangers", "chat": chat}
        numbers = {"message_ids": [*range(1, 61)]}
        telegram.push({"deleted_business_messages": deleted | numbers})
        await telegram.wait_taken()
    assert {key: await said(store, key) for key in await keys(store)} == before
    lines = [line for lines in before.values() for line in lines]
    assert sorted(lines) == ["user: private", "user: to the shop"]


@pytest.mark.parametrize("scope", SCOPES, ids=IDS)
async def test_a_connections_own_deletion_reaches_its_messages_alone(
    store: SessionStore, telegram: TelegramEmulator, scope: Any
) -> None:
    async with polling(telegram, recording(store, scope)):
        telegram.say(ADA, "private")
        shops = telegram.say(ADA, "to the shop", business_connection_id="shop")
        telegram.say(ADA, "to another", business_connection_id="other")
        await telegram.wait_taken()
        telegram.delete(shops)
        await telegram.wait_taken()
    lines = [line for key in await keys(store) for line in await said(store, key)]
    assert sorted(lines) == ["user: private", "user: to another"]


async def test_the_source_id_of_a_business_message_names_its_connection(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    found: list[str | None] = []
    dispatcher = recording(store, "chat_topic")
    dispatcher.business_message.handlers.clear()
    dispatcher.business_message.register(lambda message: found.append(source_id(message)))
    async with polling(telegram, dispatcher):
        telegram.say(ADA, "to the shop", business_connection_id="shop")
        await telegram.wait_for(lambda: found)
    assert found == [f"shop:{ADA}:1"]


Turns = dict[str, list[tuple[int, str]]]


async def stored(store: SessionStore) -> Turns:
    return {
        key: [(turn.id, turn.text) for turn in await all_turns(store, key)]
        for key in await keys(store)
    }


@pytest.mark.parametrize("scope", SCOPES[:-1], ids=IDS[:-1])
async def test_no_event_of_a_connection_changes_what_came_through_another_or_none(
    store: SessionStore, scope: Any
) -> None:
    telegram, dispatcher = TelegramEmulator(), recording(store, scope)
    first = telegram.say(ADA, "private")
    told = [
        first,
        telegram.say(ADA, "a reply", reply_to=first),
        telegram.say(-1001, "in a group", user_id=ADA),
        telegram.say(ADA, "to the shop", business_connection_id="shop"),
        telegram.say(8, "Bob to the shop", user_id=8, business_connection_id="shop"),
        telegram.say(ADA, "to another", business_connection_id="other"),
    ]
    await feed(dispatcher, *told)
    before = await stored(store)
    for connection, chat, kind in (
        *(("strangers", ADA, "private"), ("strangers", 8, "private"), ("other", 8, "private")),
        *(("strangers", -1001, "supergroup"), ("shop", -1001, "supergroup")),
        *(("shop", 9, "private"), ("SHOP", ADA, "private"), ("shop:7", ADA, "private")),
        *(("shop:7:1", ADA, "private"), ("7", ADA, "private")),
    ):
        deleted = {"id": chat, "type": kind, "first_name": "Ada"}
        event = {"business_connection_id": connection, "chat": deleted}
        numbers = {"message_ids": [*range(1, 61)]}
        await feed(dispatcher, {"update_id": 900, "deleted_business_messages": event | numbers})
        assert await stored(store) == before
    for update in told:
        message = update.get("message") or update["business_message"]
        own = message.get("business_connection_id")
        for connection in {"strangers", "shop", "other"} - {own}:
            edited = {**message, "text": "forged", "edit_date": message["date"] + 1}
            edited["business_connection_id"] = connection
            before = await stored(store)
            await feed(dispatcher, {"update_id": 901, "edited_business_message": edited})
            for key, turns in (await stored(store)).items():
                kept = [turn for turn in before.get(key, []) if turn not in turns]
                assert not kept or f"business:{connection}" in key, kept
    texts = [text for turns in (await stored(store)).values() for _, text in turns]
    assert {"private", "in a group"} <= {*texts}
