"""The README's Python blocks, each pasted into a file and started as its reader starts it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from docs.blocks import README, ROOT, blocks, write_files
from e2e.bots import Bot, reads, run, said
from emulators import telegram_patch
from emulators.discord import DiscordEmulator
from emulators.openai import OpenAIEmulator
from emulators.telegram import TelegramEmulator
from patience import PATIENCE

SOURCES: Final = [text for language, text in blocks(README) if language == "python"]
BOTS: Final = [number for number, text in enumerate(SOURCES) if "_TOKEN" in text]
PROGRAMS: Final = [number for number in range(len(SOURCES)) if number not in BOTS]
SYSTEM: Final = {"role": "system", "content": "You are a helpful assistant. Answer briefly."}
SORRY: Final = "Sorry, I could not answer. Please try again."


@dataclass
class World:
    """One bot of the README, the platform that it is written for, and a person who talks to it."""

    script: Path
    platform: TelegramEmulator | DiscordEmulator
    chat: Any
    file: str
    say: Callable[[str], Awaitable[Any]]
    connected: Callable[[], bool]
    llm: OpenAIEmulator
    environment: dict[str, str]

    @asynccontextmanager
    async def bot(self) -> AsyncIterator[Bot]:
        folder = self.script.parent
        if isinstance(self.platform, DiscordEmulator):  # it pushes to a killed bot for a moment
            await self.platform.wait_for(lambda: not self.connected(), PATIENCE)
        async with run(str(self.script), folder, self.environment, command=True) as bot:
            await bot.wait_for(self.connected, "it connected")
            yield bot

    async def reads(self, *texts: str) -> None:
        """Wait until this is all that the bot has written in the chat."""
        await reads(self.platform, self.chat, *texts)

    def said(self) -> list[str]:
        return said(self.script.parent, self.file)

    async def stored(self, bot: Bot, *turns: str) -> None:
        """Wait until this is all that is on disk: an answer is stored after it is sent."""
        await bot.wait_for(lambda: len(self.said()) >= len(turns), f"{len(turns)} turns")
        assert self.said() == [*turns]


@asynccontextmanager
async def on_telegram(script: Path, llm: OpenAIEmulator) -> AsyncIterator[World]:
    async with TelegramEmulator() as telegram:
        patch = str(Path(telegram_patch.__file__).parent)
        path = os.pathsep.join([patch, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {"PYTHONPATH": path, "TELEGRAM_EMULATOR_URL": telegram.url}
        environment["TELEGRAM_TOKEN"] = telegram.token

        async def say(text: str) -> None:
            telegram.say(7, text)

        yield World(
            *(script, telegram, 7, "telegram/7", say, lambda: telegram.polling, llm, environment)
        )


@asynccontextmanager
async def on_discord(script: Path, llm: OpenAIEmulator) -> AsyncIterator[World]:
    async with DiscordEmulator() as discord:
        ada = discord.user("Ada")
        place = discord.dm(ada)
        environment = discord.environment(DISCORD_TOKEN=discord.token)

        async def say(text: str) -> None:
            await discord.say(place, ada, text)

        yield World(
            *(script, discord, place, f"discord/{place['id']}", say),
            *(lambda: bool(discord.connections), llm, environment),
        )


PLATFORMS: Final[dict[str, Callable[..., AbstractAsyncContextManager[World]]]] = {
    "TELEGRAM_TOKEN": on_telegram,
    "DISCORD_TOKEN": on_discord,
}


def variables(source: str) -> set[str]:
    """The environment variables that a block reads."""
    return set(re.findall(r'environ(?:\.get\(|\[)"(\w+)"', source))


@pytest_asyncio.fixture(params=BOTS, ids=lambda number: "-".join(variables(SOURCES[number])))
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    script = write_files(tmp_path)[request.param]
    (token,) = variables(SOURCES[request.param])
    async with OpenAIEmulator() as llm, PLATFORMS[token](script, llm) as world:
        # OpenAI's client reads these two itself.
        world.environment |= {"OPENAI_BASE_URL": llm.url, "OPENAI_API_KEY": "x"}
        yield world
        assert llm.rejections == [], "every provider takes the window"


def test_the_readme_has_a_bot_for_each_platform() -> None:
    assert [variables(SOURCES[number]) for number in BOTS] == [{token} for token in PLATFORMS]


@pytest.mark.asyncio
async def test_a_bot_of_the_readme_answers_with_its_system_prompt_and_goes_on_after_kill_9(
    world: World,
) -> None:
    before = ["user: I am Ada", "assistant: echo: I am Ada"]
    async with world.bot() as bot:
        await world.say("I am Ada")
        await world.reads("echo: I am Ada")
        await world.stored(bot, *before)
        await bot.kill()
    async with world.bot() as bot:
        await world.say("who am I?")
        await world.reads("echo: I am Ada", "echo: who am I?")
        await world.stored(bot, *before, "user: who am I?", "assistant: echo: who am I?")
    assert world.llm.requests[-1].messages == [
        SYSTEM,
        {"role": "user", "content": "I am Ada"},
        {"role": "assistant", "content": "echo: I am Ada"},
        {"role": "user", "content": "who am I?"},
    ]


@pytest.mark.asyncio
async def test_a_bot_of_the_readme_tells_its_user_that_the_model_failed_and_stores_no_part_of_it(
    world: World,
) -> None:
    async with world.bot() as bot:
        world.llm.fail_next(500, times=3)  # the client itself tries three times
        await world.say("one")
        await world.reads(SORRY)
        world.llm.break_next(after_chunks=1)
        await world.say("two three four")
        await world.reads(SORRY, SORRY)
        await world.say("five")
        await world.reads(SORRY, SORRY, "echo: five")
        asked = ["user: one", "user: two three four", "user: five"]
        await world.stored(bot, *asked, "assistant: echo: five")
        assert "openai.InternalServerError" in bot.output
        assert "openai.APIConnectionError" in bot.output


@pytest.mark.asyncio
@pytest.mark.parametrize("world", BOTS[:1], indirect=True)
async def test_the_telegram_bot_of_the_readme_answers_no_command(world: World) -> None:
    async with world.bot() as bot:
        await world.say("/start")
        await world.say("hello")
        await world.reads("echo: hello")
        await world.stored(bot, "user: hello", "assistant: echo: hello")


@pytest.mark.asyncio
@pytest.mark.parametrize("world", BOTS[1:], indirect=True)
async def test_in_a_server_the_discord_bot_of_the_readme_answers_messages_that_mention_it(
    world: World,
) -> None:
    discord = world.platform
    assert isinstance(discord, DiscordEmulator)
    channel, ada = discord.channel(discord.guild()), discord.user("Ada")
    async with world.bot() as bot:
        await discord.say(channel, ada, "I am Ada")
        await discord.say(channel, ada, "who am I?", mentions_bot=True)
        await reads(discord, channel, "echo: who am I?")
        world.file = f"discord/{channel['id']}"
        await world.stored(bot, "user: I am Ada", "user: who am I?", "assistant: echo: who am I?")


@pytest.mark.parametrize("number", PROGRAMS)
def test_a_program_of_the_readme_prints_what_the_readme_says(number: int, tmp_path: Path) -> None:
    printed = README.read_text().partition(SOURCES[number])[2]
    shown = re.match(r"```\n\n```text\n(.*?)^```$", printed, re.MULTILINE | re.DOTALL)
    assert shown is not None, "each program is followed by its output"
    script = write_files(tmp_path)[number]
    ran = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert ran.stdout == shown[1]


def test_the_readme_installs_all_that_its_blocks_import() -> None:
    (line,) = [
        text.strip() for language, text in blocks(README) if text.startswith("pip install '.[")
    ]
    found = re.fullmatch(r"pip install '\.\[([\w,]+)\]' openai", line)
    assert found is not None
    extras = found[1].split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= project["optional-dependencies"].keys()
    imported: set[str] = set()
    for node in ast.walk(ast.parse("\n".join(SOURCES))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    packages = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    assert packages == {"turnkeep", "openai", *extras, *(f"turnkeep_{one}" for one in extras)}
