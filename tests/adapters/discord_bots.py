"""Bots that several of the Discord tests run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import discord
from discord.ext import commands

from adapters.tools import said
from emulators.discord_payloads import Payload
from patience import PATIENCE
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_discord import SessionCog


class AnsweringBot(commands.Bot):
    """A bot whose handler is the cog's own event."""

    def __init__(self, store: SessionStore, **options: Any) -> None:
        super().__init__("!", intents=discord.Intents.all())
        self.store = store
        self.options = options
        self.begun: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.errors = 0

    async def setup_hook(self) -> None:
        await self.add_cog(SessionCog(self, self.store, **self.options))

    async def on_session_message(self, message: discord.Message, session: ChatSession) -> None:
        self.begun.append(message.content)
        await self.go_on.wait()
        if message.content == "fail":
            raise LookupError("no model")
        await session.answer(self.words(f"echo: {message.content}"))

    async def words(self, text: str) -> AsyncIterator[str]:
        for word in text.split(" "):
            yield word + " "

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        self.errors += 1


def key_of(place: Payload) -> str:
    return f"discord:{place['id']}"


def private_key_of(place: Payload, user: Payload) -> str:
    """The session of what only this person sees in a channel."""
    return f"{key_of(place)}:thread:ephemeral:user:{user['id']}"


async def settles(store: SessionStore, key: str, expected: list[str]) -> None:
    """Waits until this is what is stored of a session; shows the difference if it never is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while await said(store, key) != expected:
                await asyncio.sleep(0.01)
    found = await said(store, key)
    assert found == expected, f"{found} != {expected}"


def on_disk(folder: Path) -> str:
    """All that lies in a folder, as one text."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return "\n".join(path.read_text(errors="replace") for path in files)
