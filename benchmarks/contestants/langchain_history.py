"""LangChain's histories: a file, which is rewritten whole at each append, and a SQL table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from . import WINDOW


class File:
    durable = "process"

    def __init__(self) -> None:
        self.module: Any = import_module("langchain_community.chat_message_histories")
        messages: Any = import_module("langchain_core.messages")
        self.kinds = {"user": messages.HumanMessage, "assistant": messages.AIMessage}

    async def open(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def history(self, chat: str) -> Any:
        return self.module.FileChatMessageHistory(str(self.folder / f"{chat.replace(':', '_')}"))

    async def append(self, chat: str, role: str, text: str, id: str) -> None:
        await self.history(chat).aadd_messages([self.kinds[role](text)])

    async def window(self, chat: str) -> int:
        return len((await self.history(chat).aget_messages())[-WINDOW:])

    async def fill(self, chat: str, said: Sequence[tuple[str, str]]) -> None:
        await self.history(chat).aadd_messages([self.kinds[role](text) for role, text in said])

    async def close(self) -> None: ...


class Sql(File):
    """A table in SQLite, with its defaults, which sync; a window reads the chat whole."""

    durable = "disk"

    def __init__(self) -> None:
        super().__init__()
        self.sqlalchemy: Any = import_module("sqlalchemy.ext.asyncio")
        self.engine: Any = None

    async def open(self, folder: Path) -> None:
        await super().open(folder)
        url = f"sqlite+aiosqlite:///{folder / 'history.db'}"
        self.engine = self.sqlalchemy.create_async_engine(url)
        await self.history("benchmark").aget_messages()  # makes the table

    def history(self, chat: str) -> Any:
        return self.module.SQLChatMessageHistory(chat, connection=self.engine, async_mode=True)

    async def close(self) -> None:
        await self.engine.dispose()
