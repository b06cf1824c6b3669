"""The SQLite storage keeps the contract, with either durability."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from turnkeep import SessionKey
from turnkeep.storage.base import Storage
from turnkeep.storage.sqlite import SqliteStorage, _clock, _connect
from turnkeep.testing import FolderHooks, StorageContract

WRITES = ("INSERT", "REPLACE", "UPDATE", "DELETE", "COMMIT")


class TestSqlite(FolderHooks, StorageContract):
    durability: Any = "os"

    def make_storage(self, place: Path) -> Storage:
        return SqliteStorage(place / "chats.db", durability=self.durability)

    def second(self, storage: Storage, place: Path) -> Storage:
        return self.make_storage(place)

    @pytest.fixture(autouse=True)
    def patched(self) -> Iterator[None]:
        """Let a test set the clock; the disk is waited for in one class alone."""
        with pytest.MonkeyPatch.context() as self.patch:
            self.patch.setitem(_connect.SYNCHRONOUS, "os", "OFF")
            yield

    def set_clock(self, storage: Storage, place: Path, now: datetime) -> None:
        self.patch.setattr(_clock, "now", lambda: now)

    async def kill(self, storage: Storage, place: Path) -> Path:
        # The index of the log is made of the log when nobody has the file open.
        copy = place.with_name(f"killed {len(list(place.parent.iterdir()))}")
        shutil.copytree(place, copy, ignore=shutil.ignore_patterns("*-shm"))
        return copy

    @contextmanager
    def failing(self, storage: Storage, place: Path, after: int) -> Iterator[None]:
        assert isinstance(storage, SqliteStorage)
        left = after

        def before(cursor: apsw.Cursor, statement: str, values: object) -> bool:
            nonlocal left
            if statement.startswith(WRITES):
                left -= 1
                if left < 0:
                    raise apsw.FullError("database or disk is full")
            return True

        db = storage._engine._db
        assert db is not None
        db.exec_trace = before
        try:
            yield
        finally:
            db.exec_trace = None

    async def damage(self, place: Path, key: SessionKey, turn_id: int) -> None:
        self.execute(
            place,
            "UPDATE turns SET body = x'7bff0a' WHERE place = (SELECT part << 32 | ? FROM parts "
            "JOIN sessions ON sessions.id = session WHERE key = ?)",
            (turn_id, key.text),
        )

    async def block(self, place: Path, key: SessionKey) -> None:
        self.execute(place, "UPDATE sessions SET metadata = x'ff' WHERE key = ?", (key.text,))

    def execute(self, place: Path, statement: str, values: tuple[object, ...]) -> None:
        with closing(sqlite3.connect(place / "chats.db")) as db, db:
            assert db.execute(statement, values).rowcount == 1

    async def work(self, storage: Storage, place: Path) -> int:
        assert isinstance(storage, SqliteStorage)
        db = storage._engine._db
        assert db is not None
        return db.status(apsw.SQLITE_DBSTATUS_CACHE_HIT)[0]


class TestSqliteOnDisk(TestSqlite):
    durability = "disk"
    backends = ("asyncio",)
    examples = 10
