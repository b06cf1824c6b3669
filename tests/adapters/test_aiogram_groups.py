"""Groups on Telegram: who speaks there, and to whom, over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.types import Message

from adapters.tools import all_turns, keys, polling, said
from emulators.telegram import PHOTO, TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

GROUP = -1001234567890
KEY = f"telegram:{GROUP}"
MENTION = "@emulated_bot look"
MENTIONED = [{"type": "mention", "offset": 0, "length": 13}]
ADDRESSED: dict[str, Any] = {"caption": MENTION, "caption_entities": MENTIONED}
CHANNEL_BOT = {"id": 136817688, "is_bot": True, "first_name": "Channel"}


def channel(number: int) -> dict[str, Any]:
    return {"id": -1000 - number, "type": "channel", "title": f"News {number}"}


async def heard(telegram: TelegramEmulator, store: SessionStore, **options: Any) -> list[str]:
    """Runs a bot without handlers until it has taken what is said; what it has stored."""
    dispatcher = Dispatcher()
    SessionMiddleware(store, **options).setup(dispatcher)
    async with polling(telegram, dispatcher):
        await telegram.wait_taken()
    return await said(store, KEY)


async def test_a_message_in_a_topic_that_the_bot_created_is_no_reply_to_the_bot(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, record="addressed").setup(dispatcher)
    telegram.promote(GROUP, "can_manage_topics")
    telegram.open_topic(GROUP, "makes the group a forum")
    async with polling(telegram, dispatcher) as bot:
        topic = await bot.create_forum_topic(GROUP, "Plans")
        thread = topic.message_thread_id
        telegram.say(GROUP, "to the others", thread_id=thread)
        sent = await bot.send_message(GROUP, "Well?", message_thread_id=thread)
        telegram.say(GROUP, "to the bot", thread_id=thread, reply_to=sent.message_id)
        await telegram.wait_taken()
    key = f"{KEY}:topic:{thread}"
    assert await said(store, key) == [
        "user: [topic: Plans]",
        "user: [reply to Emulated: Well?]\nto the bot",
    ]


async def test_a_reply_from_another_topic_to_the_bot_is_addressed_to_it(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    somebody = {"id": 5, "is_bot": False, "first_name": "Bob"}
    quote = {"text": "so", "position": 0}
    for who in (telegram.bot.me, somebody):
        origin = {"type": "user", "date": 1, "sender_user": who}
        telegram.say(GROUP, "really?", external_reply={"origin": origin}, quote=quote)
    stored = await heard(telegram, store, record="addressed")
    assert stored == ["user: [reply to Emulated: so]\nreally?"]


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_an_album_is_addressed_as_a_whole_whichever_part_has_the_caption(
    store: SessionStore, telegram: TelegramEmulator, at: int
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store, record="addressed").setup(dispatcher)

    @dispatcher.message()
    async def answer(message: Message, chat_session: ChatSession) -> None:
        if chat_session.turn is not None:
            await chat_session.answer(f"{len(chat_session.joined) + 1} photos")

    group: dict[str, Any] = {"photo": PHOTO, "media_group_id": "5"}
    async with polling(telegram, dispatcher):
        telegram.album(GROUP, ["", ""])  # to nobody in particular
        for number in range(3):
            telegram.say(GROUP, **group, **(ADDRESSED if number == at else {}))
        (sent,) = await telegram.wait_sent(GROUP, 1)
    assert sent["text"] == "3 photos"
    turns = await all_turns(store, KEY)
    assert [len(turn.media) for turn in turns] == [1, 1, 1, 0]
    assert [turn.text for turn in turns[:3]].index(MENTION) == at
    assert len({*turns[-1].also_answers, turns[-1].answers}) == 3


async def test_two_albums_at_once_are_told_apart(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    for number in range(3):
        for album in ("to the bot", "to others"):
            caption = ADDRESSED if number == 1 and album == "to the bot" else {}
            telegram.say(GROUP, photo=PHOTO, media_group_id=album, **caption)
    await heard(telegram, store, record="addressed")
    assert [len(turn.media) for turn in await all_turns(store, KEY)] == [1, 1, 1]


async def test_a_post_that_telegram_forwards_into_the_discussion_group_is_nobodys_question(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    post = telegram.post_into_discussion(GROUP, channel(1), "the news")
    telegram.say(GROUP, "is this true?", reply_to=post)
    lines = await heard(telegram, store)
    assert lines == ["user: [reply to News 1: the news]\nis this true?"]


async def test_a_result_of_the_bots_own_inline_mode_is_no_users_words(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    telegram.say(GROUP, "made by the bot", via_bot=telegram.bot.me)
    telegram.say(GROUP, "a gif of another's", via_bot={**CHANNEL_BOT, "username": "gif"})
    assert await heard(telegram, store) == ["user: a gif of another's"]


@pytest.mark.parametrize("scope", ["user_in_chat", "user_in_topic"])
async def test_people_who_write_as_a_channel_have_a_session_of_their_own(
    store: SessionStore, telegram: TelegramEmulator, scope: str
) -> None:
    for number in (1, 2, 1):
        as_channel(telegram, f"as {number}", channel(number))
    telegram.say(GROUP, "as myself", user_id=42)
    as_channel(telegram, "for all of us", group_itself())
    assert await heard(telegram, store, scope=scope) == []
    users = [42, GROUP, -1001, -1002]
    assert await keys(store) == sorted(f"{KEY}:user:{one}" for one in users)
    assert await said(store, f"{KEY}:user:-1001") == ["user: as 1", "user: as 1"]


def as_channel(telegram: TelegramEmulator, text: str, chat: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"from": CHANNEL_BOT, "sender_chat": chat}
    telegram.say(GROUP, text, **fields)


def group_itself() -> dict[str, Any]:
    return {"id": GROUP, "type": "supergroup", "title": f"Chat {GROUP}"}


async def test_what_is_sent_when_a_web_app_closes_is_answered(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message(F.web_app_data)
    async def answer(message: Message, chat_session: ChatSession) -> None:
        window: list[Any] = await chat_session.get_history()
        await chat_session.answer(str(window[-1]["content"]))

    async with polling(telegram, dispatcher):
        telegram.say(7, web_app_data={"data": '{"size": "M"}', "button_text": "Order"})
        (sent,) = await telegram.wait_sent(7, 1)
    assert sent["text"] == '[web app: Order]\n{"size": "M"}'


@pytest.mark.parametrize(
    ("medium", "file_id"),
    [
        ({"photo": PHOTO}, "photo"),
        ({"voice": {"file_id": "V", "file_unique_id": "U", "duration": 1}}, "V"),
        ({"document": {"file_id": "D", "file_unique_id": "U", "file_name": "a.pdf"}}, "D"),
    ],
    ids=["photo", "voice", "file"],
)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["in this chat", "in another chat"])
async def test_a_reply_to_a_medium_gives_the_model_that_medium(
    store: SessionStore,
    telegram: TelegramEmulator,
    medium: dict[str, Any],
    file_id: str,
    elsewhere: bool,
) -> None:
    dispatcher, seen = Dispatcher(), asyncio.Queue[list[str | None]]()
    SessionMiddleware(store, record="addressed").setup(dispatcher)

    @dispatcher.message(F.text)
    async def handle(message: Message, bot: Bot, chat_session: ChatSession) -> None:
        files: list[str | None] = []

        async def fetch(media: Any, turn: Any) -> str:
            files.append(media.file_id)
            return f"the {media.kind}"

        await chat_session.get_history(media=fetch)
        seen.put_nowait(files)

    async with polling(telegram, dispatcher):
        about: dict[str, Any] = {"reply_to": telegram.say(GROUP, **medium)}
        if elsewhere:
            sender = {"id": 9, "is_bot": False, "first_name": "Bob"}
            where = {"origin": {"type": "user", "date": 1, "sender_user": sender}}
            about = {"external_reply": {**where, **medium}}
        telegram.say(GROUP, f"{MENTION} at this", entities=MENTIONED, **about)
        assert await seen.get() == [file_id]


async def test_the_medium_of_a_reply_goes_when_its_author_is_forgotten(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    photo = telegram.say(GROUP, photo=PHOTO, caption="my house", user_id=42)
    telegram.say(GROUP, "nice", reply_to=photo, user_id=43, first_name="Bob")
    await heard(telegram, store)
    (turn,) = [one for one in await all_turns(store, KEY) if one.text.endswith("nice")]
    assert [one.repeated for one in turn.media] == [True]
    await store.forget_sender("42")
    (turn,) = await all_turns(store, KEY)
    assert (turn.text, turn.media) == ("[reply to a deleted message]\nnice", [])
