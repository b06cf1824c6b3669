"""What the tests of the emulated Discord share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from emulators.discord import DiscordEmulator
from emulators.discord_scene import Scene


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with DiscordEmulator() as server:
        yield Scene(server)
