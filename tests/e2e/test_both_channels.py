"""examples/both_channels.py: one process on both platforms, one store, no chat in another."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.bots import Bot, is_noted, reads, run, said
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from emulators.openai import OpenAIEmulator
from emulators.telegram import TelegramEmulator

pytestmark = pytest.mark.asyncio

ADA = 7
SORRY = "Sorry, that went wrong. /retry tries again."


@dataclass
class World:
    """Ada on Telegram, Bob on Discord, and a way to start the bot that both talk to."""

    telegram: TelegramEmulator
    discord: DiscordEmulator
    folder: Path
    bob: Payload
    dm: Payload
    start: Callable[..., AbstractAsyncContextManager[Bot]]

    async def say(self, text: str) -> None:
        """Both say the same, at the same time."""
        self.telegram.say(ADA, text)
        await self.discord.say(self.dm, self.bob, text)

    async def command(self, name: str) -> None:
        self.telegram.say(ADA, f"/{name}")
        await self.discord.slash(self.dm, self.bob, name)

    async def reads(self, *texts: str) -> None:
        """Waits until this is what both read from the bot, in all."""
        await reads(self.telegram, ADA, *texts)
        await reads(self.discord, self.dm, *texts)

    async def said(self, bot: Bot, number: int) -> list[str]:
        """What is on disk of both, which is the same, once it is so much."""
        keys = "telegram/7", f"discord/{self.dm['id']}"
        await bot.wait_for(
            lambda: all(len(said(self.folder, key)) >= number for key in keys), f"{number} turns"
        )
        ours, theirs = (said(self.folder, key) for key in keys)
        assert ours == theirs
        return ours


@pytest.fixture
def world(
    telegram: TelegramEmulator, discord: DiscordEmulator, llm: OpenAIEmulator, folder: Path
) -> World:
    environment = discord.environment(
        TELEGRAM_TOKEN=telegram.token,
        TELEGRAM_API_URL=telegram.url,
        DISCORD_TOKEN=discord.token,
        OPENAI_BASE_URL=llm.url,
        OPENAI_API_KEY="x",
    )

    def start(*, command: bool = False, **more: str) -> AbstractAsyncContextManager[Bot]:
        return run("both_channels.py", folder, environment | more, command=command)

    bob = discord.user("Bob")
    return World(telegram, discord, folder, bob, discord.dm(bob), start)


async def up(bot: Bot, world: World) -> None:
    """Until the bot is connected to both."""
    await bot.wait_for(lambda: world.telegram.polling and world.discord.connections, "it was up")


async def test_both_channels_remember_across_a_kill_9_and_do_not_mix(
    world: World, llm: OpenAIEmulator
) -> None:
    async with world.start(command=True) as first:
        await up(first, world)
        world.telegram.say(ADA, "hello", first_name="Ada")
        await world.discord.say(world.dm, world.bob, "hello")
        await world.said(first, 2)
        llm.hold(after_chunks=1)
        await world.say("a long question")
        await world.reads("echo: hello", "echo:")
        # aiogram confirms an update while it is handled: nobody will deliver this one again.
        await world.telegram.wait_for(
            lambda: world.telegram.polling and not world.telegram.pending()
        )
        await first.wait_for(lambda: is_noted(world.folder), "it noted Telegram's message")
        await first.kill()
    llm.release()
    await world.discord.wait_for(lambda: not world.discord.connections)
    async with world.start() as second:
        await up(second, world)
        # The question is answered in the message that had begun to grow, and then once more.
        await world.reads("echo: hello", "echo: a long question")
        await world.said(second, 4)
        await world.command("retry")
        await world.reads("echo: hello", "echo: a long question", "echo: a long question")
        assert await world.said(second, 4) == [
            "user: hello",
            "assistant: echo: hello",
            "user: a long question",
            "assistant: echo: a long question",
        ]
        assert await second.stop() == 0
    for request in llm.requests[-2:]:
        heard = [message["content"] for message in request.messages[1:]]
        assert heard == ["hello", "echo: hello", "a long question"]


async def test_commands_and_errors_are_the_same_on_both(world: World, llm: OpenAIEmulator) -> None:
    async with world.start() as bot:
        await up(bot, world)
        llm.fail_next(400, times=2)
        await world.say("hello")
        read = [SORRY]
        await world.reads(*read)
        await world.command("retry")
        read.append("echo: hello")
        await world.reads(*read)
        await world.said(bot, 2)
        await world.command("reset")
        read.append("A new conversation.")
        await world.reads(*read)
        await world.say("anew")
        read.append("echo: anew")
        await world.reads(*read)
        for request in llm.requests[-2:]:
            assert [message["content"] for message in request.messages[1:]] == ["anew"]
        await world.said(bot, 4)
        await world.command("forget")
        read.append("What was kept of you here is erased.")
        await world.reads(*read)
        files = world.folder.rglob("sessions/**/*.jsonl")
        assert not [path for path in files if "anew" in path.read_text()]
        await world.command("retry")
        read.append("I have nothing to say.")
        await world.reads(*read)
        world.telegram.say(ADA, "/start")
        sent = await world.telegram.wait_sent(ADA, 7)
        assert sent[6]["text"].startswith("I remember what we say.")


async def test_a_redeploy_keeps_the_answers_under_way_on_both(
    world: World, llm: OpenAIEmulator
) -> None:
    async with world.start() as old:
        await up(old, world)
        async with world.start(OPENAI_API_KEY="") as new:
            await new.wait_output("No OPENAI_API_KEY is set")  # next it waits for the folder
            llm.hold()
            await world.say("1")
            await llm.wait_request(2)
            old.signal(signal.SIGTERM)
            await old.wait_output("Polling stopped for bot")
            assert old.running, "it waits for the answers under way"
            llm.release()
            assert await old.ended() == 0
            await up(new, world)
            await world.say("2")
            answer = "You said: 2\nI remember 2 messages of this chat. The first was: 1"
            await world.reads("echo: 1", answer)
            assert await new.stop() == 0
            assert await world.said(new, 4) == [
                "user: 1",
                "assistant: echo: 1",
                "user: 2",
                f"assistant: {answer}",
            ]
