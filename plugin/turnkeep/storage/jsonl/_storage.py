"""The JSONL storage's verbs.

An append to a session in use gives out ids and stages its lines without waiting for
anything, and then waits for the batch it is in. All else that touches a file (the first
look at a session, an edit, a rename) holds the session's lock and runs on a worker thread,
so that one long chat never holds up another. The least recently used sessions are let go,
so that memory is bounded however many there are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timezone
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec
from anyio import Lock

from ..._errors import ReadOnlyError, StorageError, StoreLockedError
from ..._key import SessionKey
from ..._turn import Turn
from ..base import (
    DEDUPE_TURNS,
    Appended,
    Change,
    EpochId,
    SessionInfo,
    Snapshot,
    merge_metadata,
)
from ._chat import Chat
from ._files import Alias, Folder
from ._lock import FolderLock
from ._names import session_path
from ._workers import Workers
from ._writer import Batch, Durability, FileChanged, Writer

__all__ = ["JsonlStorage"]

T = TypeVar("T")
replace: Final = msgspec.structs.replace

MAX_KEPT_BYTES: Final = 32 * 1024 * 1024
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
        self._workers: Workers
        self._writer = Writer(self._folder.journal if durability == "disk" else None)
        self._versions = count(1)
        self._chats: OrderedDict[str, Chat] = OrderedDict()
        self._aliases: dict[str, SessionKey] = {}
        self._weight = 0

    def __repr__(self) -> str:
        return f"JsonlStorage({str(self._folder.path)!r})"

    async def open(self) -> None:
        self._workers = Workers(WORKER_THREADS)
        self._renaming = Lock()
        where = str(self._folder.path)
        try:
            # One hop to a thread, unless another process has the folder still.
            if not await self._run(where, self._open_now):
                await self._own(where)
                await self._run(where, self._folder.settle)
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
            raise _failed(where, error) from error

    async def aclose(self) -> None:
        try:
            await self._writer.aclose()
        finally:
            self._chats.clear()
            self._aliases.clear()
            self._weight = 0
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
            chat = self._in_use(key)
            if chat is None or (sources and chat.sources is None):
                async with self._session(key, sources=sources, write=True) as chat:
                    staged = self._stage(chat, turns, epoch, dedupe)
            else:
                staged = self._stage(chat, turns, epoch, dedupe)
                self._weigh(chat)
            if staged is None:
                return None
            placed, batch, version = staged
            if batch is None:
                break
            await self._writer.wait(batch)
            if version not in batch.errors or await self._written(chat, batch, version):
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
        chat = self._in_use(key)
        if chat is not None:
            turns = chat.select(after, before, limit, newest)
            if turns is not None:
                return Snapshot(chat.info, turns)
        from_end = newest and before is None and limit is not None and limit <= MAX_KEEP_TURNS

        async def select(chat: Chat) -> Snapshot:
            turns = chat.select(after, before, limit, newest)
            if turns is None:
                turns = await self._read(chat, after, before, limit, newest)
            return Snapshot(chat.info, turns)

        return await self._with_file(key, select, turns=(limit or 0) if from_end else 0)

    async def _read(
        self, chat: Chat, after: int, before: int | None, limit: int | None, newest: bool
    ) -> list[Turn]:
        """Turns that are not at hand."""
        reading = partial(
            self._folder.read,
            chat.key,
            chat.place,
            after=after,
            before=before,
            limit=limit,
            newest=newest,
        )
        turns, damaged = await self._run(f"session {chat.key}", reading)
        if chat.info is not None:
            chat.info = replace(chat.info, damaged=damaged)
        return turns

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        async def look(chat: Chat) -> Turn | None:
            found = [turn for turn in chat.turns if source_id in turn.source_ids]
            if found or chat.complete:
                return found[-1] if found else None
            where = f"session {chat.key}"
            return await self._run(where, self._folder.find, chat.place, source_id)

        return await self._with_file(key, look)

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

        return await self._with_file(key, apply, write=True)

    async def delete(self, key: SessionKey, ids: Sequence[int]) -> list[Turn]:
        self._check_writable(key)

        async def take(chat: Chat) -> list[Turn]:
            turns = await self._pick(chat, ids)
            if turns:
                await self._rewrite(chat, {turn.id: None for turn in turns}, "delete")
            return turns

        return await self._with_file(key, take, write=True)

    async def _pick(self, chat: Chat, ids: Sequence[int]) -> list[Turn]:
        """The turns with these ids, ascending."""
        if not ids:
            return []
        after, before = min(ids) - 1, max(ids) + 1
        turns = chat.select(after, before, None, newest=True)
        if turns is None:
            turns = await self._read(chat, after, before, None, newest=False)
        wanted = set(ids)
        return [turn for turn in turns if turn.id in wanted]

    async def _rewrite(self, chat: Chat, changes: Mapping[int, Turn | None], op: str) -> None:
        assert chat.info is not None
        gone = sum(1 for turn in changes.values() if turn is None)
        info = replace(chat.info, turns=chat.info.turns - gone, updated_at=_now())
        try:
            where = f"session {chat.key}"
            await self._run(where, self._folder.rewrite, chat.place, changes, info, op)
        finally:
            self._let_go(chat)

    async def clear(self, key: SessionKey, *, erase: bool = False) -> None:
        def note(chat: Chat) -> bytes | None:
            if chat.info is None:
                return None
            return chat.note("clear", epoch=chat.info.epoch + 1, summary=None)

        if not erase:
            await self._note(key, note)
            return
        self._check_writable(key)
        async with self._session(key, write=True, settled=True) as chat:
            if chat.info is not None:
                info = replace(
                    chat.info, epoch=chat.info.epoch + 1, summary=None, turns=0, updated_at=_now()
                )
                where = f"session {chat.key}"
                try:
                    await self._run(where, self._folder.write, chat.path, info, None, "clear")
                    await self._run(where, self._folder.remove_side_files, chat.key)
                finally:
                    self._let_go(chat)

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
            async with self._session(key, write=True) as chat:
                size = chat.size
                line = note(chat)
                if line is None:
                    return False
                batch = self._writer.stage(chat.path, chat.version, size, line)
                chat.batch, version = batch, chat.version
            if await self._written(chat, batch, version):
                return True

    async def sessions(
        self, *, prefix: str = "", limit: int | None = None, after: SessionInfo | None = None
    ) -> list[SessionInfo]:
        where = str(self._folder.path)
        return await self._run(where, self._folder.sessions, prefix, limit, after)

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        self._check_writable(old)
        # One at a time: the folder holds one intent, and aliases stay what they are meanwhile.
        async with self._renaming, AsyncExitStack() as both:
            resolved: dict[SessionKey, SessionKey] = {}
            for key in (old, new):
                async with self._session(key) as chat:
                    resolved[key] = chat.key
            if resolved[old] == resolved[new]:
                return
            for key in sorted(resolved.values()):  # one order for everyone who takes two locks
                session = self._session(key, write=True, settled=True)
                self._let_go(await both.enter_async_context(session))
            await self._run(f"session {old}", self._folder.rename, resolved[old], resolved[new])

    async def forget(self, key: SessionKey) -> bool:
        self._check_writable(key)
        async with self._session(key, settled=True) as chat:
            where = f"session {chat.key}"
            try:
                there = await self._run(where, self._folder.remove, chat.key)
                await self._run(where, self._folder.remove_alias, key)
            finally:
                self._let_go(chat)
                self._aliases.pop(key.text, None)
        return there

    # Sessions in use.

    def _in_use(self, key: SessionKey) -> Chat | None:
        """The session, if it is at hand and nobody stands in its queue."""
        chat = self._chats.get(key.text)
        if chat is None or not chat.at_hand or chat.lock.locked() or self._folder.read_only:
            return None
        if chat.batch is not None and self._failed(chat):
            return None
        self._chats.move_to_end(key.text)
        return chat

    @asynccontextmanager
    async def _session(
        self,
        key: SessionKey,
        *,
        turns: int = 0,
        sources: bool = False,
        settled: bool = False,
        write: bool = False,
    ) -> AsyncGenerator[Chat]:
        """The session, aliases followed, read from its file, and locked.

        At least `turns` of its newest turns are there, and with `sources` what is needed to
        tell a duplicate. With `settled` all that was staged is in the file. With `write` it
        is in a file of ours.
        """
        passed: set[str] = set()
        while key.text not in passed:
            passed.add(key.text)
            chat = self._chats.get(key.text)
            if chat is None:
                chat = Chat(key, session_path(self._folder.path, key))
                self._chats[key.text] = chat
            moved_to = self._aliases.get(key.text)
            if moved_to is None:
                chat.users += 1
                try:
                    async with chat.lock:
                        moved_to = await self._load(chat, turns, sources, settled, write)
                        if moved_to is None:
                            yield chat
                            return
                finally:
                    chat.users -= 1
                    self._weigh(chat)
            key = moved_to
        raise StorageError(f"session {key}: its aliases lead in a circle; remove one of them")

    async def _with_file(
        self,
        key: SessionKey,
        function: Callable[[Chat], Awaitable[T]],
        *,
        turns: int = 0,
        write: bool = False,
    ) -> T:
        """What the function makes of the session; again, if its file changed under it."""
        while True:
            async with self._session(key, turns=turns, settled=True, write=write) as chat:
                with suppress(FileChanged):
                    return await function(chat)
                self._let_go(chat)

    async def _load(
        self, chat: Chat, turns: int, sources: bool, settled: bool, write: bool
    ) -> SessionKey | None:
        """Sees to it that `chat` is as `_session` promises; where it is, if it is an alias."""
        chat.keep = max(chat.keep, turns)
        enough = not self._failed(chat) and chat.has(turns, sources)
        if settled or not enough:
            while chat.batch is not None and not chat.batch.finished:
                await self._writer.wait(chat.batch)
            enough = not self._failed(chat) and chat.has(turns, sources)
        # What is rewritten must be all there is, so the file is looked at anew.
        anew = self._folder.read_only or (write and (settled or chat.unmended))
        where = f"session {chat.key}"
        if anew or not enough:
            self._let_go(chat)
            limit = max(chat.keep, DEDUPE_TURNS if sources else 0)
            found = await self._run(where, self._folder.load, chat.key, limit, write)
            if isinstance(found, Alias):
                if not self._folder.read_only:
                    self._aliases[chat.key.text] = found.key
                return found.key
            chat.fill(found, next(self._versions))
        if write and chat.foreign is not None:
            try:
                importing = self._folder.write, chat.path, chat.info, chat.foreign, "import"
                await self._run(where, *importing)
            finally:
                self._let_go(chat)
            return await self._load(chat, turns, sources, settled, write)
        return None

    async def _written(self, chat: Chat, batch: Batch, version: int) -> bool:
        """Waits for the batch. False if the file was not as it had been read: do it again."""
        await self._writer.wait(batch)
        error = batch.errors.get(version)
        if error is None:
            return True
        if chat.version == version:
            self._let_go(chat)
        if isinstance(error, FileChanged):
            return False
        raise _failed(f"session {chat.key}", error) from error

    def _failed(self, chat: Chat) -> bool:
        """Whether what is known of the session is void, since writing it down failed."""
        if chat.batch is None or not chat.batch.finished:
            return False
        failed = chat.version in chat.batch.errors
        chat.batch = None
        if failed:
            self._let_go(chat)
        return failed

    def _let_go(self, chat: Chat) -> None:
        """Forgets what was read of the session; its file is closed."""
        if chat.loaded and chat.size and not self._folder.read_only:
            self._writer.retire(chat.version)
        chat.drop()

    def _weigh(self, chat: Chat) -> None:
        """Counts what the session holds in memory, and lets others go while it is too much."""
        self._weight += chat.weight - chat.weighed
        chat.weighed = chat.weight
        for text in tuple(islice(self._chats, 16)) if self._weight > MAX_KEPT_BYTES else ():
            idle = self._chats[text]
            if idle.users or idle.lock.locked() or (idle.batch and not idle.batch.finished):
                self._chats.move_to_end(text)
                continue
            self._weight -= idle.weighed
            del self._chats[text]

    # Details.

    def _check_writable(self, key: SessionKey) -> None:
        if self._folder.read_only:
            raise ReadOnlyError(
                f"session {key}: this store was opened with read_only=True; "
                "open another one without it to write"
            )

    async def _run(self, where: str, function: Callable[..., T], *args: Any) -> T:
        """Runs a blocking function on a worker thread; a failure names the session."""
        try:
            return await self._workers.run(function, *args)
        except OSError as error:
            raise _failed(where, error) from error


def _failed(where: str, error: BaseException) -> StorageError:
    what = f"{where}: {error}; nothing was stored of this call"
    return StorageError(f"{what}. Check the disk's space and the folder's permissions")


def _now() -> datetime:
    return datetime.now(timezone.utc)
