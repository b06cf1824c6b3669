"""One `store` for every test, on both storages and on both event loops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from turnkeep import Session, SessionStore
from turnkeep.storage.memory import MemoryStorage

from .losing import Line
from .two import Two


class Place(Protocol):
    """Makes a store over the one place of the test: a second one is a restart."""

    def __call__(self, **options: Any) -> SessionStore: ...


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["memory", "jsonl"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    memory = MemoryStorage()

    def make(**options: Any) -> SessionStore:
        if request.param == "memory":
            return SessionStore(memory, **options)
        return SessionStore(tmp_path / "sessions", **options)

    return make


@pytest.fixture
async def store(place: Place, anyio_backend: str) -> AsyncIterator[SessionStore]:
    async with place() as store:
        yield store


@pytest.fixture
def session(store: SessionStore) -> Session:
    return store.session("telegram:12345")


@pytest.fixture
async def asked(session: Session) -> Session:
    """The session, bound to a message that waits for its answer."""
    return await session.receive("What is there?", source_id="m1")


@pytest.fixture
async def two(anyio_backend: str) -> AsyncIterator[Two]:
    two = Two()
    async with two.a, two.b:
        yield two


@pytest.fixture
async def line(anyio_backend: str) -> AsyncIterator[Line]:
    line = Line()
    async with line.store, line.other:
        yield line
