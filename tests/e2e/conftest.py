"""The world around the bots: a language model, Telegram, Discord, and what they must never see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from e2e import forks
from emulators.discord import DiscordEmulator
from emulators.openai import OpenAIEmulator
from emulators.telegram import TelegramEmulator
from patience import PATIENCE


@pytest_asyncio.fixture
async def llm() -> AsyncIterator[OpenAIEmulator]:
    """A model that must never be sent a window which some provider would refuse."""
    async with OpenAIEmulator() as server:
        yield server
    assert server.rejections == []


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[TelegramEmulator]:
    async with TelegramEmulator() as server:
        yield server


@pytest_asyncio.fixture
async def discord() -> AsyncIterator[DiscordEmulator]:
    async with DiscordEmulator() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the bots run; their sessions are in `folder/sessions`."""
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def _starter() -> Iterator[None]:
    """The starter of bots ends with the tests."""
    yield
    if forks.starter.cache_info().currsize:
        forks.starter().close()


@pytest.fixture(scope="package", autouse=True)
def _patient_discord() -> Iterator[None]:
    """Let Discord wait for a command's first answer as long as the tests do, and not for 3 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emulators.discord_interactions.CALLBACK_SECONDS", PATIENCE)
        yield
