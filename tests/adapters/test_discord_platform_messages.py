"""What Discord's kinds of messages leave of them in a session: text that a person can read."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.discord_bots import key_of
from adapters.tools import RecordingBot, all_turns, connected, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import COMPONENTS_V2, REPLY, Payload
from turnkeep import Media, SessionStore

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.usefixtures("kept_open"),
    pytest.mark.parametrize("store", ["jsonl"], indirect=True),
]

# A layout with each part that can hold text: a container with a section, and text beside it.
LAYOUT: list[Payload] = [
    {"type": 10, "content": "# Today"},
    {
        "type": 17,
        "components": [
            {
                "type": 9,
                "components": [{"type": 10, "content": "Tea at five"}],
                "accessory": {"type": 2, "style": 1, "label": "Join", "custom_id": "join"},
            },
            {"type": 14, "divider": True, "spacing": 1},
            {"type": 10, "content": "Bring a cup"},
        ],
    },
]
LAYOUT_TEXT = "# Today\nTea at five\nBring a cup"


async def test_mentions_of_people_roles_and_channels_are_names(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    guild = place["guild_id"]
    role, plans = server.role(guild, "cooks"), server.channel(guild, "plans")
    thread = server.thread(plans, "dinner", owner=ada)
    stranger = server.user("Bob")
    bot = RecordingBot(store)
    async with connected(server, bot):
        await server.say(
            place,
            ada,
            f"<@{stranger['id']}> and <@!{server.bot['id']}>, <@&{role['id']}> meet in "
            f"<#{plans['id']}>, see <#{thread['id']}>",
        )
        await bot.hears(server, 1)
    assert await said(store, key_of(place)) == [
        "user: @Bob and @Bot, @cooks meet in #plans, see #dinner"
    ]


async def test_an_edited_mention_is_a_name_too(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot, role = RecordingBot(store), server.role(place["guild_id"], "cooks")
    async with connected(server, bot):
        message = await server.say(place, ada, "come")
        await bot.hears(server, 1)
        await server.edit(message, f"come, <@&{role['id']}>")
        await server.say(place, ada, "next")
        await bot.hears(server, 2)
    assert await said(store, key_of(place)) == ["user: come, @cooks", "user: next"]


async def test_the_texts_of_a_layout_are_the_text_of_its_message(
    server: DiscordEmulator, store: SessionStore, place: Payload
) -> None:
    bot = RecordingBot(store, record_webhooks=True)  # people can't post layouts, webhooks can
    async with connected(server, bot):
        await server.post_webhook(place, "News", "", flags=COMPONENTS_V2, components=LAYOUT)
        await bot.hears(server, 1)
    assert await said(store, key_of(place)) == [f"user: {LAYOUT_TEXT}"]


async def test_a_reply_to_a_layout_repeats_its_text(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        news = await server.post_webhook(place, "News", "", flags=COMPONENTS_V2, components=LAYOUT)
        await server.say(place, ada, "I will", reply_to=news)
        await bot.hears(server, 2)
    shown = LAYOUT_TEXT.replace("\n", " ")
    assert await said(store, key_of(place)) == [f"user: [reply to News: {shown}]\nI will"]


async def test_a_forward_is_told_as_one_with_its_text_and_its_files(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot, elsewhere = RecordingBot(store), server.channel(place["guild_id"], "elsewhere")
    async with connected(server, bot):
        plain = await server.say(
            elsewhere, server.user("Bob"), "the plan", attachments={"plan.pdf": b"%PDF"}
        )
        layout = await server.post_webhook(
            elsewhere, "News", "", flags=COMPONENTS_V2, components=LAYOUT
        )
        for original in (plain, layout):
            await server.forward(original, place, ada)
        await bot.hears(server, 4)
    first, second = await all_turns(store, key_of(place))
    assert first.text == "[forwarded]\nthe plan"
    assert [media.text for media in first.media] == ["[file: plan.pdf]"]
    assert second.text == f"[forwarded]\n{LAYOUT_TEXT}"


async def test_a_reply_to_what_is_gone_already_is_what_it_says(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        first = await server.say(place, ada, "the plan")
        await server.delete(first)
        reference = {"type": 0, "channel_id": place["id"], "message_id": first["id"]}
        await server.say(place, ada, "yes", type=REPLY, message_reference=reference)
        await bot.hears(server, 2)
    assert await said(store, key_of(place)) == ["user: yes"]


async def test_a_reply_to_a_sticker_or_a_file_names_it(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        file = await server.say(place, ada, "", attachments={"cat.png": b"png"})
        await server.say(place, ada, "mine", reply_to=file)
        await bot.hears(server, 2)
    turn = (await all_turns(store, key_of(place)))[1]
    assert turn.text == "[reply to Ada: (photo: cat.png)]\nmine"
    assert [(one.file_name, one.repeated) for one in turn.media] == [("cat.png", True)]


async def test_a_voice_message_is_one_that_can_be_fetched(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        message = await server.speak(place, ada, b"ogg", 2.5)
        await bot.hears(server, 1)
    (turn,) = await all_turns(store, key_of(place))
    (file,) = message["attachments"]
    (voice,) = turn.media
    assert voice == Media(
        "voice", file_id=file["id"], size=3, mime_type=file["content_type"], url=file["url"]
    )
    assert voice.text == "[voice]"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat.png", "[photo: cat.png]"),
        ("cat.mp4", "[video: cat.mp4]"),
        ("cat.mp3", "[audio: cat.mp3]"),
        ("cat.pdf", "[file: cat.pdf]"),
        ("cat.unheard-of", "[file: cat.unheard-of]"),
    ],
)
async def test_an_attachment_is_named_after_what_it_is(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    name: str,
    shown: str,
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        await server.say(place, ada, "look", attachments={name: b"cat"})
        await bot.hears(server, 1)
    (turn,) = await all_turns(store, key_of(place))
    assert (turn.text, [media.text for media in turn.media]) == ("look", [shown])


async def test_several_files_and_a_sticker_stand_in_one_turn(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        await server.say(
            place,
            ada,
            "",
            attachments={"a.png": b"a", "b.png": b"b"},
            sticker_items=[{"id": "7", "name": "Wave", "format_type": 1}],
        )
        await bot.hears(server, 1)
    (turn,) = await all_turns(store, key_of(place))
    assert [media.text for media in turn.media] == [
        "[photo: a.png]",
        "[photo: b.png]",
        "[sticker: Wave]",
    ]


NOTICES: dict[str, Payload] = {
    "somebody was added": {"type": 1},
    "a call": {"type": 3, "call": {"participants": [], "ended_timestamp": None}},
    "a new name": {"type": 4, "text": "new name"},
    "a new icon": {"type": 5},
    "a pin": {"type": 6, "message_reference": {"type": 0, "channel_id": "1", "message_id": "2"}},
    "a join": {"type": 7},
    "a boost": {"type": 8, "text": "3"},
    "a boost to level 1": {"type": 9},
    "a channel is followed": {"type": 12, "text": "Guild #news"},
    "a reminder to invite": {"type": 22},
    "a rule of the moderation": {"type": 24, "text": "a word"},
    "a subscription": {"type": 25},
    "a stage begins": {"type": 27, "text": "Topic"},
    "a stage has a speaker": {"type": 29},
    "a stage has a topic": {"type": 31, "text": "Topic"},
    "a purchase": {"type": 44},
    "a type of tomorrow": {"type": 99, "text": "?"},
}


@pytest.mark.parametrize("fields", NOTICES.values(), ids=NOTICES.keys())
async def test_what_discord_itself_writes_leaves_nothing(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    fields: dict[str, Any],
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        await server.say(place, ada, **{"text": "", **fields})
        await bot.hears(server, 1)
    assert await keys(store) == []


async def test_a_thread_that_is_started_leaves_nothing_before_something_is_said_in_it(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        start = await server.say(place, ada, "dinner?")
        from_message = server.thread(place, "dinner", message=start, owner=ada)
        alone = server.thread(place, "lunch", owner=ada)
        await bot.hears(server, 3)  # with the notices, here and in the thread
        await server.say(from_message, ada, "at eight")
        await bot.hears(server, 4)
    assert await keys(store) == sorted([key_of(place), key_of(from_message)])
    assert await said(store, key_of(place)) == ["user: dinner?"], "also when it got the thread"
    opened = "user: [thread: dinner]\ndinner?"
    assert await said(store, key_of(from_message)) == [opened, "user: at eight"]
    assert await said(store, key_of(alone)) == []
