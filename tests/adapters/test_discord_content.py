"""What a Discord message leaves, and what is left when it is edited or deleted."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from adapters.discord_bots import key_of
from adapters.tools import RecordingBot, all_turns, connected, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore
from turnkeep_discord import (
    pressed_of,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]


FORWARD: Payload = {
    "content": "news",
    "attachments": [],
    "embeds": [],
    "timestamp": "2026-01-01T00:00:00+00:00",
    "edited_timestamp": None,
    "type": 0,
    "flags": 0,
    "mentions": [],
    "mention_roles": [],
    "components": [],
}


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"text": "look", "attachments": {"cat.png": b"png"}}, "look [photo: cat.png]"),
        (
            {
                "text": "",
                "message_snapshots": [{"message": FORWARD}],
                "message_reference": {"type": 1, "channel_id": "1", "message_id": "2"},
            },
            "[forwarded]\nnews",
        ),
        (
            {"text": "", "sticker_items": [{"id": "7", "name": "Wave", "format_type": 1}]},
            "[sticker: Wave]",
        ),
        (
            {
                "text": "",
                "poll": {
                    "question": {"text": "Tea?"},
                    "answers": [
                        {"answer_id": 1, "poll_media": {"text": "yes"}},
                        {"answer_id": 2, "poll_media": {"text": "no"}},
                    ],
                    "expiry": "2030-01-01T00:00:00+00:00",
                    "allow_multiselect": False,
                    "layout_type": 1,
                },
            },
            "[poll: Tea? yes / no]",
        ),
        (
            {
                "text": "",
                "flags": 1 << 15,
                "components": [
                    {
                        "type": 17,
                        "id": 1,
                        "components": [
                            {"type": 10, "id": 2, "content": "one"},
                            {"type": 10, "id": 3, "content": "two"},
                        ],
                    }
                ],
            },
            "one\ntwo",
        ),
    ],
    ids=["attachment", "forward", "sticker", "poll", "components"],
)
async def test_a_message_leaves_a_sensible_turn(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    fields: dict[str, Any],
    shown: str,
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        await server.say(place, ada, **fields)
        await bot.hears(server, 1)
    (turn,) = await all_turns(store, key_of(place))
    text = " ".join([turn.text] * bool(turn.text) + [media.text for media in turn.media])
    assert text == shown


async def test_a_reply_says_to_what_it_replies(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        first = await server.say(place, ada, "the plan")
        await server.say(place, server.user("Bob"), "yes", reply_to=first)
        await bot.hears(server, 2)
    assert (await said(store, key_of(place)))[1] == "user: [reply to Ada: the plan]\nyes"


async def test_what_a_proxy_posts_is_a_users_where_that_is_asked_for(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store, record_webhooks=True)
    async with connected(server, bot):
        await server.say(place, ada, "hello", webhook_id="77")
        await bot.hears(server, 1)
    (turn,) = await all_turns(store, key_of(place))
    assert turn.sender is not None
    assert turn.sender.id == "77-ada"


async def test_a_pressed_button_is_recorded_by_its_label() -> None:
    button = discord.ui.Button[Any](label="Yes, please", custom_id="yes")
    row = SimpleNamespace(children=[button._underlying])
    pressed: Any = SimpleNamespace(
        type=discord.InteractionType.component,
        message=SimpleNamespace(components=[row]),
        data={"custom_id": "yes", "component_type": 2},
    )
    assert pressed_of(pressed) == "[button: Yes, please]"
    pressed.data = {"custom_id": "menu", "values": ["a", "b"]}
    assert pressed_of(pressed) == "[selected: a, b]"
    pressed.type = discord.InteractionType.modal_submit
    pressed.data = {"components": [{"components": [{"value": "Ada"}]}, {"component": {"value": 7}}]}
    assert pressed_of(pressed) == "[form: Ada / 7]"


async def test_a_deleted_channel_is_forgotten(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    async with connected(server, bot):
        await server.say(place, ada, "hello")
        await bot.hears(server, 1)
        await server.delete_channel(place)
        while await keys(store):
            await asyncio.sleep(0.01)


async def test_the_pictures_in_components_are_given_where_somebody_replies_to_them(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    def medium(name: str, **more: Any) -> Payload:
        return {"media": {"url": f"https://cdn.example/{name}", **more}}

    gallery = {
        "type": 12,
        "items": [
            {**medium("cat.png", content_type="image/png"), "description": "a cat"},
            medium("clip.mp4", content_type="video/mp4"),
        ],
    }
    section = {
        "type": 9,
        "components": [{"type": 10, "content": "Look"}],
        "accessory": {"type": 11, **medium("face.png")},
    }
    file = {"type": 13, "file": medium("list.txt")["media"], "name": "list.txt", "size": 5}
    box = {"type": 17, "components": [section, gallery]}
    robot = server.user("Robot", bot=True)
    async with connected(server, bot := RecordingBot(store)):
        shown = await server.say(place, robot, "", components=[box, file], flags=1 << 15)
        await server.say(place, ada, "What is that?", reply_to=shown)
        await bot.hears(server, 2)
    (turn,) = await all_turns(store, key_of(place))
    assert "[reply to Robot: Look]\nWhat is that?" in turn.text
    assert [(one.kind, one.url.rpartition("/")[2], one.about) for one in turn.media] == [
        ("photo", "face.png", None),
        ("photo", "cat.png", "a cat"),
        ("video", "clip.mp4", None),
        ("file", "list.txt", None),
    ]
    assert [one.file_name for one in turn.media] == [None, None, None, "list.txt"]
    assert all(one.repeated for one in turn.media)
