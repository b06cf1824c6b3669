"""Starts the example scripts as a user does; ends them as a user, `docker stop` or a crash does.

A bot writes to a log file and not to a pipe: nothing has to be read for it to go on, and what it
said is there after its death. Every wait is bounded, and every process is reaped by its id.

One test of each example runs the command that users type; the others fork (see `starter.py`).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from e2e import forks
from emulators.discord import DiscordEmulator
from emulators.telegram import TelegramEmulator
from patience import PATIENCE

__all__ = ["Bot", "Turns", "free_port", "is_noted", "reads", "run", "said", "turns"]

EXAMPLES: Final = Path(__file__).parents[2] / "examples"

SECRETS: Final = ("TELEGRAM_TOKEN", "DISCORD_TOKEN", "OPENAI_API_KEY", "WEBHOOK_SECRET")
"""The variables whose values stand in no line of a bot's log."""

PRINTING: Final = ("console_bot.py", "long_memory_bot.py")
"""They show the conversation itself."""

MEDIA: Final = re.compile(r"/file/bot\S+|[?&](?:ex|hm|is)=[0-9a-f]+")
MIN_WORDS: Final = 8
"""The length of a text from which on it is nothing that a log says by itself."""

Turns = list[dict[str, Any]]


class Bot:
    """One example in a process of its own, in its own session folder `folder/sessions`."""

    def __init__(
        self,
        script: str,
        folder: Path,
        environment: Mapping[str, str],
        stdin: int = subprocess.DEVNULL,
        arguments: Sequence[str] = (),
        *,
        command: bool = False,
    ) -> None:
        self.script = script
        self.log = folder / f"{Path(script).name}.{len(list(folder.glob('*.log')))}.log"
        path = str(EXAMPLES / script)
        whole = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1", **environment}
        self._process: subprocess.Popen[bytes] | forks.Forked
        with self.log.open("wb") as log:
            if forks.HERE and not command:
                self._process = forks.Forked(path, folder, whole, arguments, stdin, log.fileno())
                return
            self._process = subprocess.Popen(
                [sys.executable, path, *arguments],
                cwd=folder,
                env=whole,
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A shell's background jobs ignore Ctrl-C, and hand that on to what they start.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )

    @property
    def output(self) -> str:
        """What the bot has written so far, errors included."""
        return self.log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    async def wait_for(self, happened: Callable[[], Any], what: str) -> None:
        """Wait until something is true; fail at once if the bot ends first."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not happened():
                    if not self.running and not happened():
                        raise AssertionError(f"{self.script} ended before {what}:\n{self.output}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise TimeoutError(f"waited {PATIENCE} s in vain until {what}") from None

    async def wait_output(self, text: str, count: int = 1) -> None:
        await self.wait_for(lambda: self.output.count(text) >= count, f"it said {text!r}")

    def write(self, text: str) -> None:
        """Types into a bot that was started with a pipe."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """The exit status, once the bot has ended."""
        async with asyncio.timeout(PATIENCE):
            while self.running:
                await asyncio.sleep(0.02)
        return self._process.wait()

    async def stop(self) -> int:
        """What `docker stop` does, without its patience."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        assert await self.ended() == -signal.SIGKILL

    def reap(self) -> None:
        if self.running:
            self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


@asynccontextmanager
async def run(
    script: str,
    folder: Path,
    environment: Mapping[str, str],
    stdin: int = subprocess.DEVNULL,
    *,
    command: bool = False,
) -> AsyncIterator[Bot]:
    """A bot, ended at the latest with the block; its output is shown where a test fails."""
    bot = Bot(script, folder, environment, stdin, command=command)
    try:
        yield bot
    finally:
        bot.reap()
        print(f"--- {bot.log.name}, exit status {bot._process.returncode}\n{bot.output}")
    if script not in PRINTING:
        assert_log_is_for_anybody(bot, environment)


def assert_log_is_for_anybody(bot: Bot, environment: Mapping[str, str]) -> None:
    """Look through all that a bot has logged for secrets, media's addresses, and people's words."""
    secrets = {name: environment.get(name, "") for name in SECRETS}
    secrets["the store's password"] = urlsplit(environment.get("TURNKEEP_STORE", "")).password or ""
    told = [name for name, one in secrets.items() if len(one) >= MIN_WORDS and one in bot.output]
    assert not told, f"its log holds the values of {told}"
    assert MEDIA.findall(bot.output) == []
    sessions = (bot.log.parent / "sessions").glob("*/*.jsonl")
    lines = [line for file in sessions for line in file.read_text().split("\n")[:-1]]
    words = {str(json.loads(line).get("content", "")) for line in lines}
    heard = [text for text in words if len(text) >= MIN_WORDS and text in bot.output]
    assert not heard, f"its log holds what was said: {heard}"


def free_port() -> int:
    """A port on the loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def reads(server: TelegramEmulator | DiscordEmulator, chat: Any, *texts: str) -> None:
    """Waits until people read this in the chat from the bot, and nothing else of it.

    An answer is there before it is whole: it grows.
    """

    def shown() -> list[str]:
        return [message.get("text") or message["content"] for message in server.sent(chat)]

    try:
        await server.wait_for(lambda: shown() == [*texts])
    except TimeoutError as error:
        raise AssertionError(f"they read {shown()}, not {[*texts]}") from error


def turns(folder: Path, key: str) -> Turns:
    """The messages in a session's file, read with nothing but json: none for no file.

    `key` is such as `telegram/7`. A line that is no JSON fails, but for what stands behind the
    last line's end: that is being written, or the kill came while it was.
    """
    path = folder / "sessions" / f"{key}.jsonl"
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    messages = [line for line in lines if line.get("_type") != "metadata"]
    ids = [message["id"] for message in messages]
    assert ids == sorted(set(ids)), f"{key}: the ids are not ascending: {ids}"
    return messages


def is_noted(folder: Path, key: str = "telegram:7") -> bool:
    """Return True if the message that carries a session's growing answer is on disk."""
    notes = (folder / "sessions" / ".turnkeep" / "claims").read_bytes().split(b"\n")
    return any(b'"sent"' in note and key.encode() in note for note in notes)


def said(folder: Path, key: str) -> list[str]:
    """What is on disk of a session and not hidden, in its order: `user: …`, `assistant: …`."""
    shown = [turn for turn in turns(folder, key) if not turn.get("hidden")]
    return [f"{turn['role']}: {turn['content']}" for turn in shown]
