"""One process of many over one storage: python worker.py URL NAME.

It writes a line of JSON for what it is about to do, and one for what it was told of it. It may
be killed at any time; SIGTERM ends it after what it is doing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import anyio

from turnkeep import SessionStore
from turnkeep._session import leases

CHATS: Final = 4
SPEAKERS: Final = 58
LEASE_SECONDS: Final = 2.0
MESSAGES: Final = 10_000


def say(*what: Any) -> None:
    """Write a line, whole, before anything can kill this process in its middle."""
    os.write(1, json.dumps(what).encode() + b"\n")


class Worker:
    """The tasks of one process."""

    def __init__(self, store: SessionStore, name: str) -> None:
        self.store = store
        self.name = name
        self.dice = random.Random(name)
        self.ends = False

    async def speak(self, task: int) -> None:
        """Append turns to some chats, one after the other."""
        number = 0
        while not self.ends:
            number += 1
            chat, text = f"many:{self.dice.randrange(CHATS)}", f"{self.name}/{task}/{number}"
            say("try", chat, text)
            turn = await self.store.session(chat).append("user", text)
            say("stored", chat, text, turn.id)

    async def answer(self, task: int) -> None:
        """Answer messages that are delivered to every process, and again."""
        number = 0
        while not self.ends:
            number = max(0, number + self.dice.choice((1, 1, 1, -2)))
            await answer(self.store, number % MESSAGES, f"{self.name}/{task}")

    async def reset(self, task: int) -> None:
        """Clear a chat while others answer in it, and answer there too."""
        session, number = self.store.session("many:reset"), 0
        while not self.ends:
            number += 1
            text = f"{self.name}/{task}/{number}"
            message = await session.receive(f"question {text}", source_id=text)
            async with message.reply() as reply:
                await anyio.sleep(self.dice.random() * 0.01)
                if self.dice.random() < 0.2:
                    await session.clear()
                reply.add_text(text)
            say("discarded" if reply.discarded else "replied", text)

    async def consolidate(self, task: int) -> None:
        """Fold a chat that others write to: the summary is the list of what was folded."""
        session, number = self.store.session("many:summary"), 0
        while not self.ends:
            number += 1
            text = f"{self.name}/{task}/{number}"
            await session.append("user", f"said {text}")
            await session.append("assistant", "yes")
            await session.consolidate(self.summarize, keep=4)

    async def summarize(self, messages: list[Any]) -> str:
        """Count the messages of users that are folded, beside those that were before."""
        texts = [str(message["content"]) for message in messages]
        before = [text.partition("folded ")[2].split()[0] for text in texts if "folded " in text]
        count = sum(text.startswith("said ") for text in texts)
        return f"folded {count + sum(map(int, before))} times"


async def answer(store: SessionStore, number: int, name: str) -> bool:
    """Receive a message, which may be known, and answer it; return True if it is answered."""
    message = await store.session("many:answers").receive(f"{number}", source_id=f"{number}")
    if message.already_answered:
        return True
    async with message.reply() as reply:
        reply.add_text(f"{number} by {name}")
    if not reply.discarded:
        say("answered", number, name)
    return not reply.discarded


async def main(url: str, name: str) -> None:
    """Work until SIGTERM."""
    leases.TTL = LEASE_SECONDS  # type: ignore[misc]
    async with SessionStore(url) as store:
        worker = Worker(store, name)
        work: list[Callable[[int], Coroutine[Any, Any, None]]] = [
            *[worker.speak] * SPEAKERS,
            *[worker.answer] * 3,
            *[worker.reset] * 2,
            worker.consolidate,
        ]
        with anyio.open_signal_receiver(signal.SIGTERM) as signals:
            async with anyio.create_task_group() as tasks:
                for task, one in enumerate(work):
                    tasks.start_soon(one, task)
                say("up")
                async for _ in signals:
                    worker.ends = True
                    break


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
