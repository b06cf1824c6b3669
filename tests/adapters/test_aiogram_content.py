"""What a Telegram message leaves in the history."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Dispatcher

from adapters.tools import all_turns, feed, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio

FILE = {"file_id": "F", "file_unique_id": "U", "file_size": 1234}
BOB = {"id": 9, "is_bot": False, "first_name": "Bob"}
PLACE = {"latitude": 48.2, "longitude": 16.37}
OPTION = {"text": "tea", "voter_count": 0, "persistent_id": "1"}
POLL = {
    "id": "1",
    "question": "Drink?",
    "options": [OPTION, OPTION | {"text": "coffee"}],
    "total_voter_count": 0,
    "is_closed": False,
    "is_anonymous": True,
    "type": "regular",
    "allows_multiple_answers": False,
    "allows_revoting": False,
    "members_only": False,
}
STICKER = FILE | {
    "type": "regular",
    "width": 1,
    "height": 1,
    "is_animated": False,
    "is_video": False,
    "emoji": "😀",
}


def entity(kind: str, offset: int, length: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "offset": offset, "length": length, **more}


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"voice": FILE | {"duration": 3}}, "[voice]"),
        ({"audio": FILE | {"duration": 3, "file_name": "song.mp3"}}, "[audio: song.mp3]"),
        ({"video": FILE | {"duration": 3, "width": 1, "height": 1}}, "[video]"),
        ({"video_note": FILE | {"duration": 3, "length": 1}}, "[video note]"),
        (
            {"document": FILE | {"file_name": "report.pdf"}, "caption": "read this"},
            "read this [file: report.pdf]",
        ),
        ({"sticker": STICKER}, "[sticker: 😀]"),
        ({"location": PLACE}, "[location: 48.2, 16.37]"),
        (
            {"venue": {"location": PLACE, "title": "Café", "address": "Ring 1"}, "location": PLACE},
            "[place: Café, Ring 1]",
        ),
        ({"contact": {"phone_number": "+43 1", "first_name": "Eve"}}, "[contact: Eve]"),
        ({"dice": {"emoji": "🎲", "value": 4}}, "[dice: 🎲 4]"),
        ({"poll": POLL}, "[poll: Drink? tea / coffee]"),
        (
            {
                "text": "see here and f(x)",
                "entities": [
                    entity("text_link", 4, 4, url="https://example.org"),
                    entity("code", 13, 4),
                ],
            },
            "see [here](https://example.org) and `f(x)`",
        ),
        (
            {"text": "😀 x = 1", "entities": [entity("pre", 3, 5, language="python")]},
            "😀 ```python\nx = 1\n```",
        ),
        (
            {"text": "hi Bob", "entities": [entity("text_mention", 3, 3, user=BOB)]},
            "hi Bob",
        ),
        (
            {"text": "news", "forward_origin": {"type": "user", "date": 1, "sender_user": BOB}},
            "[forwarded from: Bob]\nnews",
        ),
        (
            {
                "text": "news",
                "forward_origin": {"type": "hidden_user", "date": 1, "sender_user_name": "X]Y"},
            },
            "[forwarded from: X)Y]\nnews",
        ),
        (
            {"text": "this?", "quote": {"text": "the part", "position": 0}},
            "[quote: the part]\nthis?",
        ),
        (
            {
                "text": "this?",
                "external_reply": {
                    "origin": {"type": "user", "date": 1, "sender_user": BOB},
                    "photo": [FILE | {"width": 1, "height": 1}],
                },
            },
            "[reply to Bob: (photo)]\nthis? [photo replied to]",
        ),
    ],
)
async def test_a_message_leaves_a_sensible_turn(
    store: SessionStore, fields: dict[str, Any], shown: str
) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    async with store:
        await feed(dispatcher, telegram.say(7, **fields))
        (turn,) = await all_turns(store, "telegram:7")
        (message,) = await store.session("telegram:7").get_history()
    text = " ".join([turn.text] * bool(turn.text) + [media.text for media in turn.media])
    assert text == shown
    assert turn.media == [] or turn.media[0].file_id in ("", "F")
    parts = message["content"]
    assert turn.text in (parts if isinstance(parts, str) else "\n".join(p["text"] for p in parts))


async def test_a_pressed_button_is_recorded_by_its_label(store: SessionStore) -> None:
    telegram, dispatcher = TelegramEmulator(), Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    keyboard = {"inline_keyboard": [[{"text": "Yes, please", "callback_data": "y"}]]}
    async with store:
        asked = telegram.say(7, "Tea?", reply_markup=keyboard)
        await feed(dispatcher, telegram.press(asked, "y", user_id=7))
        assert await said(store, "telegram:7") == ["user: [button: Yes, please]"]


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (1, 1), (1, 5), (-1, 2), (0, 400)])
async def test_an_entity_that_ends_inside_of_a_character_costs_no_message(
    telegram: TelegramEmulator, store: SessionStore, offset: int, length: int
) -> None:
    SessionMiddleware(store).setup(dispatcher := Dispatcher())
    entity = {"type": "bold", "offset": offset, "length": length}
    async with store:
        text = "\N{GRINNING FACE} hello"
        await feed(dispatcher, telegram.say(7, text, entities=[entity]))
        assert await said(store, "telegram:7") == [f"user: {text}"]
