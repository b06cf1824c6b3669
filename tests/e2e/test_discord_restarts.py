"""examples/discord_bot.py across its deaths: kill -9, a redeploy, and how it starts."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.bots import Bot, reads, run, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from emulators.openai import OpenAIEmulator

pytestmark = pytest.mark.asyncio


@dataclass
class World:
    """A person, their direct messages with the bot, and a way to start it."""

    discord: DiscordEmulator
    ada: Payload
    dm: Payload
    folder: Path
    start: Callable[..., AbstractAsyncContextManager[Bot]]

    async def say(self, text: str) -> Payload:
        return await self.discord.say(self.dm, self.ada, text)

    def said(self) -> list[str]:
        return said(self.folder, f"discord/{self.dm['id']}")


@pytest.fixture
def world(discord: DiscordEmulator, llm: OpenAIEmulator, folder: Path) -> World:
    environment = discord.environment(
        DISCORD_TOKEN=discord.token, OPENAI_BASE_URL=llm.url, OPENAI_API_KEY="x"
    )

    def start(**more: str) -> AbstractAsyncContextManager[Bot]:
        return run("discord_bot.py", folder, environment | more)

    ada = discord.user("Ada")
    return World(discord, ada, discord.dm(ada), folder, start)


async def connected(bot: Bot, discord: DiscordEmulator) -> None:
    await bot.wait_for(lambda: discord.connections, "it connected")


async def test_kill_9_in_the_middle_of_an_answer_loses_nothing_and_repeats_nothing(
    world: World, discord: DiscordEmulator, llm: OpenAIEmulator
) -> None:
    async with world.start() as first:
        await connected(first, discord)
        answered = await world.say("hello")
        await first.wait_for(lambda: len(world.said()) == 2, "it stored the answer")
        llm.hold(after_chunks=1)
        unanswered = await world.say("a long question")
        await reads(discord, world.dm, "echo: hello", "echo:")
        await first.kill()
    llm.release()
    assert world.said() == ["user: hello", "assistant: echo: hello", "user: a long question"]
    await discord.wait_for(lambda: not discord.connections)
    async with world.start() as second:
        await connected(second, discord)
        await discord.redeliver(answered)
        await discord.redeliver(unanswered)
        await reads(discord, world.dm, "echo: hello", "echo: a long question")
        assert await second.stop() == 0
    assert world.said() == [
        "user: hello",
        "assistant: echo: hello",
        "user: a long question",
        "assistant: echo: a long question",
    ]


async def test_a_redeploy_overlaps_and_every_message_is_answered_once(
    world: World, discord: DiscordEmulator, llm: OpenAIEmulator
) -> None:
    async with world.start() as old:
        await connected(old, discord)
        llm.hold()
        await world.say("1")
        await llm.wait_request(1)
        async with world.start(OPENAI_API_KEY="") as new:
            await new.wait_output("No OPENAI_API_KEY is set")  # next it waits for the folder
            old.signal(signal.SIGTERM)
            # What is said while it waits for the answer under way is heard and answered too.
            await world.say("2")
            await old.wait_for(lambda: "user: 2" in world.said(), "it heard it")
            llm.release()
            assert await old.ended() == 0
            await reads(discord, world.dm, "echo: 1", "echo: 2")
            await connected(new, discord)
            await world.say("3")
            third = "You said: 3\nI remember 3 messages of this chat. The first was: 1"
            await reads(discord, world.dm, "echo: 1", "echo: 2", third)
            assert await new.stop() == 0
    assert world.said() == [
        "user: 1",
        "user: 2",
        "assistant: echo: 1",
        "assistant: echo: 2",
        "user: 3",
        f"assistant: {third}",
    ]


async def test_ctrl_c_ends_a_copy_that_waits_for_another_to_leave(
    world: World, discord: DiscordEmulator
) -> None:
    async with world.start() as old:
        await connected(old, discord)
        async with world.start(OPENAI_API_KEY="") as new:
            await new.wait_output("No OPENAI_API_KEY is set")
            new.signal(signal.SIGINT)
            assert await new.ended() == 0
        await world.say("hello")
        await discord.wait_sent(world.dm, 1)


async def test_without_a_key_it_says_so_and_shows_what_it_remembers(
    world: World, discord: DiscordEmulator
) -> None:
    async with world.start(OPENAI_API_KEY="") as bot:
        await bot.wait_output("No OPENAI_API_KEY is set")
        await connected(bot, discord)
        remembers = "I remember {} messages of this chat. The first was: I am Ada"
        answers = [f"You said: I am Ada\n{remembers.format(1)}"]
        await world.say("I am Ada")
        await reads(discord, world.dm, *answers)
        answers.append(f"You said: hello\n{remembers.format(2)}")
        await world.say("hello")
        await reads(discord, world.dm, *answers)
