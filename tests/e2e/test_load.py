"""200 chats at once on each platform, with delays, duplicates, reconnects, kills and restarts.

What is stored is compared with the script that was played: nothing lost, nothing twice, order
kept, and each message answered once. Only what was in hand when the bot was killed or could not
reach the platform, or what Discord did not tell it while it was away, may have no answer. It
plays for TURNKEEP_LOAD_SECONDS: 6 unless it is set; tox plays for 20, and at night for 60.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from e2e.bots import Bot
from emulators.discord import DiscordEmulator
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import SessionStore, Turn

pytestmark = pytest.mark.asyncio

CHATS: Final = 200
SECONDS: Final = float(os.environ.get("TURNKEEP_LOAD_SECONDS", "6"))
SCRIPT: Final = str(Path(__file__).with_name("load_bot.py"))


class Play:
    """What everybody says, in its order, and a bot that is ended and started again meanwhile."""

    def __init__(self, platform: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.random = random.Random(7)
        self.said: dict[str, list[str]] = {}
        self.unanswered: set[str] = set()
        """What needs no answer."""
        self._platform = platform
        self._folder = folder
        self._environment = environment
        self.start()

    def start(self) -> None:
        """Start a bot, the first one or the next."""
        self.bot = Bot(SCRIPT, self._folder, self._environment, arguments=[self._platform])

    async def people(
        self, chats: list[str], say: Callable[[str, str], Awaitable[None]], seconds: float
    ) -> None:
        """Each person says something every two seconds or so, once at least."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds

        async def person(chat: str) -> None:
            said = self.said.setdefault(chat, [])
            while True:
                await asyncio.sleep(self.random.uniform(0.2, 4))
                said.append(f"{chat} {len(said)}")
                await say(chat, said[-1])
                if clock() >= end:
                    return

        await asyncio.gather(*map(person, chats))

    async def kill(self) -> None:
        """kill -9: what was in hand is stored, and need not be answered."""
        await self.bot.kill()
        await self.excuse()

    async def stop(self) -> None:
        """Ctrl-C: what is in hand is answered before the bot ends."""
        self.bot.signal(signal.SIGINT)
        assert await self.bot.ended() == 0, self.bot.output

    async def excuse(self) -> None:
        """What has been said and is not answered by now needs no answer."""
        answered = set[str]()
        for users, answers in (await self.stored()).values():
            answered |= {turn.text for turn in users if turn.id in answers}
        self.unanswered |= {text for said in self.said.values() for text in said} - answered

    async def stored(self) -> dict[str, tuple[list[Turn], list[int]]]:
        """The users' turns of each chat, and the ids that are answered, of what is on disk."""
        found: dict[str, tuple[list[Turn], list[int]]] = {}
        async with SessionStore(self._folder / "sessions", read_only=True) as store:
            for chat in self.said:
                turns = [turn async for turn in store.session(f"{self._platform}:{chat}").turns()]
                answers = [turn.answers or 0 for turn in turns if turn.role == "assistant"]
                found[chat] = [turn for turn in turns if turn.role == "user"], answers
        return found

    async def until_answered(self, shown: Callable[[str], set[str]]) -> None:
        """Waits until the platform shows an answer to each message that needs one."""
        end = asyncio.get_running_loop().time() + PATIENCE
        for chat, said in self.said.items():
            wanted = {f"to {text}" for text in said if text not in self.unanswered}
            while left := wanted - shown(chat):
                assert self.bot.running, self.bot.output
                assert asyncio.get_running_loop().time() < end, f"no answer in sight: {left}"
                await asyncio.sleep(0.05)

    async def compare(self) -> None:
        for chat, (users, answers) in (await self.stored()).items():
            assert [turn.text for turn in users] == self.said[chat], f"chat {chat}"
            assert len(answers) == len(set(answers)), f"chat {chat}: answered twice"
            left = {turn.text for turn in users if turn.id not in answers}
            assert left <= self.unanswered, f"chat {chat}: no answer to {left - self.unanswered}"

    async def at(self, share: float, began: float) -> None:
        """Waits until that share of the play is over."""
        await asyncio.sleep(max(0, began + share * SECONDS - asyncio.get_running_loop().time()))


async def test_200_chats_on_telegram(tmp_path: Path) -> None:
    async with TelegramEmulator() as telegram:
        ours = {"TELEGRAM_API_URL": telegram.url, "TELEGRAM_TOKEN": telegram.token}
        play = Play("telegram", tmp_path, ours)

        async def say(chat: str, text: str) -> None:
            update = telegram.say(int(chat), text)
            if play.random.random() < 0.2:
                await asyncio.sleep(play.random.uniform(0, 0.5))
                telegram.redeliver(update, same_update_id=play.random.random() < 0.5)

        async def back(polls: int) -> None:
            """Wait for one more poll: that of a bot which is gone may look alive yet."""
            await play.bot.wait_for(lambda: len(telegram.called("getUpdates")) > polls, "it polls")

        async def fate() -> None:
            began = asyncio.get_running_loop().time()
            await play.at(1 / 6, began)
            telegram.fail_next("getUpdates", status=502, times=2)
            await play.at(1 / 3, began)
            await play.kill()
            polls = len(telegram.called("getUpdates"))
            play.start()
            await back(polls)
            await play.at(1 / 2, began)
            await telegram.stop()  # what is said meanwhile waits there
            await asyncio.sleep(0.3)
            await play.excuse()  # an answer that can't be sent is not given
            polls = len(telegram.called("getUpdates"))
            await telegram.start()
            await back(polls)
            await play.at(2 / 3, began)
            await play.stop()
            polls = len(telegram.called("getUpdates"))
            play.start()
            await back(polls)

        def shown(chat: str) -> set[str]:
            return {message["text"] for message in telegram.sent(int(chat))}

        try:
            await play.bot.wait_for(lambda: telegram.polling, "it polls")
            chats = [str(chat) for chat in range(1, CHATS + 1)]
            await asyncio.gather(play.people(chats, say, SECONDS), fate())
            await play.until_answered(shown)
            await play.stop()
        finally:
            play.bot.reap()
    await play.compare()


async def test_200_chats_on_discord(tmp_path: Path) -> None:
    async with DiscordEmulator() as server:
        guild, ada = server.guild("Guild"), server.user("Ada")
        rooms = [server.channel(guild, f"room-{number}") for number in range(CHATS)]
        places = {place["id"]: place for place in rooms}
        play = Play("discord", tmp_path, server.environment(DISCORD_TOKEN=server.token))

        async def say(chat: str, text: str) -> None:
            message = await server.say(places[chat], ada, text)
            if play.random.random() < 0.2:
                await asyncio.sleep(play.random.uniform(0, 0.5))
                await server.redeliver(message)

        async def back() -> None:
            await server.wait_ready()
            await play.excuse()  # Discord does not tell what was said while nobody listened

        async def fate() -> None:
            began = asyncio.get_running_loop().time()
            await play.at(1 / 6, began)
            await server.drop_connection()  # what is said until the bot resumes is replayed
            await play.at(1 / 3, began)
            await play.kill()
            play.start()
            await back()
            await play.at(2 / 3, began)
            await server.drop_connection(resumable=False)
            await back()
            await play.at(5 / 6, began)
            await play.stop()
            play.start()
            await back()

        def shown(chat: str) -> set[str]:
            return {message["content"] for message in server.sent(places[chat])}

        try:
            await server.wait_ready()
            await play.people([*places], say, 0)  # so that the bot knows the channels
            await play.until_answered(shown)
            await asyncio.gather(play.people([*places], say, SECONDS), fate())
            # What came while the bot was away is fetched with the next message of its channel.
            for chat, place in places.items():
                play.said[chat].append(f"{chat} last")
                await server.say(place, ada, f"{chat} last")
            await play.until_answered(shown)
            await play.stop()
        finally:
            play.bot.reap()
    await play.compare()
