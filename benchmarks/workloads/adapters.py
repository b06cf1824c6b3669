"""What an adapter adds to an update: a message handled by the bare framework, and with turnkeep."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from turnkeep import SessionStore

from .exchanges import plan
from .rounds import bars, rounds
from .rounds import table as table_of

COLUMNS = {
    "us_64": "µs an update, 64 at a time",
    "added_64": "µs added",
    "us_1": "µs an update, one by one",
    "added_1": "µs added, one by one",
}
TEXT = "lorem ipsum dolor sit amet, consectetur adipiscing elit " * 2
DATE = 1_780_000_000

Feed = Callable[[int, int], Awaitable[object]]
"""Gives a framework the message with this number, in this chat, and waits for its handler."""


async def telegram(store: SessionStore | None) -> Feed:
    """aiogram: `feed_raw_update`, which a webhook or the polling calls, and one handler."""
    aiogram: Any = import_module("aiogram")
    bot = aiogram.Bot("42:TEST")
    dispatcher = aiogram.Dispatcher()

    async def bare(message: Any) -> None: ...

    async def with_session(message: Any, chat_session: Any) -> None: ...

    dispatcher.message.register(bare if store is None else with_session)
    if store is not None:
        middleware: Any = import_module("turnkeep_aiogram").SessionMiddleware(store)
        middleware.setup(dispatcher)

    def feed(number: int, chat: int) -> Awaitable[object]:
        who = {"id": chat, "is_bot": False, "first_name": "Ada"}
        about = {"id": chat, "type": "private", "first_name": "Ada"}
        message = {"message_id": number, "date": DATE, "chat": about, "from": who, "text": TEXT}
        update = {"update_id": number, "message": message}
        handled: Awaitable[object] = dispatcher.feed_raw_update(bot, update)
        return handled

    return feed


async def discord(store: SessionStore | None) -> Feed:
    """discord.py: what a gateway's MESSAGE_CREATE calls, and a handler that runs the commands."""
    discord: Any = import_module("discord")
    commands: Any = import_module("discord.ext.commands")
    handled: dict[int, asyncio.Future[None]] = {}
    base: Any = commands.Bot
    adapter: Any = None if store is None else import_module("turnkeep_discord")

    class Bot(base):  # type: ignore[misc]
        async def on_message(self, message: Any) -> None:
            if adapter is not None:
                await adapter.chat_session(self, message)
            await self.process_commands(message)
            handled.pop(message.id).set_result(None)

    bot = Bot("!", intents=discord.Intents.all())
    await bot._async_setup_hook()
    state = bot._connection
    state.user = discord.ClientUser(state=state, data=_person(1))
    if adapter is not None:
        await bot.add_cog(adapter.SessionCog(bot, store))

    def feed(number: int, chat: int) -> Awaitable[object]:
        data: dict[str, Any] = {
            "id": str(number),
            "channel_id": str(chat),
            "author": _person(chat),
            "content": TEXT,
            "timestamp": "2026-11-24T10:00:00.000000+00:00",
            "edited_timestamp": None,
            "type": 0,
            "attachments": [],
            "embeds": [],
            "mentions": [],
            "mention_roles": [],
            "mention_everyone": False,
            "pinned": False,
            "tts": False,
        }
        handled[number] = future = asyncio.get_running_loop().create_future()
        state.parse_message_create(data)
        return future

    return feed


def _person(id: int) -> dict[str, Any]:
    return {"id": str(id), "username": "ada", "discriminator": "0", "avatar": None}


FRAMEWORKS = {"aiogram": telegram, "discord.py": discord}
NAMES = [f"{name}{more}" for name in FRAMEWORKS for more in ("", " and turnkeep")]


async def measure(name: str, folder: Path, updates: int) -> dict[str, Any]:
    framework, _, turnkeep = name.partition(" and ")
    store = SessionStore(folder) if turnkeep else None
    if store is not None:
        await store.__aenter__()
    feed = await FRAMEWORKS[framework](store)
    figures: dict[str, Any] = {}
    first = 1
    for tasks in (64, 64, 1):  # the first time is to get warm
        chats = [int(chat.rpartition(":")[2]) + 1000 for chat in plan(1000, updates)]
        todo = iter(enumerate(chats, first))
        first += updates

        async def work(todo: Any = todo) -> None:
            for number, chat in todo:
                await feed(number, chat)

        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(tasks)))
        figures[f"us_{tasks}"] = round((time.perf_counter() - start) / updates * 1e6, 1)
    if store is not None:
        await store.aclose()
    return figures


def run(*, short: bool) -> list[dict[str, Any]]:
    arguments = (50,) if short else (4000,)
    results = rounds("workloads.adapters", NAMES, *arguments, count=1 if short else 5)
    for bare, ours in zip(results[::2], results[1::2], strict=True):
        for tasks in ("64", "1"):
            if "missing" not in bare and "missing" not in ours:
                bare[f"added_{tasks}"] = 0.0
                added = ours[f"us_{tasks}"] - bare[f"us_{tasks}"]
                ours[f"added_{tasks}"] = round(added, 1)
    return results


def table(results: list[dict[str, Any]]) -> str:
    return table_of(results, COLUMNS, "us_64")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    bars(results, "us_64", "µs for an update, 64 at a time", file)


def main() -> None:
    name, folder, updates = sys.argv[1:]
    try:
        figures = asyncio.run(measure(name, Path(folder), int(updates)))
    except ModuleNotFoundError as error:
        figures = {"missing": f"{error.name} is not installed"}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
