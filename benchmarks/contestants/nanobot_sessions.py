"""nanobot's session manager, which keeps sessions in memory and rewrites a file at each save."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from . import WINDOW


class Manager:
    durable = "process"

    def __init__(self) -> None:
        self.module: Any = import_module("nanobot.session.manager")
        self.manager: Any = None

    async def open(self, folder: Path) -> None:
        workspace = folder / "workspace"
        workspace.mkdir(parents=True, exist_ok=True)
        self.manager = self.module.SessionManager(workspace, sessions_root=folder / "sessions")

    async def append(self, chat: str, role: str, text: str, id: str) -> None:
        session = self.manager.get_or_create(chat)
        session.add_message(role, text)
        self.manager.save(session)

    async def window(self, chat: str) -> int:
        return len(self.manager.get_or_create(chat).get_history(max_messages=WINDOW))

    async def newest(self, count: int) -> int:
        return len(self.manager.list_sessions()[:count])  # it lists all

    async def fill(self, chat: str, said: Sequence[tuple[str, str]]) -> None:
        session = self.manager.get_or_create(chat)
        for role, text in said:
            session.add_message(role, text)
        self.manager.save(session)

    async def close(self) -> None: ...
