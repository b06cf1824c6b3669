"""The places of Discord: each is a session, is answered there, and is forgotten with its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.discord_bots import AnsweringBot, key_of, on_disk, settles
from adapters.tools import RecordingBot, all_turns, connected, keys, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from turnkeep import SessionStore

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.usefixtures("kept_open"),
    pytest.mark.parametrize("store", ["jsonl"], indirect=True),
]

NEWS, VOICE, STAGE, FORUM = 5, 2, 13, 15


@pytest.mark.parametrize(
    "kind", ["text", "news", "voice", "stage", "thread", "thread of a message", "direct messages"]
)
async def test_each_place_is_a_session_of_its_own_and_is_answered_there(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload, kind: str
) -> None:
    guild = place["guild_id"]
    async with connected(server, AnsweringBot(store)):
        if kind == "direct messages":
            where = server.dm(ada)
        elif kind == "thread":
            where = server.thread(place, "A thread", owner=ada)
        elif kind == "thread of a message":
            start = await server.say(place, server.user("Other", bot=True), "start")
            where = server.thread(place, "A thread", message=start, owner=ada)
        else:
            number = {"text": 0, "news": NEWS, "voice": VOICE, "stage": STAGE}[kind]
            where = server.channel(guild, "another", number)
        await server.say(place, ada, "here")
        await server.say(where, ada, "there")
        for channel, text in ((place, "here"), (where, "there")):
            opened = {"thread": ["user: [thread: A thread]"]}.get(kind, [])
            if kind == "thread of a message":
                opened = ["user: [thread: A thread]\n[posted by: Other]\nstart"]
            lines = [f"user: {text}", f"assistant: echo: {text} "]
            await settles(store, key_of(channel), [*(opened if text == "there" else []), *lines])
            (answer,) = server.sent(channel)
            assert answer["content"] == f"echo: {text}"  # Discord trims it
            turns = await all_turns(store, key_of(channel))
            assert turns[-1].source_ids == (f"{channel['id']}:{answer['id']}",)
    assert await keys(store) == sorted([key_of(place), key_of(where)])


async def test_a_forum_post_is_a_session_that_begins_with_its_first_message(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    forum = server.channel(place["guild_id"], "help", FORUM)
    async with connected(server, AnsweringBot(store, busy="queue")):
        posts = [await server.post(forum, ada, f"Question {n}", f"Why {n}?") for n in (1, 2)]
        for number, post in enumerate(posts, 1):
            talk = [
                f"user: [post: Question {number}]\nWhy {number}?",
                f"assistant: echo: Why {number}? ",
            ]
            await settles(store, key_of(post), talk)
            await server.say(post, ada, "Thanks")
            await settles(store, key_of(post), [*talk, "user: Thanks", "assistant: echo: Thanks "])
            assert [one["content"] for one in server.sent(post)] == [
                f"echo: Why {number}?",
                "echo: Thanks",
            ]
    assert await keys(store) == sorted(key_of(post) for post in posts)


@pytest.mark.parametrize("scope", ["channel", "user_in_channel"])
@pytest.mark.parametrize("kind", ["thread", "channel", "voice", "forum"])
async def test_what_is_deleted_is_forgotten_with_its_threads_and_nothing_else_is(
    server: DiscordEmulator,
    store: SessionStore,
    place: Payload,
    ada: Payload,
    tmp_path: Path,
    kind: str,
    scope: str,
) -> None:
    guild = place["guild_id"]
    bot = RecordingBot(store, scope=scope)
    async with connected(server, bot):
        await server.say(place, ada, "stays")
        if kind == "forum":
            gone = server.channel(guild, "gone", FORUM)
            await server.post(gone, ada, "A post", "secret of the post")
            heard = 2
        elif kind == "thread":
            gone = server.thread(place, "gone", owner=ada)
            await server.say(gone, ada, "secret of the thread")
            heard = 3  # with the notice of the thread
        else:
            gone = server.channel(guild, "gone", VOICE if kind == "voice" else 0)
            await server.say(gone, ada, "secret of the channel")
            inside = server.thread(gone, "inside", owner=ada)
            await server.say(inside, ada, "secret of the thread")
            heard = 4
        await bot.hears(server, heard)
        before = await keys(store)
        await server.delete_channel(gone)
        await server.say(place, ada, "afterwards")
        await bot.hears(server, heard + 1)
        kept = key_of(place) + (f":user:{ada['id']}" if scope == "user_in_channel" else "")
        await server.wait_for(
            lambda: "secret" not in on_disk(tmp_path), what="an end of it on disk"
        )
        assert await keys(store) == [kept]
        assert kept in before
        assert len(before) > 1
        assert await said(store, kept) == ["user: stays", "user: afterwards"]


async def test_a_guild_that_is_unavailable_for_a_while_forgets_nothing(
    server: DiscordEmulator, store: SessionStore, place: Payload, ada: Payload
) -> None:
    bot = RecordingBot(store)
    thread = server.thread(place, "thread", owner=ada)
    async with connected(server, bot):
        for where in (place, thread):
            await server.say(where, ada, "before")
        await bot.hears(server, 2)
        await server.remove_guild(place["guild_id"], outage=True)
        await server.wait_for(lambda: bot.guilds[0].unavailable)
        assert await keys(store) == sorted([key_of(place), key_of(thread)])
        await server.restore_guild(place["guild_id"])
        for where in (place, thread):
            await server.say(where, ada, "after")
        await bot.hears(server, 4)
    for where in (place, thread):
        lines = (await said(store, key_of(where)))[where is thread :]
        assert lines == ["user: before", "user: after"]
