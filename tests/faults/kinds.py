"""The storages that keep their sessions in files, each opened in a folder."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from turnkeep.storage.base import Storage
from turnkeep.storage.jsonl import JsonlStorage
from turnkeep.storage.sqlite import SqliteStorage

__all__ = ["KINDS", "at"]

KINDS: Final = ("jsonl", "sqlite")


@asynccontextmanager
async def at(
    kind: str, folder: Path, durability: Any = "os", **options: Any
) -> AsyncGenerator[Storage]:
    """Give an open storage of this kind with its files in the folder."""
    if kind == "sqlite":
        folder.mkdir(parents=True, exist_ok=True)
        storage: Storage = SqliteStorage(folder / "sessions.db", durability=durability, **options)
    else:
        storage = JsonlStorage(folder, durability=durability, **options)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.aclose()
