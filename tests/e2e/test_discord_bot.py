"""examples/discord_bot.py in one long life: what users meet who talk to it.

All tests talk to one bot, each in a channel of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from e2e.bots import Bot, reads, run, said, turns
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from emulators.openai import OpenAIEmulator, last_user_text

pytestmark = pytest.mark.asyncio(loop_scope="module")

SORRY = "Sorry, that went wrong. /retry tries again."
NOTHING = "I have nothing to say."
FORGOTTEN = "What was kept of you here is erased."
NUMBERS = count(1)


@dataclass
class World:
    """The bot, a person whom no other test knows, and their direct messages."""

    discord: DiscordEmulator
    llm: OpenAIEmulator
    bot: Bot
    folder: Path
    guild: Payload
    person: Payload
    place: Payload

    async def say(self, text: str, place: Payload | None = None, **more: Any) -> Payload:
        return await self.discord.say(place or self.place, self.person, text, **more)

    async def reads(self, *texts: str, place: Payload | None = None) -> None:
        """Waits until this is what the bot has written in the channel, in all."""
        await reads(self.discord, place or self.place, *texts)

    async def ask(self, text: str, *texts: str) -> None:
        """Says something and waits until this is what the bot has written, in all."""
        await self.say(text)
        await self.reads(*texts)

    async def slash(self, name: str, *texts: str, place: Payload | None = None) -> None:
        """Uses a command and waits until this is what the bot has written, in all."""
        await self.discord.slash(place or self.place, self.person, name)
        await self.reads(*texts, place=place)

    async def said(self, number: int, place: Payload | None = None) -> list[str]:
        """What is on disk, once it is so much: answers are stored after they are sent."""
        key = f"discord/{(place or self.place)['id']}"
        await self.bot.wait_for(lambda: len(turns(self.folder, key)) >= number, f"{number} turns")
        return said(self.folder, key)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("discord")
    async with DiscordEmulator() as discord, OpenAIEmulator() as llm:
        environment = discord.environment(
            DISCORD_TOKEN=discord.token, OPENAI_BASE_URL=llm.url, OPENAI_API_KEY="x"
        )
        guild = discord.guild("Guild")
        async with run("discord_bot.py", folder, environment, command=True) as bot:
            await bot.wait_for(lambda: discord.connections, "it connected")
            yield World(discord, llm, bot, folder, guild, {}, {})
            assert await bot.stop() == 0, "it ends gracefully at SIGTERM"


@pytest_asyncio.fixture(loop_scope="module")
async def world(life: World) -> AsyncIterator[World]:
    life.person = life.discord.user(f"Ada{next(NUMBERS)}")
    life.place = life.discord.dm(life.person)
    before = len(life.llm.rejections)
    life.llm.respond = lambda messages: f"echo: {last_user_text(messages)}"
    yield life
    life.llm.release()
    assert life.llm.rejections[before:] == [], "every provider takes the window"


async def test_an_answer_is_sent_and_stored_behind_its_question(world: World) -> None:
    await world.ask("hello", "echo: hello")
    await world.said(2)
    await world.ask("and again", "echo: hello", "echo: and again")
    assert await world.said(4) == [
        "user: hello",
        "assistant: echo: hello",
        "user: and again",
        "assistant: echo: and again",
    ]


async def test_a_turn_on_disk_names_its_sender_and_its_message(world: World) -> None:
    question = await world.say("hello")
    await world.said(2)
    (answer,) = world.discord.sent(world.place)
    place = world.place["id"]
    asked, answered = turns(world.folder, f"discord/{place}")
    assert asked["sender"] == {"id": world.person["id"], "name": world.person["global_name"]}
    assert asked["source_ids"] == [f"{place}:{question['id']}"]
    assert answered["source_ids"] == [f"{place}:{answer['id']}"]


async def test_in_a_channel_it_hears_all_and_answers_who_mentions_it(world: World) -> None:
    channel = world.discord.channel(world.guild)
    await world.say("I am Ada", channel)
    await world.say("what is my name?", channel, mentions_bot=True)
    await world.reads("echo: what is my name?", place=channel)
    heard = [message["content"] for message in world.llm.requests[-1].messages[1:]]
    assert heard == ["I am Ada", "what is my name?"]
    assert await world.said(3, channel) == [
        "user: I am Ada",
        "user: what is my name?",
        "assistant: echo: what is my name?",
    ]


async def test_in_a_channel_a_reply_to_it_is_answered_as_a_mention_is(world: World) -> None:
    channel = world.discord.channel(world.guild)
    await world.say("hello", channel, mentions_bot=True)
    await world.said(2, channel)
    (answer,) = world.discord.sent(channel)
    await world.say("why?", channel, reply_to=answer)
    await world.reads(
        "echo: hello",
        f"echo: [reply to {answer['author']['username']}: echo: hello]\nwhy?",
        place=channel,
    )


async def test_interleaved_channels_never_mix(world: World) -> None:
    places = [world.discord.channel(world.guild, f"place-{n}") for n in range(5)]
    for number in range(1, 5):
        for place in places:
            await world.say(f"{place['name']} says {number}", place, mentions_bot=True)
        for place in places:
            await world.said(2 * number, place)
    for place in places:
        lines = [f"{place['name']} says {number}" for number in range(1, 5)]
        pairs = [(f"user: {line}", f"assistant: echo: {line}") for line in lines]
        assert await world.said(8, place) == [line for pair in pairs for line in pair]


async def test_a_burst_is_stored_and_answered_in_its_order_each_message_once(
    world: World,
) -> None:
    burst = [f"number {number}" for number in range(20)]
    for text in burst:
        await world.say(text)
    await world.said(40)
    await world.reads(*(f"echo: {text}" for text in burst))
    stored = turns(world.folder, f"discord/{world.place['id']}")
    questions = {turn["id"]: turn["content"] for turn in stored if turn["role"] == "user"}
    assert list(questions.values()) == burst
    answers = [turn for turn in stored if turn["role"] == "assistant"]
    assert [turn["answers"] for turn in answers] == list(questions)
    assert all(turn["content"] == f"echo: {questions[turn['answers']]}" for turn in answers)


async def test_a_message_that_comes_again_after_its_answer_changes_nothing(world: World) -> None:
    message = await world.say("hello")
    await world.said(2)
    await world.discord.redeliver(message)
    await world.ask("next", "echo: hello", "echo: next")
    assert await world.said(4) == [
        "user: hello",
        "assistant: echo: hello",
        "user: next",
        "assistant: echo: next",
    ]


async def test_a_message_that_comes_again_while_the_model_thinks_is_answered_once(
    world: World,
) -> None:
    asked = len(world.llm.requests)
    world.llm.hold()
    message = await world.say("hello")
    await world.llm.wait_request(asked + 1)
    await world.discord.redeliver(message)
    await world.say("next")
    assert await world.said(2) == ["user: hello", "user: next"], "so it has seen it again"
    world.llm.release()
    await world.reads("echo: hello", "echo: next")
    assert len(await world.said(4)) == 4
    assert len(world.llm.requests) == asked + 2


@pytest.mark.parametrize("resumable", [True, False], ids=["resume", "identify"])
async def test_a_lost_connection_loses_only_what_discord_does_not_replay(
    world: World, resumable: bool
) -> None:
    await world.ask("before", "echo: before")
    await world.said(2)
    await world.discord.drop_connection(resumable)
    await world.say("during")
    if not resumable:
        await world.discord.wait_ready()
        await world.say("after")
    text = "during" if resumable else "after"
    await world.reads("echo: before", f"echo: {text}")
    assert await world.said(4) == [
        "user: before",
        "assistant: echo: before",
        f"user: {text}",
        f"assistant: echo: {text}",
    ]


async def test_after_reset_the_model_sees_nothing_of_before(world: World) -> None:
    await world.ask("a secret", "echo: a secret")
    await world.said(2)
    await world.slash("reset", "echo: a secret", "A new conversation.")
    await world.ask("hello", "echo: a secret", "A new conversation.", "echo: hello")
    messages = world.llm.requests[-1].messages
    assert [message["content"] for message in messages[1:]] == ["hello"]
    assert "user: a secret" in await world.said(4), "it is still in the file"


async def test_retry_replaces_the_answer(world: World) -> None:
    world.llm.respond = lambda messages: "the first try"
    await world.ask("hello", "the first try")
    await world.said(2)
    world.llm.respond = lambda messages: "the second try"
    await world.slash("retry", "the first try", "the second try")
    expected = ["user: hello", "assistant: the second try"]
    key = f"discord/{world.place['id']}"
    await world.bot.wait_for(lambda: said(world.folder, key) == expected, "another answer")
    assert "the first try" in {turn["content"] for turn in turns(world.folder, key)}


async def test_retry_in_a_new_chat_says_that_there_is_nothing_to_say(world: World) -> None:
    await world.slash("retry", NOTHING)
    assert await world.said(0) == []


async def test_forget_leaves_no_trace_on_disk_and_the_bot_goes_on(world: World) -> None:
    await world.ask("xyzzy", "echo: xyzzy")
    await world.said(2)
    await world.slash("forget", "echo: xyzzy", FORGOTTEN)
    files = [path for path in world.folder.rglob("sessions/**/*") if path.is_file()]
    assert not [path for path in files if b"xyzzy" in path.read_bytes()]
    await world.ask("hello", "echo: xyzzy", FORGOTTEN, "echo: hello")
    assert await world.said(2) == ["user: hello", "assistant: echo: hello"]


async def test_in_a_channel_forget_leaves_what_the_others_said(world: World) -> None:
    channel = world.discord.channel(world.guild)
    await world.discord.say(channel, world.discord.user("Bob"), "Bob was here")
    await world.say("Ada was here", channel)
    await world.said(2, channel)
    await world.slash("forget", FORGOTTEN, place=channel)
    assert await world.said(1, channel) == ["user: Bob was here"]


async def test_export_sends_what_is_kept_as_a_file(world: World) -> None:
    await world.ask("hello", "echo: hello")
    await world.said(2)
    await world.slash("export", "echo: hello", "")
    (file,) = world.discord.sent(world.place)[1]["attachments"]
    async with aiohttp.ClientSession() as client, client.get(file["url"]) as response:
        kept = await response.json(content_type=None)
    assert [turn["content"] for turn in kept] == ["hello", "echo: hello"]


async def test_an_error_of_the_model_is_told_and_not_stored(world: World) -> None:
    world.llm.fail_next(500, times=3)  # the client itself tries three times
    await world.ask("fails", SORRY)
    assert await world.said(1) == ["user: fails"]
    await world.slash("retry", SORRY, "echo: fails")
    assert await world.said(2) == ["user: fails", "assistant: echo: fails"]


async def test_an_error_of_the_model_is_told_to_who_tries_again_too(world: World) -> None:
    world.llm.fail_next(500, times=6)
    await world.ask("fails", SORRY)
    await world.slash("retry", SORRY, SORRY)
    assert await world.said(1) == ["user: fails"]


async def test_a_stream_that_breaks_is_told_and_no_part_of_it_is_stored(world: World) -> None:
    world.llm.break_next(after_chunks=1)
    await world.ask("one two three four", SORRY)  # in the place of what was shown of it
    await world.ask("and now?", SORRY, "echo: and now?")
    assert await world.said(3) == [
        "user: one two three four",
        "user: and now?",
        "assistant: echo: and now?",
    ]


async def test_an_answer_where_the_bot_may_not_write_is_stored_as_what_was_said(
    world: World,
) -> None:
    world.llm.respond = lambda messages: "unheard"
    path = f"/channels/{world.place['id']}/messages"
    world.discord.fail_next("POST", path, status=403)
    await world.ask("hello")
    assert await world.said(2) == ["user: hello", "assistant: unheard"]


async def test_an_answer_comes_also_where_the_sign_of_typing_fails(world: World) -> None:
    world.discord.fail_next("POST", "/typing", status=403)
    await world.ask("hello", "echo: hello")
    assert await world.said(2) == ["user: hello", "assistant: echo: hello"]


async def test_a_long_answer_is_sent_in_pieces_and_stored_once(world: World) -> None:
    long = " ".join(str(number) for number in range(1100))
    world.llm.respond = lambda messages: long
    await world.say("count")
    assert await world.said(2) == ["user: count", f"assistant: {long}"]
    sent = world.discord.sent(world.place)
    assert len(sent) == 3
    assert " ".join(message["content"] for message in sent) == long
    stored = turns(world.folder, f"discord/{world.place['id']}")
    assert stored[1]["source_ids"] == [f"{world.place['id']}:{m['id']}" for m in sent]


async def test_a_model_cannot_ping_everyone(world: World) -> None:
    world.llm.respond = lambda messages: "@everyone look"
    before = len(world.discord.requests)
    await world.ask("hello", "@everyone look")
    await world.said(2)
    await world.slash("retry", "@everyone look", "@everyone look")
    said = [c.body for c in world.discord.requests[before:] if "content" in (c.body or {})]
    assert len(said) == 4, "each is sent, and edited when it has grown"
    assert all(body["allowed_mentions"] == {"parse": []} for body in said)


async def test_an_attachment_alone_is_stored_as_what_it_is_and_answered(world: World) -> None:
    await world.say("", attachments={"cat.png": b"png"})
    await world.reads("echo: [photo: cat.png]")
    assert len(await world.said(2)) == 2
