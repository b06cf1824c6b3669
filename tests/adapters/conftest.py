"""What the tests of both adapters share: a store of each kind, and the two platforms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.on_discord import Discord
from adapters.on_telegram import Telegram
from adapters.platforms import Platform
from emulators.discord import DiscordEmulator
from emulators.discord_payloads import Payload
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from turnkeep import SessionStore


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    """A store that nobody has opened yet; that storages are all the same is the core's to prove."""
    return SessionStore(tmp_path / "sessions", lock_timeout=0)


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[TelegramEmulator]:
    async with TelegramEmulator() as server:
        yield server


@pytest_asyncio.fixture
async def server() -> AsyncIterator[DiscordEmulator]:
    """A Discord."""
    async with DiscordEmulator() as server:
        yield server


@pytest.fixture
def place(server: DiscordEmulator) -> Payload:
    """A channel of a Discord guild."""
    return server.channel(server.guild("Guild"), "general")


@pytest.fixture
def ada(server: DiscordEmulator) -> Payload:
    """A person on Discord."""
    return server.user("Ada")


@pytest_asyncio.fixture
async def kept_open(store: SessionStore) -> AsyncIterator[None]:
    """The store stays open when the bot has closed, to be looked into."""
    async with store:
        yield


@pytest.fixture
def log_of_aiogram(caplog: pytest.LogCaptureFixture) -> None:
    """aiogram's line for each update that it has handled is in the log."""
    caplog.set_level("INFO", "aiogram.event")


@pytest_asyncio.fixture(params=[Telegram, Discord], ids=["telegram", "discord"])
async def platform(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Platform]:
    """Each platform, with no bot on it yet."""
    async with request.param(tmp_path / "sessions") as platform:
        yield platform


@pytest_asyncio.fixture
async def other_platform(platform: Platform, tmp_path: Path) -> AsyncIterator[Platform]:
    """The one that `platform` is not."""
    other = Discord if isinstance(platform, Telegram) else Telegram
    async with other(tmp_path / "others") as platform:
        yield platform


@pytest.fixture(scope="package", autouse=True)
def _patient_discord() -> Iterator[None]:
    """Let Discord wait for a command's first answer as long as the tests do, and not for 3 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emulators.discord_interactions.CALLBACK_SECONDS", PATIENCE)
        yield
