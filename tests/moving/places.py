"""Storages of each kind, to copy from and to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from storage.postgres_server import url_of
from storage.valkey import fresh_url
from turnkeep import SessionStore
from turnkeep.storage.memory import MemoryStorage

PLACES: Final[dict[str, Callable[[Path], object]]] = {
    "memory": lambda _: MemoryStorage(),
    "jsonl": lambda path: path,
    "sqlite": lambda path: f"sqlite:{path}.db",
    "redis": lambda _: fresh_url(),
    "postgresql": url_of,
}


def place(kind: str, path: Path) -> object:
    """Return what a store of this kind is made with; each one is empty."""
    return PLACES[kind](path)


async def fill(store: SessionStore) -> None:
    """Store sessions with all that a copy must keep."""
    session = store.session("telegram:1")
    for number in range(430):
        await session.append("user", f"question {number}", source_id=number, sender="7")
    await session.delete(3)
    await session.delete(430)
    await session.edit(5, "edited")
    await session.clear()
    await session.append("user", "Naïve? \N{SPOUTING WHALE}", extra={"b": [1.5, None], "a": {}})
    async with session.reply() as reply:
        reply.add_tool_call("c1", "look", {"x": 1})
        reply.add_tool_result("c1", "found")
        reply.add_text("Here.")
    await session.update_metadata({"lang": "en", "n": {"z": 1, "a": 2}})

    async def summarize(messages: list[dict[str, Any]]) -> str:
        return f"{len(messages)} messages"

    await session.append("user", "more")
    await session.consolidate(summarize, keep=1)
    await store.session("telegram:2").append("user", "older", source_id="a")
    await store.session("discord:3").append("user", "newer", source_id="b")
    await store.rename("telegram:2", "discord:3")
    await store.rename("cli:x", "discord:3")
    await store.session("discord:empty").update_metadata({"only": "metadata"})
