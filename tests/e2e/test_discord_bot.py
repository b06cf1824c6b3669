"""examples/discord_bot.py in one long life: what users meet who talk to it.

All tests talk to one bot, each in a channel of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from e2e.bots import Bot, run, said, turns
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from emulators.openai import OpenAIEmulator, last_user_text

pytestmark = pytest.mark.asyncio(loop_scope="module")

SORRY = "Sorry, that went wrong. /retry tries again."
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

    async def answers(self, number: int, place: Payload | None = None) -> list[str]:
        """What the bot has written in the channel, once it is so much."""
        sent = await self.discord.wait_sent(place or self.place, number)
        assert len(sent) == number
        return [message["content"] for message in sent]

    async def ask(self, text: str, number: int) -> str:
        """Says something and waits for what becomes the bot's message of this number."""
        await self.say(text)
        return (await self.answers(number))[-1]

    async def slash(self, name: str, number: int) -> str:
        """Uses a command and waits for what becomes the bot's message of this number."""
        await self.discord.slash(self.place, self.person, name)
        return (await self.answers(number))[-1]

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
        async with run("discord_bot.py", folder, environment) as bot:
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
    assert await world.ask("hello", 1) == "echo: hello"
    await world.said(2)
    await world.ask("and again", 2)
    assert await world.said(4) == [
        "user: hello",
        "assistant: echo: hello",
        "user: and again",
        "assistant: echo: and again",
    ]


async def test_a_turn_on_disk_names_its_sender_and_its_message(world: World) -> None:
    question = await world.say("hello")
    (answer,) = await world.discord.wait_sent(world.place, 1)
    await world.said(2)
    place = world.place["id"]
    asked, answered = turns(world.folder, f"discord/{place}")
    assert asked["sender"] == {"id": world.person["id"], "name": world.person["global_name"]}
    assert asked["source_ids"] == [f"{place}:{question['id']}"]
    assert answered["source_ids"] == [f"{place}:{answer['id']}"]


async def test_in_a_channel_it_hears_all_and_answers_who_mentions_it(world: World) -> None:
    channel = world.discord.channel(world.guild)
    await world.say("I am Ada", channel)
    await world.say("what is my name?", channel, mentions_bot=True)
    assert await world.answers(1, channel) == ["echo: what is my name?"]
    heard = [message["content"] for message in world.llm.requests[-1].messages[1:]]
    assert heard == ["I am Ada", "what is my name?"]
    assert await world.said(3, channel) == [
        "user: I am Ada",
        "user: what is my name?",
        "assistant: echo: what is my name?",
    ]


async def test_interleaved_channels_never_mix(world: World) -> None:
    places = [world.discord.channel(world.guild, f"place-{n}") for n in range(5)]
    for number in range(1, 5):
        for place in places:
            await world.say(f"{place['name']} says {number}", place, mentions_bot=True)
        for place in places:
            await world.answers(number, place)
            await world.said(2 * number, place)
    for place in places:
        lines = [f"{place['name']} says {number}" for number in range(1, 5)]
        pairs = [(f"user: {line}", f"assistant: echo: {line}") for line in lines]
        assert await world.said(8, place) == [line for pair in pairs for line in pair]


async def test_a_burst_is_stored_in_its_order_and_each_message_answered_once(
    world: World,
) -> None:
    burst = [f"number {number}" for number in range(20)]
    for text in burst:
        await world.say(text)
    assert sorted(await world.answers(20)) == sorted(f"echo: {text}" for text in burst)
    await world.said(40)
    stored = turns(world.folder, f"discord/{world.place['id']}")
    questions = {turn["id"]: turn["content"] for turn in stored if turn["role"] == "user"}
    assert list(questions.values()) == burst
    answers = [turn for turn in stored if turn["role"] == "assistant"]
    assert sorted(turn["answers"] for turn in answers) == list(questions)
    assert all(turn["content"] == f"echo: {questions[turn['answers']]}" for turn in answers)


async def test_a_message_that_comes_again_after_its_answer_changes_nothing(world: World) -> None:
    message = await world.say("hello")
    await world.answers(1)
    await world.said(2)
    await world.discord.redeliver(message)
    await world.ask("next", 2)
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
    await world.llm.wait_request(asked + 2)
    world.llm.release()
    assert sorted(await world.answers(2)) == ["echo: hello", "echo: next"]
    assert len(await world.said(4)) == 4
    assert len(world.llm.requests) == asked + 2


@pytest.mark.parametrize("resumable", [True, False], ids=["resume", "identify"])
async def test_a_lost_connection_loses_only_what_discord_does_not_replay(
    world: World, resumable: bool
) -> None:
    await world.ask("before", 1)
    await world.said(2)
    await world.discord.drop_connection(resumable)
    await world.say("during")
    if not resumable:
        await world.discord.wait_ready()
        await world.say("after")
    assert (await world.answers(2))[1] == ("echo: during" if resumable else "echo: after")
    text = "during" if resumable else "after"
    assert await world.said(4) == [
        "user: before",
        "assistant: echo: before",
        f"user: {text}",
        f"assistant: echo: {text}",
    ]


async def test_after_reset_the_model_sees_nothing_of_before(world: World) -> None:
    await world.ask("a secret", 1)
    await world.said(2)
    assert await world.slash("reset", 2) == "A new conversation."
    await world.ask("hello", 3)
    messages = world.llm.requests[-1].messages
    assert [message["content"] for message in messages[1:]] == ["hello"]
    assert "user: a secret" in await world.said(4), "it is still in the file"


async def test_retry_replaces_the_answer(world: World) -> None:
    world.llm.respond = lambda messages: "the first try"
    await world.ask("hello", 1)
    await world.said(2)
    world.llm.respond = lambda messages: "the second try"
    await world.discord.slash(world.place, world.person, "retry")
    assert (await world.answers(3))[1:] == ["Once more:", "the second try"]
    assert await world.said(2) == ["user: hello", "assistant: the second try"]


async def test_retry_in_a_new_chat_says_that_there_is_nothing_to_answer(world: World) -> None:
    await world.discord.slash(world.place, world.person, "retry")
    assert (await world.answers(2))[1] == "There is nothing to answer."


async def test_forget_leaves_no_trace_on_disk_and_the_bot_goes_on(world: World) -> None:
    await world.ask("xyzzy", 1)
    await world.said(2)
    assert await world.slash("forget", 2) == "Everything is erased."
    files = [path for path in world.folder.rglob("sessions/**/*") if path.is_file()]
    assert not [path for path in files if b"xyzzy" in path.read_bytes()]
    assert await world.ask("hello", 3) == "echo: hello"
    assert await world.said(2) == ["user: hello", "assistant: echo: hello"]


async def test_an_error_of_the_model_is_told_and_not_stored(world: World) -> None:
    world.llm.fail_next(500, times=3)  # the client itself tries three times
    assert await world.ask("fails", 1) == SORRY
    assert await world.said(1) == ["user: fails"]
    await world.discord.slash(world.place, world.person, "retry")
    assert (await world.answers(3))[2] == "echo: fails"
    assert await world.said(2) == ["user: fails", "assistant: echo: fails"]


async def test_a_stream_that_breaks_is_told_and_no_part_of_it_is_stored(world: World) -> None:
    world.llm.break_next(after_chunks=2)
    assert await world.ask("one two three four", 1) == SORRY
    assert await world.ask("and now?", 2) == "echo: and now?"
    assert await world.said(3) == [
        "user: one two three four",
        "user: and now?",
        "assistant: echo: and now?",
    ]


async def test_an_answer_that_cannot_be_sent_is_not_stored(world: World) -> None:
    world.discord.fail_next("POST", f"/channels/{world.place['id']}/messages", status=403)
    assert await world.ask("hello", 1) == SORRY
    assert await world.said(1) == ["user: hello"]


async def test_an_answer_comes_also_where_the_sign_of_typing_fails(world: World) -> None:
    world.discord.fail_next("POST", "/typing", status=403)
    assert await world.ask("hello", 1) == "echo: hello"
    assert await world.said(2) == ["user: hello", "assistant: echo: hello"]


async def test_a_long_answer_is_sent_in_pieces_and_stored_once(world: World) -> None:
    long = " ".join(str(number) for number in range(1100))
    world.llm.respond = lambda messages: long
    await world.say("count")
    sent = await world.discord.wait_sent(world.place, 3)
    assert await world.said(2) == ["user: count", f"assistant: {long}"]
    stored = turns(world.folder, f"discord/{world.place['id']}")
    assert stored[1]["source_ids"] == [f"{world.place['id']}:{m['id']}" for m in sent]


async def test_a_model_cannot_ping_everyone(world: World) -> None:
    world.llm.respond = lambda messages: "@everyone look"
    await world.ask("hello", 1)
    posts = [call for call in world.discord.requests if call.path.endswith("/messages")]
    assert posts[-1].body["allowed_mentions"] == {"parse": []}


async def test_an_attachment_alone_is_stored_as_what_it_is_and_answered(world: World) -> None:
    await world.say("", attachments={"cat.png": b"png"})
    await world.discord.wait_sent(world.place, 1)
    assert await world.ask("hello", 2) == "echo: hello"
