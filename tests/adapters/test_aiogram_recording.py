"""What the aiogram adapter stores of what is said, in which order, and from whom."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.filters import Command
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.types import Message

from adapters.tools import all_turns, feed, keys, polling, said
from emulators.telegram import PHOTO, TelegramEmulator
from emulators.telegram_chats import ANONYMOUS_ADMIN
from turnkeep import Sender, Session, SessionStore
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio

ADA = 7
GROUP = -1001234567890


class SlowStorage(MemoryStorage):
    """An FSM storage far away, whose answers take different times."""

    async def get_state(self, *args: Any, **kwargs: Any) -> str | None:
        await asyncio.sleep(random.random() / 200)
        return await super().get_state(*args, **kwargs)


def bot_with(store: SessionStore, **options: Any) -> Dispatcher:
    """A dispatcher without any handler."""
    dispatcher = Dispatcher()
    SessionMiddleware(store, **options).setup(dispatcher)
    return dispatcher


@pytest.mark.parametrize("fsm", [MemoryStorage, SlowStorage], ids=["quick FSM", "slow FSM"])
async def test_messages_are_stored_in_their_order_whatever_their_handlers_do(
    telegram: TelegramEmulator, store: SessionStore, fsm: type[MemoryStorage]
) -> None:
    dispatcher = Dispatcher(storage=fsm())
    SessionMiddleware(store).setup(dispatcher)
    handled = 0

    @dispatcher.message()
    async def handle(message: Message) -> None:
        nonlocal handled
        await asyncio.sleep(random.random() / 100)
        handled += 1

    expected = defaultdict(list)
    async with store, polling(telegram, dispatcher):
        for number in range(200):
            chat = random.choice((1, 2, 3, 4))
            telegram.say(chat, f"{number}", user_id=random.choice((11, 12)))
            expected[chat].append(f"user: {number}")
        await telegram.wait_for(lambda: handled == 200)
        for chat, texts in expected.items():
            assert await said(store, f"telegram:{chat}") == texts


async def test_messages_are_stored_in_their_order_while_the_store_opens(
    store: SessionStore,
) -> None:
    telegram, dispatcher = TelegramEmulator(), bot_with(store)
    updates = [telegram.say(number % 3 + 1, str(number)) for number in range(60)]
    tasks = []
    for update in updates:
        tasks.append(asyncio.create_task(feed(dispatcher, update)))
        if random.random() < 0.3:
            await asyncio.sleep(random.choice((0, 0, 0.001)))
    await asyncio.gather(*tasks)
    for chat in (1, 2, 3):
        texts = [f"user: {number}" for number in range(60) if number % 3 + 1 == chat]
        assert await said(store, f"telegram:{chat}") == texts
    await store.aclose()


async def test_a_message_is_stored_before_its_handler_runs(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), bot_with(store)
    seen: list[list[str]] = []

    @dispatcher.message()
    async def handle(message: Message, chat_session: Session) -> None:
        seen.append(await said(store, "telegram:7"))
        assert chat_session.turn is not None
        assert chat_session.turn.content == message.text

    async with store:
        await feed(dispatcher, telegram.say(ADA, "hello"))
    assert seen == [["user: hello"]]


async def test_a_message_that_no_handler_takes_is_stored(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), bot_with(store)
    async with store:
        await feed(dispatcher, telegram.say(ADA, "hello"))
        assert await said(store, "telegram:7") == ["user: hello"]


async def test_a_caption_is_stored_as_a_text_is(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), bot_with(store)
    async with store:
        await feed(dispatcher, telegram.say(ADA, photo=PHOTO, caption="a cat"))
        (turn,) = await all_turns(store, "telegram:7")
        assert (turn.text, [media.text for media in turn.media]) == ("a cat", ["[photo]"])


async def test_a_turn_has_the_sender_the_time_and_the_id_of_its_message(
    store: SessionStore,
) -> None:
    telegram, dispatcher = TelegramEmulator(), bot_with(store)
    async with store:
        await feed(dispatcher, telegram.say(GROUP, "hi", user_id=42, first_name="Grace", date=999))
        (turn,) = await all_turns(store, f"telegram:{GROUP}")
    assert turn.sender == Sender("42", "Grace")
    assert turn.time.timestamp() == 999
    assert turn.source_ids == (f"{GROUP}:1",)


async def test_a_message_without_an_id_is_stored_each_time(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), bot_with(store)
    async with store:
        for _ in range(2):
            await feed(dispatcher, telegram.say(ADA, "hello", message_id=0))
        turns = await all_turns(store, "telegram:7")
    assert [turn.source_ids for turn in turns] == [(), ()]


async def test_who_writes_in_the_name_of_a_chat_is_that_chat(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), bot_with(store)
    group = {"id": GROUP, "type": "supergroup", "title": "The Group"}
    channel = {"id": -1009, "type": "channel", "title": "The Channel"}
    admin: dict[str, Any] = {"from": ANONYMOUS_ADMIN, "sender_chat": group}
    async with store:
        await feed(
            dispatcher,
            telegram.say(GROUP, "by an admin", **admin),
            telegram.say(GROUP, "by a channel", **admin | {"sender_chat": channel}),
        )
        turns = await all_turns(store, f"telegram:{GROUP}")
    assert [turn.sender for turn in turns] == [
        Sender(str(GROUP), "The Group"),
        Sender("-1009", "The Channel"),
    ]


async def test_a_channels_post_is_stored_as_the_channels(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), bot_with(store)
    async with store:
        await feed(dispatcher, telegram.say(-1009, "news", chat_type="channel"))
        (turn,) = await all_turns(store, "telegram:-1009")
    assert turn.sender == Sender("-1009", "Chat -1009")


BOT = {"id": 99, "is_bot": True, "first_name": "Other"}


@pytest.mark.parametrize(
    "fields",
    [
        {"from": BOT},
        {"sender_business_bot": BOT, "business_connection_id": "b"},
        {"text": "", "new_chat_title": "Title"},
    ],
    ids=["a bot", "a business bot", "a service message"],
)
async def test_what_no_user_wrote_is_not_stored(
    store: SessionStore, fields: dict[str, Any]
) -> None:
    telegram, dispatcher = TelegramEmulator(), bot_with(store)
    async with store:
        await feed(dispatcher, telegram.say(ADA, **{"text": "hello"} | fields))
        assert await keys(store) == []


async def test_commands_are_stored_only_if_asked(store: SessionStore) -> None:
    for record_commands in (False, True):
        telegram = TelegramEmulator()
        dispatcher = bot_with(store, record_commands=record_commands)
        sessions: list[Session] = []

        @dispatcher.message(Command("reset"))
        async def handle(
            message: Message, chat_session: Session, seen: list[Session] = sessions
        ) -> None:
            seen.append(chat_session)

        async with store:
            await feed(
                dispatcher,
                telegram.say(ADA, "/reset now"),
                telegram.say(ADA, "type /reset", message_id=1000 + record_commands),
            )
            commands = ["user: /reset now"] if record_commands else []
            assert commands == [
                line for line in await said(store, "telegram:7") if "/reset now" in line
            ]
            assert "user: type /reset" in await said(store, "telegram:7")
        assert [session.turn is not None for session in sessions] == [record_commands]


async def test_an_edited_message_is_not_stored_again(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), bot_with(store)
    async with store:
        update = telegram.say(ADA, "hello")
        await feed(dispatcher, update)
        await feed(dispatcher, telegram.edit(update, "hello!"))
        assert await said(store, "telegram:7") == ["user: hello!"]
