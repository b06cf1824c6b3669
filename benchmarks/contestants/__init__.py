"""One class a contestant: a bot's history as each library keeps it, behind the same three calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol

WINDOW: Final = 50
"""Messages: the window that each exchange reads."""


class Contestant(Protocol):
    """Keeps the histories of chats.

    `durable` says what an append survives when it has returned: "nothing", the death of the
    "process", or that of the machine, when it is on the "disk".
    """

    durable: str

    async def open(self, folder: Path) -> None: ...

    async def append(self, chat: str, role: str, text: str, id: str) -> None:
        """Stores a message; `id` is the platform's."""
        ...

    async def window(self, chat: str) -> int:
        """Reads the latest `WINDOW` messages, and returns how many there were."""
        ...

    async def fill(self, chat: str, said: Sequence[tuple[str, str]]) -> None:
        """Stores many messages at once, each a role and a text, in the quickest way there is."""
        ...

    async def close(self) -> None: ...


NAMES: Final = {
    "turnkeep, os": "ours:Process",
    "turnkeep, disk": "ours:Disk",
    "turnkeep, redis": "ours:Redis",
    "turnkeep, sqlite, os": "ours:Sqlite",
    "turnkeep, sqlite, disk": "ours:SqliteDisk",
    "turnkeep, sqlite without search": "ours:SqliteNoWords",
    "turnkeep, sqlite with trigrams": "ours:SqliteTrigrams",
    "turnkeep, memory": "ours:Memory",
    "turnkeep, postgresql": "ours:Postgresql",
    "OpenAI Agents SQLiteSession": "agents_sdk:Sqlite",
    "OpenAI Agents AsyncSQLiteSession": "agents_sdk:AsyncSqlite",
    "OpenAI Agents SQLAlchemySession": "agents_sdk:SqlAlchemy",
    "OpenAI Agents SQLAlchemySession, PostgreSQL": "agents_sdk:Postgresql",
    "OpenAI Agents RedisSession": "agents_sdk:Redis",
    "aiogram MemoryStorage": "aiogram_fsm:Memory",
    "aiogram RedisStorage": "aiogram_fsm:Redis",
    "LangChain FileChatMessageHistory": "langchain_history:File",
    "LangChain SQLChatMessageHistory": "langchain_history:Sql",
    "nanobot SessionManager": "nanobot_sessions:Manager",
    "Google ADK SqliteSessionService": "adk:Sqlite",
    "LangGraph AsyncSqliteSaver": "langgraph_saver:Saver",
    "LangGraph AsyncPostgresSaver": "langgraph_saver:Postgresql",
}


def make(name: str) -> Contestant:
    """A contestant by its name; raises `ModuleNotFoundError` where its package is missing."""
    module, _, cls = NAMES[name].partition(":")
    made: Callable[[], Contestant] = getattr(import_module(f"contestants.{module}"), cls)
    return made()
