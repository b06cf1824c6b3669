"""The JSONL storage's verbs.

An append to a session in use gives out ids and stages its lines without waiting for
anything, and then waits for the batch it is in. All else that touches a file (the first
look at a session, an edit, a rename) holds the session's lock and runs on a worker
thread, as `_chats` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from anyio import Lock

from ..._errors import ReadOnlyError, StorageError, StoreLockedError
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Appended, Change, EpochId, SessionInfo, Snapshot, merge_metadata
from ._chat import Chat
from ._chats import Chats
from ._files import Folder
from ._lock import FolderLock
from ._workers import Workers, storage_error
from ._writer import Batch, Durability, Writer

__all__ = ["JsonlStorage"]

replace: Final = msgspec.structs.replace

MAX_KEEP_TURNS: Final = 4096
WORKER_THREADS: Final = 4


class JsonlStorage:
    """One file per session under `folder`, which one process owns while it is open.

    `durability` is "os" (an append survives the process) or "disk" (it survives the
    machine). With `read_only` nothing is locked, made or written, and what another process
    writes is seen. `lock_timeout` is in seconds.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        durability: Durability = "os",
        read_only: bool = False,
        lock_timeout: float = 30,
    ) -> None:
        self._folder = Folder(Path(folder), read_only=read_only)
        self._lock_timeout = lock_timeout
        self._lock: FolderLock | None = None
        self._workers = Workers(WORKER_THREADS)
        self._writer = Writer(self._folder.journal if durability == "disk" else None)
        self._chats = Chats(self._folder, self._workers, self._writer)

    def __repr__(self) -> str:
        return f"JsonlStorage({str(self._folder.path)!r})"

    async def open(self) -> None:
        self._workers.open()
        self._renaming = Lock()
        where = str(self._folder.path)
        try:
            # One hop to a thread, unless another process has the folder still.
            if not await self._workers.run(where, self._open_now):
                await self._own(where)
                await self._workers.run(where, self._folder.settle)
        except BaseException:
            self._release()
            raise

    def _open_now(self) -> bool:
        """Opens the folder on a worker thread; False if it has another owner."""
        folder = self._folder
        if not folder.read_only:
            folder.make()
            self._lock = FolderLock(folder.path, folder.workplace, self._lock_timeout)
            if not self._lock.acquire_now():
                return False
        folder.settle()
        return True

    async def _own(self, where: str) -> None:
        assert self._lock is not None
        try:
            await self._lock.acquire()
        except StoreLockedError:
            raise
        except OSError as error:
            raise storage_error(where, error) from error

    async def aclose(self) -> None:
        try:
            await self._writer.aclose()
        finally:
            self._chats.clear()
            self._release()

    def _release(self) -> None:
        self._workers.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        *,
        epoch: EpochId | None = None,
        dedupe: bool = True,
    ) -> Appended | None:
        self._check_writable(key)
        sources = dedupe and any(turn.source_ids for turn in turns)
        while True:
            chat = self._chats.at_hand(key)
            if chat is None or (sources and chat.sources is None):
                async with self._chats.session(key, sources=sources, write=True) as chat:
                    staged = self._stage(chat, turns, epoch, dedupe)
            else:
                staged = self._stage(chat, turns, epoch, dedupe)
                self._chats.weigh(chat)
            if staged is None:
                return None
            placed, batch, version = staged
            if batch is None:
                break
            await self._writer.wait(batch)
            if version not in batch.errors or await self._chats.written(chat, batch, version):
                break
        new = [isinstance(turn, Turn) for turn in placed]
        if all(new):
            return Appended(cast("list[Turn]", placed), new)
        return Appended([await self._there(chat.key, turn) for turn in placed], new)

    def _stage(
        self, chat: Chat, turns: Sequence[Turn], epoch: EpochId | None, dedupe: bool
    ) -> tuple[list[Turn | int], Batch | None, int] | None:
        if epoch is not None and (chat.info is None or chat.info.epoch_id != epoch):
            return None
        size = chat.size
        placed, lines = chat.add(turns, dedupe)
        if lines:
            chat.batch = self._writer.stage(chat.path, chat.version, size, lines)
        return placed, chat.batch, chat.version

    async def _there(self, key: SessionKey, turn: Turn | int) -> Turn:
        """The turn itself; or, by its id, one that was there before."""
        if isinstance(turn, Turn):
            return turn
        found = (await self.read(key, after=turn - 1, before=turn + 1)).turns
        if not found:
            raise StorageError(f"session {key}: turn {turn} was removed meanwhile: append again")
        return found[0]

    async def read(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest: bool = True,
    ) -> Snapshot:
        chat = self._chats.at_hand(key)
        if chat is not None:
            turns = chat.select(after, before, limit, newest)
            if turns is not None:
                return Snapshot(chat.info, turns)
        from_end = newest and before is None and limit is not None and limit <= MAX_KEEP_TURNS

        async def select(chat: Chat) -> Snapshot:
            turns = chat.select(after, before, limit, newest)
            if turns is None:
                turns = await self._chats.read(chat, after, before, limit, newest)
            return Snapshot(chat.info, turns)

        return await self._chats.with_file(key, select, turns=(limit or 0) if from_end else 0)

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        async def look(chat: Chat) -> Turn | None:
            found = [turn for turn in chat.turns if source_id in turn.source_ids]
            if found or chat.complete:
                return found[-1] if found else None
            where = f"session {chat.key}"
            return await self._workers.run(where, self._folder.find, chat.place, source_id)

        return await self._chats.with_file(key, look)

    async def edit(self, key: SessionKey, turn_id: int, change: Change) -> Turn | None:
        self._check_writable(key)

        async def apply(chat: Chat) -> Turn | None:
            turns = await self._pick(chat, [turn_id])
            if not turns:
                return None
            changed = change.apply(turns[0])
            if changed != turns[0]:
                await self._rewrite(chat, {turn_id: changed}, "edit")
            return changed

        return await self._chats.with_file(key, apply, write=True)

    async def delete(self, key: SessionKey, ids: Sequence[int]) -> list[Turn]:
        self._check_writable(key)

        async def take(chat: Chat) -> list[Turn]:
            turns = await self._pick(chat, ids)
            if turns:
                await self._rewrite(chat, {turn.id: None for turn in turns}, "delete")
            return turns

        return await self._chats.with_file(key, take, write=True)

    async def _pick(self, chat: Chat, ids: Sequence[int]) -> list[Turn]:
        """The turns with these ids, ascending."""
        if not ids:
            return []
        after, before = min(ids) - 1, max(ids) + 1
        turns = chat.select(after, before, None, newest=True)
        if turns is None:
            turns = await self._chats.read(chat, after, before, None, newest=False)
        wanted = set(ids)
        return [turn for turn in turns if turn.id in wanted]

    async def _rewrite(self, chat: Chat, changes: Mapping[int, Turn | None], op: str) -> None:
        assert chat.info is not None
        gone = sum(1 for turn in changes.values() if turn is None)
        info = replace(chat.info, turns=chat.info.turns - gone, updated_at=_now())
        try:
            where = f"session {chat.key}"
            await self._workers.run(where, self._folder.rewrite, chat.place, changes, info, op)
        finally:
            self._chats.let_go(chat)

    async def clear(self, key: SessionKey, *, erase: bool = False) -> None:
        def note(chat: Chat) -> bytes | None:
            if chat.info is None:
                return None
            return chat.note("clear", epoch=chat.info.epoch + 1, summary=None)

        if not erase:
            await self._note(key, note)
            return
        self._check_writable(key)
        async with self._chats.session(key, write=True, settled=True) as chat:
            if chat.info is not None:
                info = replace(
                    chat.info, epoch=chat.info.epoch + 1, summary=None, turns=0, updated_at=_now()
                )
                where = f"session {chat.key}"
                try:
                    await self._workers.run(
                        where, self._folder.write, chat.path, info, None, "clear"
                    )
                    await self._workers.run(where, self._folder.remove_side_files, chat.key)
                finally:
                    self._chats.let_go(chat)

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, epoch: EpochId
    ) -> bool:
        def note(chat: Chat) -> bytes | None:
            info = chat.info
            if info is None or info.epoch_id != epoch:
                return None
            reached = min(last_consolidated, info.last_id)
            if reached <= info.last_consolidated:
                return None
            return chat.note("consolidate", last_consolidated=reached, summary=summary)

        return await self._note(key, note)

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        merged: dict[str, Any] = {}

        def note(chat: Chat) -> bytes:
            nonlocal merged
            merged = merge_metadata(chat.key, chat.info.metadata if chat.info else {}, changes)
            return chat.note("metadata", metadata=merged)

        await self._note(key, note)
        return merged

    async def _note(self, key: SessionKey, note: Callable[[Chat], bytes | None]) -> bool:
        """Adds the metadata line that `note` makes; False if it makes none."""
        self._check_writable(key)
        while True:
            async with self._chats.session(key, write=True) as chat:
                size = chat.size
                line = note(chat)
                if line is None:
                    return False
                batch = self._writer.stage(chat.path, chat.version, size, line)
                chat.batch, version = batch, chat.version
            if await self._chats.written(chat, batch, version):
                return True

    async def sessions(
        self, *, prefix: str = "", limit: int | None = None, after: SessionInfo | None = None
    ) -> list[SessionInfo]:
        where = str(self._folder.path)
        return await self._workers.run(where, self._folder.sessions, prefix, limit, after)

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        self._check_writable(old)
        # One at a time: the folder holds one intent, and aliases stay what they are meanwhile.
        async with self._renaming, AsyncExitStack() as both:
            resolved: dict[SessionKey, SessionKey] = {}
            for key in (old, new):
                async with self._chats.session(key) as chat:
                    resolved[key] = chat.key
            if resolved[old] == resolved[new]:
                return
            for key in sorted(resolved.values()):  # one order for everyone who takes two locks
                session = self._chats.session(key, write=True, settled=True)
                self._chats.let_go(await both.enter_async_context(session))
            await self._workers.run(
                f"session {old}", self._folder.rename, resolved[old], resolved[new]
            )

    async def forget(self, key: SessionKey) -> bool:
        self._check_writable(key)
        async with self._chats.session(key, settled=True) as chat:
            where = f"session {chat.key}"
            try:
                there = await self._workers.run(where, self._folder.remove, chat.key)
                await self._workers.run(where, self._folder.remove_alias, key)
            finally:
                self._chats.let_go(chat)
                self._chats.aliases.pop(key.text, None)
        return there

    def _check_writable(self, key: SessionKey) -> None:
        if self._folder.read_only:
            raise ReadOnlyError(
                f"session {key}: this store was opened with read_only=True; "
                "open another one without it to write"
            )


def _now() -> datetime:
    return datetime.now(timezone.utc)
