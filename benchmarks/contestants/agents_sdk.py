"""OpenAI Agents' sessions: one object a chat, over one database or server."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from . import WINDOW
from .server import Postgresql as Postgres
from .server import Valkey


class Sqlite:
    """It commits each append with SQLite's default, which syncs."""

    durable = "disk"

    def __init__(self) -> None:
        self.module: Any = import_module("agents")
        self.sessions: dict[str, Any] = {}

    def make(self, chat: str) -> Any:
        return self.module.SQLiteSession(chat, self.folder / "sessions.db")

    async def open(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def session(self, chat: str) -> Any:
        if chat not in self.sessions:
            self.sessions[chat] = self.make(chat)
        return self.sessions[chat]

    async def append(self, chat: str, role: str, text: str, id: str) -> None:
        await self.session(chat).add_items([{"role": role, "content": text}])

    async def window(self, chat: str) -> int:
        return len(await self.session(chat).get_items(limit=WINDOW))

    async def fill(self, chat: str, said: Sequence[tuple[str, str]]) -> None:
        await self.session(chat).add_items([{"role": role, "content": text} for role, text in said])

    async def close(self) -> None:
        for session in self.sessions.values():
            session.close()


class AsyncSqlite(Sqlite):
    def __init__(self) -> None:
        super().__init__()
        self.memory: Any = import_module("agents.extensions.memory.async_sqlite_session")

    def make(self, chat: str) -> Any:
        return self.memory.AsyncSQLiteSession(chat, self.folder / "sessions.db")

    async def close(self) -> None:
        for session in self.sessions.values():
            await session.close()


class SqlAlchemy(Sqlite):
    """One engine for all, over aiosqlite with SQLite's defaults, which sync."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: Any = import_module("agents.extensions.memory.sqlalchemy_session")
        self.sqlalchemy: Any = import_module("sqlalchemy.ext.asyncio")
        self.engine: Any = None

    async def open(self, folder: Path) -> None:
        await super().open(folder)
        url = f"sqlite+aiosqlite:///{folder / 'sessions.db'}"
        self.engine = self.sqlalchemy.create_async_engine(url)
        # The tables, before many sessions would make them at once.
        await self.memory.SQLAlchemySession(
            "benchmark", engine=self.engine, create_tables=True
        ).get_items()

    def make(self, chat: str) -> Any:
        return self.memory.SQLAlchemySession(chat, engine=self.engine)

    async def close(self) -> None:
        await self.engine.dispose()


class Postgresql(SqlAlchemy):
    """One engine for all, over asyncpg and a real server, which syncs each commit."""

    async def open(self, folder: Path) -> None:
        self.server = Postgres()
        folder.mkdir(parents=True, exist_ok=True)
        url = self.server.url.replace("postgresql://", "postgresql+asyncpg://", 1)
        self.engine = self.sqlalchemy.create_async_engine(url)
        await self.memory.SQLAlchemySession(
            "benchmark", engine=self.engine, create_tables=True
        ).get_items()

    async def close(self) -> None:
        await super().close()
        self.server.stop()


class Redis(Sqlite):
    """A real server on the loopback, which keeps its data in memory."""

    durable = "process"

    def __init__(self) -> None:
        super().__init__()
        self.memory: Any = import_module("agents.extensions.memory.redis_session")
        self.client: Any = None

    async def open(self, folder: Path) -> None:
        self.server = Valkey()
        self.client = import_module("redis.asyncio").Redis(port=self.server.port)

    def make(self, chat: str) -> Any:
        return self.memory.RedisSession(chat, redis_client=self.client)

    async def close(self) -> None:
        await self.client.aclose()
        self.server.stop()
