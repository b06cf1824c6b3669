"""aiogram's FSM storages, as many bots use them: the history is a list in the chat's data.

Two messages of one chat at once overwrite each other there; what is lost is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from . import WINDOW
from .server import Valkey


class Memory:
    durable = "nothing"

    def __init__(self) -> None:
        self.base: Any = import_module("aiogram.fsm.storage.base")
        self.memory: Any = import_module("aiogram.fsm.storage.memory")
        self.storage: Any = None

    async def open(self, folder: Path) -> None:
        self.storage = self.memory.MemoryStorage()

    def key(self, chat: str) -> Any:
        number = int(chat.rpartition(":")[2])
        return self.base.StorageKey(bot_id=1, chat_id=number, user_id=number)

    async def append(self, chat: str, role: str, text: str, id: str) -> None:
        data = await self.storage.get_data(self.key(chat))
        history = data.get("history", [])
        history.append({"role": role, "content": text})
        await self.storage.set_data(self.key(chat), {"history": history})

    async def window(self, chat: str) -> int:
        data = await self.storage.get_data(self.key(chat))
        return len(data.get("history", [])[-WINDOW:])

    async def fill(self, chat: str, said: Sequence[tuple[str, str]]) -> None:
        data = await self.storage.get_data(self.key(chat))
        history = data.get("history", [])
        history += [{"role": role, "content": text} for role, text in said]
        await self.storage.set_data(self.key(chat), {"history": history})

    async def close(self) -> None:
        await self.storage.close()


class Redis(Memory):
    durable = "process"

    def __init__(self) -> None:
        super().__init__()
        self.redis: Any = import_module("aiogram.fsm.storage.redis")

    async def open(self, folder: Path) -> None:
        self.server = Valkey()
        self.storage = self.redis.RedisStorage.from_url(f"redis://127.0.0.1:{self.server.port}/0")

    async def close(self) -> None:
        await super().close()
        self.server.stop()
