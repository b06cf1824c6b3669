"""Google ADK's sessions in SQLite; a message is an event, and a window the newest events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from . import WINDOW

APP = {"app_name": "benchmark", "user_id": "user"}


class Sqlite:
    """Its own connection for each call, with SQLite's default, which syncs."""

    durable = "disk"

    def __init__(self) -> None:
        service: Any = import_module("google.adk.sessions.sqlite_session_service")
        base: Any = import_module("google.adk.sessions.base_session_service")
        events: Any = import_module("google.adk.events")
        types: Any = import_module("google.genai.types")
        self.make = service.SqliteSessionService
        self.config = base.GetSessionConfig
        self.event = events.Event
        self.content, self.part = types.Content, types.Part
        self.service: Any = None
        self.locks: dict[str, asyncio.Lock] = {}

    async def open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.service = self.make(str(folder / "sessions.db"))

    async def append(self, chat: str, role: str, text: str, id: str) -> None:
        # It refuses an append to a session to which another was made since it was read.
        async with self.locks.setdefault(chat, asyncio.Lock()):
            newest = self.config(num_recent_events=1)
            session = await self.service.get_session(**APP, session_id=chat, config=newest)
            if session is None:
                session = await self.service.create_session(**APP, session_id=chat)
            await self.service.append_event(session, self._event(role, text))

    def _event(self, role: str, text: str) -> Any:
        author = "user" if role == "user" else "bot"
        content = self.content(
            role="user" if role == "user" else "model", parts=[self.part(text=text)]
        )
        return self.event(author=author, content=content)

    async def window(self, chat: str) -> int:
        session = await self.service.get_session(
            **APP, session_id=chat, config=self.config(num_recent_events=WINDOW)
        )
        return len(session.events)

    async def newest(self, count: int) -> int:
        listed = await self.service.list_sessions(**APP)  # all of them
        return len(sorted(listed.sessions, key=lambda one: -one.last_update_time)[:count])

    async def fill(self, chat: str, said: Sequence[tuple[str, str]]) -> None:
        for role, text in said:
            await self.append(chat, role, text, "")

    async def close(self) -> None: ...
