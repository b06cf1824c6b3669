"""What each kind of Telegram's messages leaves in the history, over a real socket."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.types import Message

from adapters.tools import all_turns, keys, polling
from emulators.telegram import PHOTO, TelegramEmulator
from emulators.telegram_chats import ANONYMOUS_ADMIN
from turnkeep import Sender, SessionStore, Turn
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

ADA = 7
GROUP = -1001234567890
FILE = {"file_id": "F", "file_unique_id": "U", "file_size": 1234}
SIZE = {"width": 1, "height": 1}
BOB = {"id": 9, "is_bot": False, "first_name": "Bob", "last_name": "B."}
NEWS = {"id": -1009, "type": "channel", "title": "News"}
PLACE = {"latitude": 48.2, "longitude": 16.37}
OPTION = {"text": "tea", "voter_count": 0, "persistent_id": "1"}
POLL = {
    "id": "1",
    "question": "Drink?",
    "options": [OPTION, OPTION | {"text": "coffee"}],
    "total_voter_count": 0,
    "type": "regular",
} | dict.fromkeys(
    ("is_closed", "is_anonymous", "allows_multiple_answers", "allows_revoting", "members_only"),
    False,
)
SHOP = {"title": "Shop", "tasks": [{"id": 1, "text": "tea"}, {"id": 2, "text": "milk"}]}
SHARED = {"user_id": 9, "first_name": "Bob", "last_name": "B."}
GIVEAWAY = {"chats": [NEWS], "winners_selection_date": 1, "winner_count": 2}
WON = {
    "chat": NEWS,
    "giveaway_message_id": 1,
    "winners_selection_date": 1,
    "winner_count": 1,
    "winners": [BOB],
}
STICKER = {**FILE, **SIZE, "type": "regular", "is_animated": False, "is_video": False}


def paid(currency: str, amount: int) -> dict[str, Any]:
    charges = ("telegram_payment_charge_id", "provider_payment_charge_id", "invoice_payload")
    return {"currency": currency, "total_amount": amount, **dict.fromkeys(charges, "secret")}


def said(content: dict[str, Any]) -> dict[str, Any]:
    return {"message_id": 1, "date": 1, "chat": {"id": ADA, "type": "private"}, **content}


def origin(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "date": 1, **fields}


def marked(text: str, *entities: tuple[str, str] | tuple[str, str, dict[str, Any]]) -> Any:
    """A text with entities, each given by its kind and its words, in Telegram's UTF-16 units."""
    found = []
    for kind, words, *more in entities:
        before, _, _ = text.partition(words)
        at, length = (len(part.encode("utf-16-le")) // 2 for part in (before, words))
        found.append({"type": kind, "offset": at, "length": length, **(more[0] if more else {})})
    return {"text": text, "entities": found}


def shown(turn: Turn) -> str:
    return " ".join([turn.text] * bool(turn.text) + [media.text for media in turn.media])


async def recorded(
    store: SessionStore, telegram: TelegramEmulator, chat: int, table: list[tuple[Any, Any]]
) -> list[Turn]:
    """The turns of a bot without handlers, to which all messages of the table were said."""
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    async with polling(telegram, dispatcher):
        for fields, _ in table:
            telegram.say(chat, **fields)
        await telegram.wait_taken()
    return await all_turns(store, f"telegram:{chat}")


async def test_each_kind_of_message_leaves_a_sensible_turn(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    table: list[tuple[dict[str, Any], str]] = [
        ({"text": "see you at 8"}, "see you at 8"),
        ({"photo": PHOTO}, "[photo]"),
        ({"text": "ok", "reply_to": 1}, "[reply to Ada: see you at 8]\nok"),
        ({"text": "nice", "reply_to": 2}, "[reply to Ada: (photo)]\nnice [photo replied to]"),
        (
            {"text": "why?", "reply_to": 1, "quote": {"text": "at 8", "position": 8}},
            "[reply to Ada: at 8]\nwhy?",
        ),
        ({"photo": PHOTO, "reply_to": 1}, "[reply to Ada: see you at 8] [photo]"),
        (
            {"text": "this?", "external_reply": {"origin": origin("user", sender_user=BOB)}},
            "[reply to Bob B.]\nthis?",
        ),
        (
            {
                "text": "and this?",
                "external_reply": {
                    "origin": origin("channel", chat=NEWS, message_id=3),
                    "video": {**FILE, **SIZE, "duration": 3},
                },
            },
            "[reply to News: (video)]\nand this? [video replied to]",
        ),
        (
            {
                "text": "really?",
                "external_reply": {"origin": origin("channel", chat=NEWS, message_id=3)},
                "quote": {"text": "it rains", "position": 0},
            },
            "[reply to News: it rains]\nreally?",
        ),
        (
            {"text": "a", "forward_origin": origin("user", sender_user=BOB)},
            "[forwarded from: Bob B.]\na",
        ),
        (
            {"text": "b", "forward_origin": origin("hidden_user", sender_user_name="Eve")},
            "[forwarded from: Eve]\nb",
        ),
        (
            {"text": "c", "forward_origin": origin("chat", sender_chat=NEWS)},
            "[forwarded from: News]\nc",
        ),
        (
            {"voice": FILE | {"duration": 3}, "forward_origin": origin("user", sender_user=BOB)},
            "[forwarded from: Bob B.] [voice]",
        ),
        ({"voice": FILE | {"duration": 3}}, "[voice]"),
        ({"audio": FILE | {"duration": 3, "file_name": "song.mp3"}}, "[audio: song.mp3]"),
        ({"video": {**FILE, **SIZE, "duration": 3}, "caption": "look"}, "look [video]"),
        ({"video_note": FILE | {"duration": 3, "length": 1}}, "[video note]"),
        (
            {"document": FILE | {"file_name": "plan.pdf"}, "caption": "the plan"},
            "the plan [file: plan.pdf]",
        ),
        # Telegram sends an animation as a document too.
        ({"animation": {**FILE, **SIZE, "duration": 3}, "document": FILE}, "[animation]"),
        ({"sticker": STICKER | {"emoji": "😀"}}, "[sticker: 😀]"),
        ({"sticker": STICKER | {"set_name": "Cats"}}, "[sticker: Cats]"),
        ({"location": PLACE}, "[location: 48.2, 16.37]"),
        (
            {"venue": {"location": PLACE, "title": "Café", "address": "Ring 1"}, "location": PLACE},
            "[place: Café, Ring 1]",
        ),
        ({"poll": POLL}, "[poll: Drink? tea / coffee]"),
        ({"contact": {"phone_number": "+43 1", "first_name": "Eve"}}, "[contact: Eve]"),
        ({"dice": {"emoji": "🎲", "value": 4}}, "[dice: 🎲 4]"),
        (
            {"checklist": {"title": "Shop", "tasks": [{"id": 1, "text": "tea"}]}},
            "[checklist: Shop: tea]",
        ),
        ({"story": {"chat": NEWS, "id": 1}}, "[story]"),
        (
            {"text": "wow", "reply_to_story": {"chat": NEWS, "id": 1}},
            "[reply to News: (story)]\nwow",
        ),
        ({"web_app_data": {"data": "[1, 2]", "button_text": "Open"}}, "[web app: Open]\n[1, 2]"),
        (
            {"users_shared": {"request_id": 1, "users": [{"user_id": 9}, SHARED]}},
            "[users shared: 9, Bob B.]",
        ),
        ({"chat_shared": {"request_id": 1, "chat_id": -5, "title": "Us"}}, "[chat shared: Us]"),
        ({"chat_shared": {"request_id": 1, "chat_id": -5}}, "[chat shared: -5]"),
        ({"successful_payment": paid("EUR", 1450)}, "[payment: 14.50 EUR]"),
        ({"successful_payment": paid("XTR", 50)}, "[payment: 50 Stars]"),
        ({"refunded_payment": paid("XTR", 50)}, "[refund: 50 Stars]"),
        ({"checklist": SHOP}, "[checklist: Shop: tea / milk]"),
        (
            {
                "checklist_tasks_done": {
                    "checklist_message": said({"checklist": SHOP}),
                    "marked_as_done_task_ids": [2],
                    "marked_as_not_done_task_ids": [1],
                }
            },
            "[checklist tasks done: milk]\n[checklist tasks not done: tea]",
        ),
        (
            {"checklist_tasks_done": {"marked_as_done_task_ids": [2]}},
            "[checklist tasks done: task 2]",
        ),
        (
            {"checklist_tasks_added": {"tasks": [{"id": 3, "text": "jam"}]}},
            "[checklist tasks added: jam]",
        ),
        ({"giveaway": GIVEAWAY | {"prize_star_count": 500}}, "[giveaway: 500 Stars, 2 winners]"),
        (
            {"giveaway": GIVEAWAY | {"premium_subscription_month_count": 3}},
            "[giveaway: 3 months of Telegram Premium, 2 winners]",
        ),
        (
            {"giveaway_winners": WON | {"prize_description": "a mug"}},
            "[giveaway winners: a mug, 1 winner: Bob B.]",
        ),
        ({"giveaway_completed": {"winner_count": 2}}, "[giveaway completed: 2 winners]"),
        ({"game": {"title": "Chess", "description": "", "photo": PHOTO}}, "[game: Chess]"),
        ({"text": "found it", "via_bot": ANONYMOUS_ADMIN}, "found it"),
    ]
    turns = await recorded(store, telegram, ADA, table)
    assert [shown(turn) for turn in turns] == [text for _, text in table]
    assert {turn.sender for turn in turns} == {Sender("7", "Ada")}
    files = [media.file_id for turn in turns for media in turn.media if media.file_id]
    assert sorted(files) == ["F"] * 10 + ["photo"] * 3, "a file can be fetched by its id"
    stored = str([turn.content for turn in turns])
    assert "+43" not in stored, "a contact's number is not kept"
    assert "secret" not in stored, "nor are a payment's ids"


async def test_entities_and_mentions_become_readable_text(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    table: list[tuple[dict[str, Any], str]] = [
        (marked("hi @ada", ("mention", "@ada")), "hi @ada"),
        (marked("hi Bob B.", ("text_mention", "Bob B.", {"user": BOB})), "hi Bob B."),
        (
            marked("see here 😀", ("text_link", "here", {"url": "https://example.org"})),
            "see [here](https://example.org) 😀",
        ),
        (
            marked("https://a.b", ("text_link", "https://a.b", {"url": "https://a.b"})),
            "https://a.b",
        ),
        (marked("go to a.example", ("url", "a.example")), "go to a.example"),
        (marked("😀😀 run f(x) now", ("code", "f(x)")), "😀😀 run `f(x)` now"),
        (marked("x = 1\ny = 2", ("pre", "x = 1\ny = 2")), "```\nx = 1\ny = 2\n```"),
        (
            marked("try: x = 1", ("pre", "x = 1", {"language": "python"})),
            "try: ```python\nx = 1\n```",
        ),
        (
            marked(
                "a bold link and more",
                ("bold", "bold link"),
                ("text_link", "link", {"url": "tg://resolve?domain=ada"}),
            ),
            "a bold [link](tg://resolve?domain=ada) and more",
        ),
        (
            marked(
                "1 2 3 4 5 6",
                *zip(
                    ("italic", "underline", "strikethrough", "spoiler", "blockquote"),
                    "12345",
                    strict=True,
                ),
                ("expandable_blockquote", "6"),
            ),
            "1 2 3 4 5 6",
        ),
        (marked("nice 👍", ("custom_emoji", "👍", {"custom_emoji_id": "1"})), "nice 👍"),
        (
            marked("at noon, 1 < 2 & #tag $USD a@b.c", ("hashtag", "#tag"), ("cashtag", "$USD")),
            "at noon, 1 < 2 & #tag $USD a@b.c",
        ),
        (marked("at noon", ("date_time", "noon", {"unix_time": 1})), "at noon"),
    ]
    caption = marked("my cat, see here", ("text_link", "here", {"url": "https://cat.example"}))
    captioned = {"caption": caption["text"], "caption_entities": caption["entities"]}
    table.append((captioned | {"photo": PHOTO}, "my cat, see [here](https://cat.example) [photo]"))
    turns = await recorded(store, telegram, ADA, table)
    assert [shown(turn) for turn in turns] == [text for _, text in table]


async def test_who_speaks_for_a_chat_is_that_chat(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    group = {"id": GROUP, "type": "supergroup", "title": "The Group"}
    channel_bot = {"id": 136817688, "is_bot": True, "first_name": "Channel"}
    table: list[tuple[dict[str, Any], Any]] = [
        ({"user_id": 8, "first_name": "Bob"}, Sender("8", "Bob")),
        ({"from": ANONYMOUS_ADMIN, "sender_chat": group}, Sender(str(GROUP), "The Group")),
        ({"from": channel_bot, "sender_chat": NEWS}, Sender("-1009", "News")),
    ]
    table = [(fields | {"text": "hello"}, sender) for fields, sender in table]
    turns = await recorded(store, telegram, GROUP, table)
    assert [turn.sender for turn in turns] == [sender for _, sender in table]


async def test_a_reply_names_the_chat_for_which_an_anonymous_administrator_wrote(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    group = {"id": GROUP, "type": "supergroup", "title": "The Group"}
    table: list[tuple[dict[str, Any], str]] = [
        ({"text": "be nice", "from": ANONYMOUS_ADMIN, "sender_chat": group}, "be nice"),
        ({"text": "yes", "reply_to": 1}, "[reply to The Group: be nice]\nyes"),
    ]
    turns = await recorded(store, telegram, GROUP, table)
    assert [shown(turn) for turn in turns] == [text for _, text in table]


async def test_service_messages_leave_nothing(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    pinned = {"message_id": 1, "date": 1, "chat": {"id": GROUP, "type": "supergroup"}, "text": "x"}
    services: list[dict[str, Any]] = [
        {"new_chat_members": [BOB]},
        {"left_chat_member": BOB},
        {"new_chat_title": "Title"},
        {"new_chat_photo": PHOTO},
        {"delete_chat_photo": True},
        {"group_chat_created": True},
        {"supergroup_chat_created": True},
        {"pinned_message": pinned},
        {"message_auto_delete_timer_changed": {"message_auto_delete_time": 60}},
        {"forum_topic_created": {"name": "Topic", "icon_color": 1}, "thread_id": 99},
        {"forum_topic_edited": {"name": "Other"}, "thread_id": 99},
        {"forum_topic_closed": {}, "thread_id": 99},
        {"video_chat_started": {}},
        {"video_chat_ended": {"duration": 3}},
        {"video_chat_participants_invited": {"users": [BOB]}},
        {"proximity_alert_triggered": {"traveler": BOB, "watcher": BOB, "distance": 5}},
        {"write_access_allowed": {"from_request": True}},
        {"boost_added": {"boost_count": 1}},
    ]
    table = [(fields, None) for fields in services]
    assert await recorded(store, telegram, GROUP, table) == []
    assert await keys(store) == []


async def test_an_album_is_a_turn_for_each_part_and_one_answer(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)

    @dispatcher.message()
    async def answer(message: Message, chat_session: ChatSession) -> None:
        await chat_session.answer(f"{len(chat_session.joined) + 1} photos")

    async with polling(telegram, dispatcher):
        telegram.album(ADA, ["my cats", "", ""])
        await telegram.wait_sent(ADA, 1)
    turns = await all_turns(store, "telegram:7")
    assert [shown(turn) for turn in turns] == ["my cats [photo]", "[photo]", "[photo]", "3 photos"]
    assert turns[-1].answers is not None


async def test_an_edited_caption_keeps_its_photo(
    store: SessionStore, telegram: TelegramEmulator
) -> None:
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    async with polling(telegram, dispatcher):
        message = telegram.say(ADA, photo=PHOTO, caption="a dog")
        await telegram.wait_taken()
        telegram.edit(message, "a cat")
        await telegram.wait_taken()
    (turn,) = await all_turns(store, "telegram:7")
    assert shown(turn) == "a cat [photo]"
