"""Kills of a bot at random moments: `python tests/e2e/kills.py --kills 200`.

A process with a bot on the emulated Telegram or Discord is killed (-9) while people write to it:
in the middle of an answer, of a tool, or in the queue. After each kill it starts again, and at
the end every question has an answer. `test_kills` plays ten.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from e2e.bots import Bot
from emulators.discord import DiscordEmulator
from emulators.openai import OpenAIEmulator
from emulators.telegram import TelegramEmulator

__all__ = ["Report", "kill_again_and_again"]

SCRIPT: Final = str(Path(__file__).with_name("killed_bot.py"))
PEOPLE: Final = 3

Platform = Literal["telegram", "discord"]


@dataclass
class Report:
    """The result: questions without an answer, and those with several."""

    kills: int = 0
    questions: int = 0
    unanswered: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    stored_again: list[str] = field(default_factory=list)
    tools_again: list[str] = field(default_factory=list)

    def check(self, platform: Platform) -> None:
        """Fail unless each promise was kept."""
        assert not self.unanswered, f"without an answer: {self.unanswered}"
        assert not self.stored_again, f"stored twice: {self.stored_again}"
        assert not self.tools_again, f"tools run twice: {self.tools_again}"
        most = self.kills if platform == "telegram" else 0
        assert len(self.repeated) <= most, f"shown twice: {self.repeated}"


class World:
    """A platform with people who ask, and a bot that is killed."""

    def __init__(self, platform: Platform, folder: Path, seed: int) -> None:
        self.platform: Platform = platform
        self.folder = folder
        self.random = random.Random(seed)
        self.questions: dict[str, str] = {}
        """The chat of each question."""
        self.telegram = TelegramEmulator()
        self.discord = DiscordEmulator()
        self.llm = OpenAIEmulator(self._respond, delay=0.01)
        self._people: list[Any] = []
        self._ids: dict[str, str] = {}  # of the questions on Discord

    def _respond(self, messages: list[dict[str, Any]]) -> Any:
        """A model that calls a tool for each third question, and answers in some words."""
        asked = next(one["content"] for one in reversed(messages) if one["role"] == "user")
        number = int(asked.split()[1])
        if messages[-1]["role"] == "user" and number % 3 == 0:
            call = {"name": "look_up", "arguments": json.dumps({"what": asked})}
            calls = [{"id": f"call_{number}", "type": "function", "function": call}]
            return {"content": None, "tool_calls": calls}
        return f"answer to {asked} in so many words that it takes a moment"

    async def start(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self.llm)
        if self.platform == "telegram":
            await stack.enter_async_context(self.telegram)
            self._people = [7 + number for number in range(PEOPLE)]
            return
        await stack.enter_async_context(self.discord)
        users = [self.discord.user(f"Person{number}") for number in range(PEOPLE)]
        self._people = [(user, self.discord.dm(user)) for user in users]

    def bot(self, **more: str) -> Bot:
        environment = {**more, "OPENAI_BASE_URL": self.llm.url, "OPENAI_API_KEY": "x"}
        environment["PLATFORM"] = self.platform
        if self.platform == "telegram":
            environment["TELEGRAM_TOKEN"] = self.telegram.token
            environment["TELEGRAM_API_URL"] = self.telegram.url
        else:
            environment = self.discord.environment(DISCORD_TOKEN=self.discord.token, **environment)
        return Bot(SCRIPT, self.folder, environment)

    async def ask(self) -> None:
        """One of the people asks something."""
        question = f"question {len(self.questions)} !"
        person = self.random.choice(self._people)
        if self.platform == "telegram":
            self.telegram.say(person, question)
            self.questions[question] = str(person)
        else:
            user, channel = person
            message = await self.discord.say(channel, user, question)
            self.questions[question] = channel["id"]
            self._ids[question] = message["id"]

    async def is_up(self, bot: Bot) -> None:
        """Wait until the bot hears: Discord loses what is said before."""
        if self.platform == "telegram":
            await bot.wait_for(lambda: self.telegram.polling, "it polled")
        else:
            await bot.wait_output("is ready")

    async def is_heard(self, bot: Bot) -> None:
        """Wait until the bot has all in hand: Discord sends nothing a second time.

        On Telegram the kill may come before.
        """
        if self.platform == "discord":
            await bot.wait_for(self._has_all_in_hand, "it heard all")

    def _has_all_in_hand(self) -> bool:
        claims = self.folder / "sessions" / ".turnkeep" / "claims"
        leased = claims.read_text() if claims.exists() else ""
        stored = self.stored()
        return all(stored[one] or f'"message":{id}' in leased for one, id in self._ids.items())

    async def is_answered(self, bot: Bot) -> None:
        """Wait until each question so far has an answer."""
        await bot.wait_for(
            lambda: all(self.stored()[one] for one in self.questions), "it answered all"
        )

    def _turns(self) -> list[dict[str, Any]]:
        files = (self.folder / "sessions" / self.platform).glob("*.jsonl")
        lines = [line for path in files for line in path.read_text().split("\n")[:-1]]
        return [json.loads(line) for line in lines]

    def shown(self) -> Counter[str]:
        """The answers that people see, by their question."""
        found: Counter[str] = Counter()
        for question, chat in self.questions.items():
            if self.platform == "telegram":
                texts = [one["text"] for one in self.telegram.sent(int(chat))]
            else:
                texts = [one["content"] for one in self.discord.sent(chat)]
            found[question] = sum(text == self._answer(question) for text in texts)
        return found

    @staticmethod
    def _answer(question: str) -> str:
        return f"answer to {question} in so many words that it takes a moment"

    def stored(self) -> Counter[str]:
        """The answers on disk, by their question."""
        found: Counter[str] = Counter()
        for turn in self._turns():
            if turn.get("role") == "assistant" and (said := turn.get("content")):
                found.update(one for one in self.questions if said == self._answer(one))
        return found

    def tools(self) -> Counter[str]:
        """The number of runs of each tool whose result was stored."""
        path = self.folder / "tools.txt"
        return Counter(path.read_text().splitlines() if path.exists() else [])

    def pieces(self) -> dict[str, int]:
        """The messages of the bot that are shown beyond one for each question, by chat."""
        more: dict[str, int] = {}
        for chat in set(self.questions.values()):
            asked = sum(one == chat for one in self.questions.values())
            if self.platform == "telegram":
                shown = len(self.telegram.sent(int(chat)))
            else:
                shown = len(self.discord.sent(chat))
            more[chat] = shown - asked
        return more


async def kill_again_and_again(
    platform: Platform, folder: Path, kills: int, seed: int = 0
) -> Report:
    """Kill the bot so often, at random moments, and report how its questions fared."""
    world, report = World(platform, folder, seed), Report(kills)
    async with AsyncExitStack() as stack:
        await world.start(stack)
        for life in range(kills):
            bot = world.bot()
            stack.callback(bot.reap)
            await world.is_up(bot)
            if life % 2:  # a question is handled again twice at most
                await world.is_answered(bot)
            for _ in range(world.random.randint(1, 3)):
                await world.ask()
            await world.is_heard(bot)
            await asyncio.sleep(world.random.uniform(0, 0.4))
            await bot.kill()
        bot = world.bot()
        stack.callback(bot.reap)
        await world.is_up(bot)
        await world.is_answered(bot)
        status = await bot.stop()
        assert status == 0, bot.output
        shown, stored = world.shown(), world.stored()
        report.questions = len(world.questions)
        report.unanswered = [one for one in world.questions if not shown[one] or not stored[one]]
        report.repeated = [chat for chat, more in world.pieces().items() for _ in range(more)]
        report.stored_again = [one for one in world.questions if stored[one] > 1]
        report.tools_again = [one for one, count in world.tools().items() if count > 1]
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill a bot at random moments.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--platform", choices=["telegram", "discord"], action="append")
    options = parser.parse_args()
    both: list[Platform] = ["telegram", "discord"]
    chosen: list[Platform] = options.platform or both
    for platform in chosen:
        with tempfile.TemporaryDirectory() as folder:
            report = asyncio.run(
                kill_again_and_again(platform, Path(folder), options.kills, options.seed)
            )
        print(f"{platform}: {report}")
        report.check(platform)


if __name__ == "__main__":
    main()
