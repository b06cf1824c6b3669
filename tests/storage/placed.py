"""A storage with every hook: connections to a memory storage that stands for a server.

The suite's own tests need one that can be looked at, killed and damaged in every way, and whose
faults can be made on purpose, see `faulty.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

import msgspec

from turnkeep._errors import LostAcknowledgementError, StorageError
from turnkeep._records.key import SessionKey
from turnkeep.storage.base import Claim, Found, Storage
from turnkeep.storage.memory import MemoryStorage
from turnkeep.testing import StorageContract

CHANGES = {
    *("append", "edit", "delete", "change", "clear", "consolidate", "update_metadata"),
    *("rename", "restore", "unlink", "forget", "claim", "renew", "release"),
}


class Server(MemoryStorage):
    """All that the connections to one place share: the sessions, the clock, and failures."""

    def __init__(self) -> None:
        super().__init__(shared=True, clock=self.tick)
        self.time: datetime | None = None
        self.fails_after: int | None = None
        self.loses = False
        self.blocked: set[SessionKey] = set()

    def tick(self) -> datetime:
        """Return the time of a write, which may fail."""
        if self.fails_after is not None:
            if self.fails_after == 0:
                raise self.failure()
            self.fails_after -= 1
        return self.time or datetime.now(timezone.utc)

    def failure(self) -> Exception:
        return StorageError("the disk is full: make room")

    def survivor(self) -> Server:
        """Return what is found after a kill."""
        after = type(self)()
        after._sessions = {
            key: dataclasses.replace(one, turns=list(one.turns))
            for key, one in self._sessions.items()
        }
        after._aliases = dict(self._aliases)
        after._claims._claims = dict(self._claims._claims)
        for key, one in self._sessions.items():
            after._places.put(key.text, one.info.updated_at)
        for key in self.blocked:
            after.block(key)
        return after

    def block(self, key: SessionKey) -> None:
        """Let a session be one that can't be read."""
        self.blocked.add(key)
        self._places.drop(key.text)

    def bytes(self) -> bytes:
        sessions = [(one.info, one.turns) for one in self._sessions.values()]
        aliases = [(str(alias), str(key)) for alias, key in self._aliases.items()]
        claims = list(self._claims._claims.values())
        return msgspec.json.encode([sessions, aliases, claims], enc_hook=str)

    def damage(self, key: SessionKey, turn_id: int) -> None:
        session = self._sessions[key]
        session.turns = [turn for turn in session.turns if turn.id != turn_id]
        session.info = msgspec.structs.replace(session.info, damaged=session.info.damaged + 1)

    async def claims(self, *arguments: Any, **options: Any) -> list[Claim]:
        # It asks for the time, but writes nothing that could fail.
        fails_after, self.fails_after = self.fails_after, None
        claims = await super().claims(*arguments, **options)
        self.fails_after = fails_after
        return claims

    async def find_all(self, *arguments: Any, **options: Any) -> Found:
        found = await super().find_all(*arguments, **options)
        prefix = options.get("prefix", "")
        unread = [key for key in self.blocked if key.text.startswith(prefix)]
        return found._replace(unread=unread)


class Connection:
    """One process's way to a server: each verb is the server's."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def __getattr__(self, verb: str) -> Any:
        there = getattr(self.server, verb)
        if verb not in CHANGES or not self.server.loses:
            return there

        async def lost(*arguments: Any, **options: Any) -> None:
            await there(*arguments, **options)
            raise LostAcknowledgementError("the connection broke: try again")

        return lost


class PlacedContract(StorageContract):
    """The suite, over a server and connections that a fault may replace."""

    make_server: Callable[[], Server] = Server
    make_connection: Callable[[Server], Any] = Connection

    def server(self, place: Path) -> Server:
        servers = self.__dict__.setdefault("servers", {})
        if place not in servers:
            servers[place] = type(self).make_server()
        return cast("Server", servers[place])

    def make_storage(self, place: Path) -> Storage:
        return cast("Storage", type(self).make_connection(self.server(place)))

    async def raw_bytes(self, storage: Storage, place: Path) -> bytes:
        return self.server(place).bytes()

    async def kill(self, storage: Storage, place: Path) -> Path:
        after = place.with_name(f"{place.name}+")
        self.__dict__["servers"][after] = self.server(place).survivor()
        return after

    def second(self, storage: Storage, place: Path) -> Storage:
        return self.make_storage(place)

    @contextmanager
    def failing(self, storage: Storage, place: Path, after: int) -> Iterator[None]:
        self.server(place).fails_after = after
        try:
            yield
        finally:
            self.server(place).fails_after = None

    @contextmanager
    def losing(self, storage: Storage, place: Path) -> Iterator[None]:
        self.server(place).loses = True
        try:
            yield
        finally:
            self.server(place).loses = False

    def set_clock(self, storage: Storage, place: Path, now: datetime) -> None:
        self.server(place).time = now

    async def damage(self, place: Path, key: SessionKey, turn_id: int) -> None:
        self.server(place).damage(key, turn_id)

    async def block(self, place: Path, key: SessionKey) -> None:
        self.server(place).block(key)

    async def work(self, storage: Storage, place: Path) -> int:
        return 0
