"""What the tests of the contract share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from .._records.key import SessionKey
from .._records.turn import Turn, new_turn
from ..storage.base import Appended, SessionInfo, Storage

KEY = SessionKey("test", "1")
OTHER = SessionKey("test", "2")
THIRD = SessionKey("else", "3", topic=4)


def user(text: str, **fields: Any) -> Turn:
    """A user's turn, not stored yet."""
    return new_turn("user", text, **fields)


async def texts(storage: Storage, key: SessionKey = KEY, **selection: Any) -> list[Any]:
    """The contents that a read gives."""
    return [turn.content for turn in (await storage.read(key, **selection)).turns]


async def info_of(storage: Storage, key: SessionKey = KEY) -> SessionInfo:
    """The record, which must be there."""
    info = (await storage.read(key, limit=0)).info
    assert info is not None, f"session {key} is not there"
    return info


async def put(storage: Storage, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Appended:
    """An append that must not be refused."""
    appended = await storage.append(key, turns, **options)
    assert appended is not None, f"session {key} refused an append"
    return appended


class ContractBase:
    """How a storage is made and opened for a test."""

    survives = True
    """Whether another storage, made in the same place, finds what this one stored."""

    backends: tuple[str, ...] = ("asyncio", "trio")

    def make_storage(self, tmp_path: Path) -> Storage:
        """A storage that keeps its things in or for this folder; not opened yet."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Runs each asynchronous test on every backend."""
        if "anyio_backend" in metafunc.fixturenames:
            metafunc.parametrize("anyio_backend", self.backends)

    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        """An open storage."""
        storage = self.make_storage(tmp_path)
        await storage.open()
        yield storage
        await storage.aclose()

    async def again(self, storage: Storage, tmp_path: Path) -> Storage:
        """The storage as the next process finds it; the fixture closes what was opened first."""
        await storage.aclose()
        if self.survives:
            later = self.make_storage(tmp_path)
            await later.open()
            await later.aclose()
        await storage.open()
        return storage
