"""turnkeep on each of its storages, to survive the process or the machine, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from turnkeep import SessionStore

from . import WINDOW
from .server import Postgresql as Postgres
from .server import Valkey

# Loaded before a clock starts, as the peers' modules are; anyio loads its own at the first call.
import_module("turnkeep.storage.jsonl")
import_module("anyio._backends._asyncio")


class Process:
    durable = "process"

    def make(self, folder: Path) -> SessionStore:
        return SessionStore(folder)

    async def open(self, folder: Path) -> None:
        self.store = self.make(folder)
        await self.store.__aenter__()

    async def append(self, chat: str, role: str, text: str, id: str) -> None:
        fields: dict[str, Any] = {"source_id": id} if role == "user" else {}
        await self.store.session(chat).append(role, text, **fields)

    async def window(self, chat: str) -> int:
        # Peers give exactly so many; ours cuts in steps unless it is told not to.
        return len(await self.store.session(chat).get_history(WINDOW, slack=0))

    async def edit(self, chat: str, id: str, text: str) -> None:
        await self.store.session(chat).edit(id, text)

    async def newest(self, count: int) -> int:
        return len(await self.store.list_sessions(limit=count))

    async def fill(self, chat: str, said: Sequence[tuple[str, str]]) -> None:
        for first in range(0, len(said), 1000):
            turns = [{"role": role, "content": text} for role, text in said[first : first + 1000]]
            await self.store.session(chat).extend(turns)

    async def close(self) -> None:
        await self.store.aclose()


class Disk(Process):
    durable = "disk"

    def make(self, folder: Path) -> SessionStore:
        return SessionStore(folder, durability="disk")


class Redis(Process):
    """A real server on the loopback, which keeps its data in memory, as the peers' does."""

    def make(self, folder: Path) -> SessionStore:
        import_module("turnkeep.storage.redis")
        self.server = Valkey()
        return SessionStore(f"redis://127.0.0.1:{self.server.port}")

    async def close(self) -> None:
        await super().close()
        self.server.stop()


class Sqlite(Process):
    query = ""

    def make(self, folder: Path) -> SessionStore:
        import_module("turnkeep.storage.sqlite")
        folder.mkdir(parents=True, exist_ok=True)
        return SessionStore(
            f"sqlite:{folder}/chats.db{self.query}",
            durability="disk" if self.durable == "disk" else "os",
        )


class SqliteDisk(Sqlite):
    durable = "disk"


class SqliteNoWords(Sqlite):
    query = "?search=none"


class SqliteTrigrams(Sqlite):
    query = "?search=trigram"


class Memory(Process):
    durable = "nothing"

    def make(self, folder: Path) -> SessionStore:
        return SessionStore("memory:")


class Postgresql(Process):
    """A real server beside it, which syncs each commit."""

    durable = "disk"

    def make(self, folder: Path) -> SessionStore:
        import_module("turnkeep.storage.postgresql")
        self.server = Postgres()
        folder.mkdir(parents=True, exist_ok=True)
        return SessionStore(self.server.url, durability="disk")

    async def close(self) -> None:
        await super().close()
        self.server.stop()
