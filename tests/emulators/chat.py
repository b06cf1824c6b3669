"""A chat in the terminal with a bot of yours, over an emulated platform: without a token.

    python tests/emulators/chat.py bot.py               # a Telegram bot
    python tests/emulators/chat.py --discord bot.py     # a Discord bot

The bot's file is run as it is. Each line is a message to it, and `:help` lists what else there is.
Without OPENAI_API_KEY an emulated model answers, which repeats what it was asked last.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from emulators.discord import DiscordEmulator  # noqa: E402 (the path comes first)
from emulators.openai import OpenAIEmulator  # noqa: E402
from emulators.telegram import PHOTO, TelegramEmulator  # noqa: E402

HELP: Final = """\
  :press LABEL         press a button of the latest message that has it
  :photo CAPTION       send a photo
  :slash NAME a=b      use a slash command (Discord)
  :quit                end"""

QUIET: Final = 0.5
"""The seconds without a change after which a growing message is printed."""

ADA: Final = 7


class Chat(ABC):
    """One person's chat with the bot."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the variables that lead the bot to the emulator."""

    @abstractmethod
    async def listens(self) -> None:
        """Wait until the bot listens."""

    @abstractmethod
    def messages(self) -> Iterator[tuple[str, str]]:
        """Yield the id and the look of each message of the bot."""

    async def do(self, line: str) -> None:
        """Do what a line of the person says; raise `LookupError` if that can't be done."""
        verb, _, rest = line.partition(" ")
        if verb == ":press":
            await self.press(rest)
        elif verb == ":photo":
            await self.photo(rest)
        elif verb == ":slash":
            name, *options = shlex.split(rest)
            await self.slash(name, dict(option.split("=", 1) for option in options))
        elif verb.startswith(":"):
            print(HELP, flush=True)
        else:
            await self.say(line)

    @abstractmethod
    async def say(self, text: str) -> None: ...

    @abstractmethod
    async def photo(self, caption: str) -> None: ...

    @abstractmethod
    async def press(self, label: str) -> None: ...

    async def slash(self, name: str, options: dict[str, str]) -> None:
        await self.say(f"/{name} {' '.join(options.values())}".strip())


class OnTelegram(Chat):
    def __init__(self, server: TelegramEmulator) -> None:
        self.server = server

    def environment(self) -> dict[str, str]:
        return {
            "TELEGRAM_TOKEN": self.server.token,
            "TELEGRAM_EMULATOR_URL": self.server.url,
            "PYTHONPATH": _path(HERE / "telegram_patch"),
        }

    async def listens(self) -> None:
        await self.server.wait_taken()

    def messages(self) -> Iterator[tuple[str, str]]:
        for message in self.server.sent(ADA):
            text = message.get("text") or message.get("caption") or "(a file)"
            labels = [f"[{button['text']}]" for button in _buttons(message)]
            yield str(message["message_id"]), " ".join([text, *labels])

    async def say(self, text: str) -> None:
        self.server.say(ADA, text)

    async def photo(self, caption: str) -> None:
        self.server.say(ADA, photo=PHOTO, caption=caption)

    async def press(self, label: str) -> None:
        for message in reversed(self.server.sent(ADA)):
            for button in _buttons(message):
                if button["text"] == label:
                    self.server.press(message, button["callback_data"], user_id=ADA)
                    return
        raise LookupError(f"no message has a button {label}")


def _buttons(message: dict[str, Any]) -> list[dict[str, Any]]:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return [button for row in rows for button in row]


class OnDiscord(Chat):
    def __init__(self, server: DiscordEmulator) -> None:
        self.server = server
        self._channel = server.channel(server.guild("Guild"), "general")
        self._ada = server.user("Ada")

    def environment(self) -> dict[str, str]:
        return self.server.environment(DISCORD_TOKEN=self.server.token)

    async def listens(self) -> None:
        await self.server.wait_ready()

    def messages(self) -> Iterator[tuple[str, str]]:
        for message in self.server.sent(self._channel):
            labels = [f"[{label}]" for label in _labels(message)]
            yield message["id"], " ".join([message["content"] or "(a file)", *labels])

    async def say(self, text: str) -> None:
        await self.server.say(self._channel, self._ada, text, mentions_bot=True)

    async def photo(self, caption: str) -> None:
        picture = {"photo.png": b"\x89PNG"}
        await self.server.say(
            self._channel, self._ada, caption, mentions_bot=True, attachments=picture
        )

    async def press(self, label: str) -> None:
        for message in reversed(self.server.sent(self._channel)):
            if label in _labels(message):
                await self.server.press(self._ada, message, label)
                return
        raise LookupError(f"no message has a button {label}")

    async def slash(self, name: str, options: dict[str, str]) -> None:
        await self.server.slash(self._channel, self._ada, name, options)


def _labels(message: dict[str, Any]) -> list[str]:
    parts = [part for row in message.get("components", []) for part in row.get("components", [])]
    return [part["label"] for part in parts if "label" in part]


def _path(*first: Path) -> str:
    return os.pathsep.join([*map(str, first), *filter(None, [os.environ.get("PYTHONPATH")])])


async def show(chat: Chat) -> None:
    """Print each message of the bot when it has stopped growing, and when it changes."""
    shown: dict[str, str] = {}
    before: dict[str, str] = {}
    while True:
        await asyncio.sleep(QUIET)
        now = dict(chat.messages())
        for name, text in now.items():
            if before.get(name) == text and shown.get(name) != text:
                shown[name] = text
                print(f"bot> {text}", flush=True)
        before = now


async def talk(chat: Chat) -> None:
    """Do what is typed, until the end of the input."""
    await chat.listens()
    print("The bot listens. Write to it, or :help.", flush=True)
    loop = asyncio.get_running_loop()
    while (line := await loop.run_in_executor(None, sys.stdin.readline)) and line != ":quit\n":
        try:
            await chat.do(line.rstrip("\n"))
        except (LookupError, ValueError) as error:
            print(f"That can't be done: {error.args[0]}", flush=True)


async def main(script: str, *, on_discord: bool) -> int:
    """Run the bot until the input ends, or the bot; return the bot's status if it ended first."""
    platform = DiscordEmulator() if on_discord else TelegramEmulator()
    async with platform, OpenAIEmulator(delay=0.02) as llm:
        chat: Chat
        chat = (
            OnDiscord(platform) if isinstance(platform, DiscordEmulator) else OnTelegram(platform)
        )
        model: dict[str, str] = {}
        if "OPENAI_API_KEY" not in os.environ:
            model = {"OPENAI_BASE_URL": llm.url, "OPENAI_API_KEY": "x"}
        bot = await asyncio.create_subprocess_exec(
            sys.executable,
            script,
            env={**os.environ, **model, **chat.environment()},
            stdin=asyncio.subprocess.DEVNULL,
        )
        printer = asyncio.create_task(show(chat))
        try:
            await _first(talk(chat), bot.wait())
        finally:
            printer.cancel()
            ended = bot.returncode
            if ended is None:
                bot.terminate()
                await bot.wait()
        return ended or 0


async def _first(*awaitables: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(one) for one in awaitables]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Chat with a bot, without a token.")
    parser.add_argument("--discord", action="store_true", help="the bot is one for Discord")
    parser.add_argument("script", help="the bot's file")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.script, on_discord=options.discord)))
