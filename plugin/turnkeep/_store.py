"""The store: what a bot opens once and keeps."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter, OrderedDict
from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias, cast

from anyio import CancelScope, Event, Lock

from ._errors import ReadOnlyError, StoreClosedError, UnknownStorageError
from ._records.info import SessionInfo, own_copy
from ._records.key import SessionKey
from ._records.turn import MAX_TURN_BYTES, Turn, as_source_ids
from ._session.consolidate import ConsolidationPolicy, Consolidations
from ._session.moves import Moves
from ._session.session import Session
from ._window.tail import Tails
from .storage.base import Storage

__all__ = ["SessionStore"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_ANSWERS_KEPT: Final = 10_000

_Place: TypeAlias = tuple[str, int, datetime]
"""Names a turn for good: a session that is forgotten and begins anew gives its ids again."""


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
    is the size of a turn, encoded, over which it is refused. A storage object has its own
    durability and lock. `consolidation`, which may be set later too, says when older turns
    are folded into a summary.

    Raises `UnknownStorageError` for a `where` that names no storage, and `ValueError` for
    an option that has no such value.
    """

    def __init__(
        self,
        where: str | os.PathLike[str] | Storage,
        *,
        durability: Literal["os", "disk"] = "os",
        read_only: bool = False,
        lock_timeout: float = 30,
        max_turn_bytes: int = MAX_TURN_BYTES,
        consolidation: ConsolidationPolicy | None = None,
    ) -> None:
        if durability not in ("os", "disk"):
            raise ValueError(f"durability is 'os' or 'disk', not {durability!r}")
        if not lock_timeout >= 0:
            raise ValueError(f"lock_timeout is in seconds, 0 or more, not {lock_timeout!r}")
        if isinstance(max_turn_bytes, bool) or max_turn_bytes < 1:
            raise ValueError(f"max_turn_bytes is a whole number, 1 or more, not {max_turn_bytes!r}")
        options = {
            "durability": durability,
            "read_only": read_only,
            "lock_timeout": lock_timeout,
        }
        self.consolidation = consolidation
        self._storage = _storage(where, options)
        self._read_only = read_only
        self._max_turn_bytes = max_turn_bytes
        self._state: Literal["new", "open", "closed"] = "new"
        self._holds_storage = False
        self._openings = 0
        self._changing = Lock()
        self._queued = 0
        self._running = 0
        self._idle: Event | None = None
        self._open_replies: Counter[_Place] = Counter()
        self._answered: OrderedDict[_Place, None] = OrderedDict()
        self._consolidations = Consolidations()
        self._tails = Tails()
        self._moves = Moves()

    def __repr__(self) -> str:
        return f"<SessionStore {self._storage!r} {self._state}>"

    # Opening and closing.

    async def __aenter__(self) -> Self:
        async with self._changing:
            if self._state != "open":
                await self._open_storage()
            self._openings += 1
        return self

    async def _open_storage(self) -> None:
        # It is held still where closing was cancelled.
        if not self._holds_storage:
            await self._storage.open()
            self._holds_storage = True
        self._state = "open"

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leaves the store. The last one to leave closes it, when all calls have ended."""
        # Shielded: a bot is mostly closed by a cancellation, and the folder is to be left.
        with CancelScope(shield=True):
            async with self._changing:
                self._openings = max(0, self._openings - 1)
                if self._openings or not self._holds_storage:
                    return
                self._state = "closed"
                await self._consolidations.cancel()
                while self._running:
                    self._idle = Event()
                    await self._idle.wait()
                await self._storage.aclose()
                self._holds_storage = False

    def _use(self, key: SessionKey | None = None, *, write: bool = False) -> _Use:
        """The storage for the time of one verb; it is opened first if nobody has."""
        return _Use(self, key, write)

    @property
    def _ready(self) -> bool:
        # Behind those who wait for the opening, even if it is done: calls keep their order.
        return self._state == "open" and not self._queued

    def _enter(self, key: SessionKey | None, write: bool) -> Storage:
        """Begins a verb that has the open storage; `_leave` ends it, and closing waits for that."""
        if write and self._read_only:
            raise ReadOnlyError(
                f"session {key}: this store was opened with read_only=True; "
                "open another one without it to write"
            )
        self._running += 1
        return self._storage

    def _leave(self) -> None:
        self._running -= 1
        if self._idle is not None and not self._running:
            self._idle.set()

    async def _open_by_use(self, key: SessionKey | None) -> None:
        self._queued += 1
        try:
            async with self._changing:
                if self._state == "closed":
                    about = "" if key is None else f"session {key}: "
                    raise StoreClosedError(
                        f"{about}the store is closed, and nothing was stored; "
                        "open it again with 'async with store:'"
                    )
                if self._state == "new":
                    await self._open_storage()
        finally:
            self._queued -= 1

    # Sessions.

    def session(self, key: SessionKey | str) -> Session:
        """A handle on the session of this key; no I/O, and no session begins by it."""
        return Session(self, as_key(key))

    async def list_sessions(
        self, *, prefix: str = "", limit: int | None = 100, after: SessionInfo | None = None
    ) -> list[SessionInfo]:
        """One page of the sessions, the last written first.

        `prefix` is the beginning of a key, such as `"telegram:"`. `after` is an item of the
        page before: `page = await store.list_sessions(after=page[-1])`. With `limit=None` it
        is all of them in one page.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit is a whole number, 1 or more, or None, not {limit!r}")
        async with self._use() as storage:
            page = await storage.sessions(prefix=prefix, limit=limit, after=after)
        return [own_copy(info) for info in page]

    async def rename(self, old: SessionKey | str, new: SessionKey | str) -> None:
        """Moves a session to another key; the old one becomes an alias of the new.

        Where both have turns, the old ones become earlier epochs of the new, whose ids go up.
        Replies that are open, and turns in hand that have a source id, go on as what they were.
        Doing it again does nothing.
        """
        old, new = as_key(old), as_key(new)
        async with self._moves.moving(), self._use(old, write=True) as storage:
            await storage.rename(old, new)

    async def link(self, key: SessionKey | str, to: SessionKey | str) -> None:
        """From now on `key` means the session of `to`: one person on two platforms.

        What was said under `key` before becomes earlier epochs of that session; nothing is
        linked unless you do. `rename` by another name, for what it is mostly wanted for.
        """
        await self.rename(key, to)

    async def forget_sender(self, sender_id: str | int, *, prefix: str = "") -> dict[str, int]:
        """Takes away for good what one person wrote, its answers and quotes, in every session.

        `sender_id` is the platform's; give its `prefix`, such as `"telegram:"`, since another
        platform may give the same id to somebody else; a session that was linked to another key
        has that key. Returns how many turns went, or lost a
        quote, by the text of their session's key. A summary that was made of them stays: where
        `(await session.info()).summary` is not empty, `clear(erase=True)` takes it away too.
        """
        report: dict[str, int] = {}
        for info in await self.list_sessions(prefix=prefix, limit=None):
            if count := await self.session(info.key).forget_sender(sender_id):
                report[info.key.text] = count
        return report

    async def delete(self, source_id: str | int, *, prefix: str = "") -> int:
        """Takes away for good every turn with this source id; returns how many there were.

        For a platform's event that names a message and not the session it is in. It looks
        through every session with the prefix, so give one.
        """
        count = 0
        for wanted in as_source_ids(source_id, ""):
            # One page: a session that is written to meanwhile would move from page to page.
            for info in await self.list_sessions(prefix=prefix, limit=None):
                async with self._moves.steady(), self._use(info.key, write=True) as storage:
                    while (turn := await storage.find(info.key, wanted)) is not None:
                        count += len(await storage.delete(info.key, [turn.id]))
        return count

    async def forget(self, key: SessionKey | str) -> bool:
        """Takes a session away for good, with its record; returns whether there was one."""
        key = as_key(key)
        async with self._use(key, write=True) as storage:
            forgotten = await storage.forget(key)
        self._tails.forget(key.text)
        # Its ids begin anew, and a platform's times may be the same for a whole second.
        for place in [place for place in self._answered if place[0] == key.text]:
            del self._answered[place]
        return forgotten

    # Which messages are being answered, in this process.

    def _is_answered(self, key: SessionKey, turn: Turn) -> bool:
        place = _place(key, turn)
        return place in self._open_replies or place in self._answered

    def _open_reply(self, key: SessionKey, turn: Turn) -> None:
        self._open_replies[_place(key, turn)] += 1

    def _close_reply(self, key: SessionKey, turn: Turn) -> None:
        place = _place(key, turn)
        self._open_replies[place] -= 1
        if not self._open_replies[place]:
            del self._open_replies[place]

    def _first_open_reply(self, key: SessionKey) -> int:
        """The lowest id of a turn to which a reply is open; above all ids if there is none."""
        return min(
            (id for text, id, _ in self._open_replies if text == key.text), default=sys.maxsize
        )

    def _mark_answered(self, key: SessionKey, turn: Turn) -> None:
        self._answered[_place(key, turn)] = None
        if len(self._answered) > _ANSWERS_KEPT:
            self._answered.popitem(last=False)

    def _unmark_answered(self, key: SessionKey, turn: Turn) -> None:
        self._answered.pop(_place(key, turn), None)


class _Use:
    """A verb's time with the storage, see `SessionStore._use`."""

    __slots__ = ("_key", "_store", "_write")

    def __init__(self, store: SessionStore, key: SessionKey | None, write: bool) -> None:
        self._store = store
        self._key = key
        self._write = write

    async def __aenter__(self) -> Storage:
        if not self._store._ready:
            await self._store._open_by_use(self._key)
        return self._store._enter(self._key, self._write)

    async def __aexit__(self, *_: object) -> None:
        self._store._leave()


def _place(key: SessionKey, turn: Turn) -> _Place:
    return key.text, turn.id, turn.time


def as_key(key: SessionKey | str) -> SessionKey:
    return key if isinstance(key, SessionKey) else SessionKey.parse(key)


def _storage(where: object, options: Mapping[str, Any]) -> Storage:
    if not isinstance(where, (str, os.PathLike)):
        # A list has `append` too, and a class has all of a storage's verbs.
        if isinstance(where, type) or not (hasattr(where, "append") and hasattr(where, "aclose")):
            raise UnknownStorageError(
                f"a store is made of a path, a URL or a storage, not {where!r:.80}: "
                "write SessionStore('./sessions')"
            )
        return cast("Storage", where)
    found = _SCHEME.fullmatch(where) if isinstance(where, str) else None
    scheme, rest = (found[1].lower(), found[2]) if found else ("jsonl", os.fspath(where))
    if scheme == "memory":
        if rest.strip("/"):
            raise UnknownStorageError(f"{where!r}: what is in memory has no place: write 'memory:'")
        return cast("Storage", import_module("turnkeep.storage.memory").MemoryStorage())
    if scheme == "jsonl":
        # 'jsonl://sessions' would be a folder at the root, where nobody looks for it.
        if not rest or "\0" in rest or (found and re.match(r"//(?!/)", rest)):
            raise UnknownStorageError(f"{where!r} names no folder: write 'jsonl:./sessions'")
        folder = Path(rest).expanduser()
        module = import_module("turnkeep.storage.jsonl")
        return cast("Storage", module.JsonlStorage(folder, **options))
    # The URL may hold a password, and errors are logged.
    raise UnknownStorageError(
        f"'{scheme}:…': there is no storage {scheme!r} in this version, which has 'jsonl:PATH' and "
        "'memory:'. If this is a path, write it as './…' or 'jsonl:…'"
    )
