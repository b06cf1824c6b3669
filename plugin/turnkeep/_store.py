"""The store: what a bot opens once and keeps."""

from __future__ import annotations

import os
import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, cast

from anyio import Event, Lock

from ._errors import ReadOnlyError, StoreClosedError, UnknownStorageError
from ._info import SessionInfo
from ._key import SessionKey
from ._session import Session
from ._turn import MAX_TURN_BYTES
from .storage.base import Storage

__all__ = ["SessionStore"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_ANSWERS_KEPT: Final = 10_000


class SessionStore:
    """Keeps the sessions of a bot.

    `where` is a folder for JSONL files (a path, or `jsonl:PATH`), `memory:`, or a storage
    object. Making a store does no I/O: it opens at `async with`, or at first use. Openings
    are counted, and it closes when the last one who opened it leaves; a store that was
    opened by use alone closes at `aclose()`. After that it raises `StoreClosedError` until
    it is opened by `async with` again.

    `durability`: what an append survives when it returns, the death of the process ("os")
    or of the machine ("disk"). `read_only` locks and writes nothing. `lock_timeout`, in
    seconds, is how long to wait for another process to leave the folder. `max_turn_bytes`
    is the size of a turn, encoded, over which it is refused.

    Raises `UnknownStorageError` for a `where` that names no storage.
    """

    def __init__(
        self,
        where: str | os.PathLike[str] | Storage,
        *,
        durability: Literal["os", "disk"] = "os",
        read_only: bool = False,
        lock_timeout: float = 30,
        max_turn_bytes: int = MAX_TURN_BYTES,
    ) -> None:
        if durability not in ("os", "disk"):
            raise ValueError(f"durability is 'os' or 'disk', not {durability!r}")
        options = {
            "durability": durability,
            "read_only": read_only,
            "lock_timeout": lock_timeout,
        }
        self._storage = _storage(where, options)
        self._read_only = read_only
        self._max_turn_bytes = max_turn_bytes
        self._state: Literal["new", "open", "closed"] = "new"
        self._openings = 0
        self._changing = Lock()
        self._running = 0
        self._idle: Event | None = None
        self._open_replies: Counter[tuple[str, int]] = Counter()
        self._answered: OrderedDict[tuple[str, int], None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<SessionStore {self._storage!r} {self._state}>"

    # Opening and closing.

    async def __aenter__(self) -> Self:
        async with self._changing:
            if self._state != "open":
                await self._storage.open()
                self._state = "open"
            self._openings += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leaves the store. The last one to leave closes it, when all calls have ended."""
        async with self._changing:
            self._openings = max(0, self._openings - 1)
            if self._openings or self._state != "open":
                return
            self._state = "closed"
            while self._running:
                self._idle = Event()
                await self._idle.wait()
            await self._storage.aclose()

    def _use(self, key: SessionKey | None = None, *, write: bool = False) -> _Use:
        """The storage for the time of one verb; it is opened first if nobody has."""
        return _Use(self, key, write)

    async def _open_by_use(self, key: SessionKey | None) -> None:
        async with self._changing:
            if self._state == "closed":
                about = "" if key is None else f"session {key}: "
                raise StoreClosedError(
                    f"{about}the store is closed, and nothing was stored; "
                    "open it again with 'async with store:'"
                )
            if self._state == "new":
                await self._storage.open()
                self._state = "open"

    # Sessions.

    def session(self, key: SessionKey | str) -> Session:
        """A handle on the session of this key; no I/O, and no session begins by it."""
        return Session(self, as_key(key))

    async def list_sessions(
        self, *, prefix: str = "", limit: int | None = 100, after: SessionInfo | None = None
    ) -> list[SessionInfo]:
        """One page of the sessions, the last written first.

        `prefix` is the beginning of a key, such as `"telegram:"`. `after` is an item of the
        page before: `page = await store.list_sessions(after=page[-1])`.
        """
        async with self._use() as storage:
            return await storage.sessions(prefix=prefix, limit=limit, after=after)

    async def rename(self, old: SessionKey | str, new: SessionKey | str) -> None:
        """Moves a session to another key; the old one becomes an alias of the new.

        Where both have turns, the old ones become earlier epochs of the new. Doing it again
        does nothing.
        """
        old, new = as_key(old), as_key(new)
        async with self._use(old, write=True) as storage:
            await storage.rename(old, new)

    async def delete(self, source_id: str, *, prefix: str = "") -> int:
        """Takes away for good every turn with this source id; returns how many there were.

        For a platform's event that names a message and not the session it is in. It looks
        through every session with the prefix, so give one.
        """
        count = 0
        page = await self.list_sessions(prefix=prefix)
        while page:
            for info in page:
                async with self._use(info.key, write=True) as storage:
                    while (turn := await storage.find(info.key, source_id)) is not None:
                        count += len(await storage.delete(info.key, [turn.id]))
            page = await self.list_sessions(prefix=prefix, after=page[-1])
        return count

    async def forget(self, key: SessionKey | str) -> bool:
        """Takes a session away for good, with its record; returns whether there was one."""
        key = as_key(key)
        async with self._use(key, write=True) as storage:
            return await storage.forget(key)

    # Which messages are being answered, in this process.

    def _is_answered(self, key: SessionKey, turn_id: int) -> bool:
        place = key.text, turn_id
        return place in self._open_replies or place in self._answered

    def _open_reply(self, key: SessionKey, turn_id: int) -> None:
        self._open_replies[key.text, turn_id] += 1

    def _close_reply(self, key: SessionKey, turn_id: int) -> None:
        place = key.text, turn_id
        self._open_replies[place] -= 1
        if not self._open_replies[place]:
            del self._open_replies[place]

    def _mark_answered(self, key: SessionKey, turn_id: int) -> None:
        self._answered[key.text, turn_id] = None
        if len(self._answered) > _ANSWERS_KEPT:
            self._answered.popitem(last=False)


class _Use:
    """Counts the calls that are under way, so that closing waits for them."""

    __slots__ = ("_key", "_store", "_write")

    def __init__(self, store: SessionStore, key: SessionKey | None, write: bool) -> None:
        self._store = store
        self._key = key
        self._write = write

    async def __aenter__(self) -> Storage:
        store = self._store
        if store._state != "open":
            await store._open_by_use(self._key)
        if self._write and store._read_only:
            raise ReadOnlyError(
                f"session {self._key}: this store was opened with read_only=True; "
                "open another one without it to write"
            )
        store._running += 1
        return store._storage

    async def __aexit__(self, *_: object) -> None:
        store = self._store
        store._running -= 1
        if store._idle is not None and not store._running:
            store._idle.set()


def as_key(key: SessionKey | str) -> SessionKey:
    return key if isinstance(key, SessionKey) else SessionKey.parse(key)


def _storage(where: object, options: Mapping[str, Any]) -> Storage:
    if not isinstance(where, (str, os.PathLike)):
        if not hasattr(where, "append"):
            raise UnknownStorageError(
                f"a store is made of a path, a URL or a storage, not {type(where).__name__}"
            )
        return cast("Storage", where)
    found = _SCHEME.fullmatch(where) if isinstance(where, str) else None
    scheme, rest = (found[1].lower(), found[2]) if found else ("jsonl", os.fspath(where))
    if scheme == "memory":
        return cast("Storage", import_module("turnkeep.storage.memory").MemoryStorage())
    if scheme == "jsonl":
        if not rest:
            raise UnknownStorageError(f"{where!r} names no folder: write 'jsonl:./sessions'")
        folder = Path(rest).expanduser()
        module = import_module("turnkeep.storage.jsonl")
        return cast("Storage", module.JsonlStorage(folder, **options))
    raise UnknownStorageError(
        f"{where!r}: there is no storage {scheme!r} in this version, which has 'jsonl:PATH' and "
        "'memory:'. If this is a path, write it as './…' or 'jsonl:…'"
    )
