"""`chat.py` lets somebody talk to a bot in the terminal, without a token and a network."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from emulators import chat
from patience import PATIENCE

pytestmark = [pytest.mark.asyncio, pytest.mark.once]

ROOT: Final = Path(__file__).parents[2]


def block(page: str, heading: str) -> str:
    """Return the first Python block of a page under a heading."""
    text = (ROOT / page).read_text().split(f"\n{heading}\n")[1]
    return text.split("```python\n")[1].split("```\n")[0]


@asynccontextmanager
async def talking(
    folder: Path, source: str, *options: str
) -> AsyncGenerator[asyncio.subprocess.Process]:
    (folder / "bot.py").write_text(source)
    ours = {"OPENAI_API_KEY", "OPENAI_BASE_URL", "TELEGRAM_TOKEN", "DISCORD_TOKEN"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(chat.__file__)),
        *options,
        "bot.py",
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in ours},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await prints(process, "The bot listens. Write to it, or :help.")
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def prints(process: asyncio.subprocess.Process, line: str) -> None:
    """Wait until a line is printed."""
    assert process.stdout is not None
    while (printed := await asyncio.wait_for(process.stdout.readline(), PATIENCE)) != b"":
        if printed.decode().rstrip() == line:
            return
    raise AssertionError(f"it ended, and did not print {line!r}")


async def types(process: asyncio.subprocess.Process, line: str, answer: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    await prints(process, answer)


async def test_the_tutorials_bot_answers_in_the_terminal(tmp_path: Path) -> None:
    async with talking(tmp_path, block("docs/tutorial.md", "## The whole file")) as bot:
        await types(bot, "I have eggs.", "bot> echo: I have eggs.")
        await types(bot, "/menu", "bot> Which meal? [Breakfast] [Dinner]")
        await types(bot, ":press Dinner", "bot> echo: [button: Dinner]")
        await types(bot, ":photo And this?", "bot> echo: And this?")
        await types(bot, ":press Lunch", "That can't be done: no message has a button Lunch")


async def test_the_readmes_discord_bot_answers_in_the_terminal(tmp_path: Path) -> None:
    async with talking(tmp_path, block("README.md", "### A Discord bot"), "--discord") as bot:
        await types(bot, "My name is Ada.", "bot> echo: My name is Ada.")
        await types(bot, ":photo Look!", "bot> echo: Look! [photo: photo.png]")


async def test_a_bot_that_ends_ends_the_chat(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text("raise SystemExit('no')")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(chat.__file__)), "bot.py", cwd=tmp_path
    )
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 1
