"""The sessions in use: at hand, or read from their files under a lock.

Reading holds the session's lock and runs on a worker thread, so one long chat never holds up
another. The least recently used sessions are dropped, so memory is bounded however many there
are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count, islice
from typing import Final, NamedTuple, TypeVar

import msgspec

from ..._errors import StorageError
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import DEDUPE_TURNS, Expected, Snapshot
from ..rules import is_expected
from ._appender import Batch
from ._chat import Chat
from ._disk import marked_time, sync_changed, unsynced
from ._folder import Folder
from ._names import session_path
from ._place import Alias, FileChanged
from ._workers import Workers, storage_error
from ._writer import Writer

T = TypeVar("T")
replace: Final = msgspec.structs.replace

MAX_KEPT_BYTES: Final = 32 * 1024 * 1024
SEARCHES: Final = 8
MAX_ALIASES: Final = 1000
"""A chain of more aliases than this is a circle."""


class Needs(NamedTuple):
    """The state in which somebody needs a session.

    - `turns`: so many of its newest turns are read.
    - `known`: what is needed to tell a duplicate is read.
    - `settled`: all that was staged is in the file.
    - `write`: the session is in a file of ours.
    - `anew`: the file was looked at since, because it is rewritten as a whole.
    """

    turns: int = 0
    known: bool = False
    settled: bool = False
    write: bool = False
    anew: bool = False


NOTHING: Final = Needs()
REWRITING: Final = Needs(settled=True, write=True, anew=True)


def _waits(_: Chat) -> None:
    """Stand in for what can't be done without waiting."""


class Chats:
    """The sessions of one folder that are in use."""

    def __init__(self, folder: Folder, workers: Workers, writer: Writer) -> None:
        self._folder = folder
        self._workers = workers
        self._writer = writer
        self._versions = count(1)
        self._chats: OrderedDict[str, Chat] = OrderedDict()
        self.aliases: dict[str, SessionKey] = {}
        """The keys of the sessions that have moved, once they were looked up; none if read-only."""
        self._weight = 0

    def clear(self) -> None:
        """Forget them all."""
        self._chats.clear()
        self.aliases.clear()
        self._weight = 0

    def at_hand(self, key: SessionKey) -> Chat | None:
        """Return the session, if it is at hand and nobody is in line for it."""
        chat = self._chats.get(key.text)
        if chat is None or not chat.at_hand or chat.line.held:
            return None
        if chat.batch is not None and self._failed(chat):
            return None
        self._chats.move_to_end(key.text)
        return chat

    @asynccontextmanager
    async def session(self, key: SessionKey, needs: Needs = NOTHING) -> AsyncGenerator[Chat]:
        """Give the session, aliases followed, read from its file, and locked."""
        chat, _ = await self._enter(key, needs, _waits)
        try:
            yield chat
        finally:
            self._exit(chat)

    async def _enter(
        self, key: SessionKey, needs: Needs, quick: Callable[[Chat], T | None]
    ) -> tuple[Chat, T | None]:
        """Return the session, locked if `quick` gave None, and what it gave."""
        passed: set[str] = set()
        while key.text not in passed:
            passed.add(key.text)
            chat = self._chat(key)
            moved_to = self.aliases.get(key.text)
            if moved_to is None:
                chat.users += 1
                try:
                    served = await chat.line.turn(partial(self._quickly, chat, quick))
                except BaseException:  # cancelled, too
                    self._leave(chat)
                    raise
                if served is not None:
                    self._leave(chat)
                    return chat, served
                try:
                    moved_to = await self._load(chat, needs)
                except BaseException:  # cancelled, too
                    self._exit(chat)
                    raise
                if moved_to is None:
                    return chat, None
                self._exit(chat)
            key = moved_to
        raise _circle(key)

    def _quickly(self, chat: Chat, quick: Callable[[Chat], T | None]) -> T | None:
        if not chat.at_hand or (chat.batch is not None and self._failed(chat)):
            return None
        return quick(chat)

    def _exit(self, chat: Chat) -> None:
        chat.line.leave()
        self._leave(chat)

    @asynccontextmanager
    async def both(self, old: SessionKey, new: SessionKey) -> AsyncGenerator[tuple[Chat, Chat]]:
        """Give two sessions, each as `session` does to write, settled; or one of them twice.

        Their locks are taken before anything is read, so that what is called later waits.
        """
        keys = [old, new]
        for _ in range(MAX_ALIASES):
            keys = [self.aliases.get(key.text, key) for key in keys]
            chats = [self._chat(key) for key in keys]
            async with AsyncExitStack() as locks:
                # One order for all that takes two.
                for chat in sorted({*chats}, key=lambda chat: chat.key):
                    chat.users += 1
                    locks.callback(self._leave, chat)
                    await chat.line.turn()
                    locks.callback(chat.line.leave)
                moved = [await self._load(chat, REWRITING) for chat in chats]
                if moved == [None, None]:
                    yield chats[0], chats[1]
                    return
            keys = [to or key for to, key in zip(moved, keys, strict=True)]
        raise _circle(old)

    def _chat(self, key: SessionKey) -> Chat:
        chat = self._chats.get(key.text)
        if chat is None:
            chat = self._chats[key.text] = Chat(key, session_path(self._folder.path, key))
        return chat

    def _leave(self, chat: Chat) -> None:
        chat.users -= 1
        self.weigh(chat)

    async def with_file(
        self,
        key: SessionKey,
        function: Callable[[Chat], Awaitable[T]],
        needs: Needs,
        quick: Callable[[Chat], T | None] = _waits,
    ) -> T:
        """Return what `quick` makes of the session at hand, or else `function` of the locked one.

        `quick` runs without an await, as soon as those who came before are served. If the file
        changes under `function`, that is done again.
        """
        while True:
            chat, served = await self._enter(key, needs, quick)
            if served is not None:
                return served
            try:
                return await function(chat)
            except FileChanged:
                self.drop(chat)
            finally:
                self._exit(chat)

    async def read(
        self, chat: Chat, after: int, before: int | None, limit: int | None, *, newest: bool
    ) -> Snapshot:
        """Read turns of a session that is locked, from its file unless they are at hand."""
        there = chat.select(after, before, limit, newest=newest)
        if there is not None:
            return there
        reading = partial(
            self._folder.read,
            chat.info,
            chat.place,
            after=after,
            before=before,
            limit=limit,
            newest=newest,
        )
        turns, complete, damaged = await self._workers.run(f"session {chat.key}", reading)
        if chat.info is not None:
            chat.info = replace(chat.info, damaged=damaged)
        return Snapshot(chat.info, turns, complete)

    async def pick(self, chat: Chat, ids: Sequence[int]) -> list[Turn]:
        """Return the turns with these ids, ascending, of a session that is locked and settled."""
        if not ids:
            return []
        after, before = min(ids) - 1, max(ids) + 1
        turns = (await self.read(chat, after, before, None, newest=False)).turns
        wanted = set(ids)
        return [turn for turn in turns if turn.id in wanted]

    async def older(self, chat: Chat, before: int, count: int) -> Sequence[Turn]:
        """Return the turns before an id that an append of so many turns is to be compared with.

        They are its own, and those that it was compared with when it was stored.
        """
        limit = count + 2 * DEDUPE_TURNS
        return (await self.read(chat, 0, before, limit, newest=True)).turns

    async def lacks(self, chat: Chat, needles: Sequence[bytes]) -> bool:
        """Return whether these source ids and tokens are on none of the latest turns.

        The session is locked and settled. To look for the bytes costs a tenth of reading the
        turns, so that is done once it was looked through often.
        """
        if chat.searches >= SEARCHES:
            return False
        chat.searches += 1
        looking = self._folder.lacks, chat.place, needles, DEDUPE_TURNS
        return await self._workers.run(f"session {chat.key}", *looking)

    async def learn(self, chat: Chat) -> None:
        """Read what tells duplicates of a session that is locked and settled."""
        if await self._load(chat, Needs(known=True, settled=True, write=True)) is not None:
            raise FileChanged

    async def is_expected(self, chat: Chat, expected: Expected | None) -> bool:
        """Return whether a session that is locked and settled is as expected."""
        if not is_expected(chat.info, expected):
            return False
        if expected is None or expected.turn is None:
            return True
        there = chat.stores(expected.turn)
        return bool(await self.pick(chat, [expected.turn])) if there is None else there

    async def _load(self, chat: Chat, needs: Needs) -> SessionKey | None:
        """Make `chat` what is needed; return the session's key if it is an alias."""
        write, known = needs.write, needs.known
        chat.keep = max(chat.keep, needs.turns)
        enough = not self._failed(chat) and chat.has(needs.turns, known=known)
        if needs.settled or not enough:
            while chat.batch is not None and not chat.batch.finished:
                await self._writer.wait(chat.batch)
            enough = not self._failed(chat) and chat.has(needs.turns, known=known)
        anew = self._folder.read_only or needs.anew or (write and chat.unmended)
        where = f"session {chat.key}"
        if write and (folder := chat.path.parent) in unsynced:
            # A change that is done again finds nothing to do, and is to be synced all the same.
            await self._workers.run(where, sync_changed, [folder])
        if anew or not enough:
            self.drop(chat)
            limit = max(chat.keep, DEDUPE_TURNS if known else 0)
            found = await self._workers.run(where, self._folder.load, chat.key, limit, write)
            if isinstance(found, Alias):
                if not self._folder.read_only:
                    self.aliases[chat.key.text] = found.key
                return found.key
            chat.fill(found, next(self._versions))
            chat.at_hand = chat.at_hand and not self._folder.read_only
        if write and chat.foreign is not None:
            try:
                importing = self._folder.write, chat.path, chat.info, chat.foreign, "import"
                await self._workers.run(where, *importing)
            finally:
                self.drop(chat)
            return await self._load(chat, needs)
        return None

    async def written(self, chat: Chat, batch: Batch, version: int) -> bool:
        """Wait for the batch. False if the file was not as it had been read: do it again."""
        await self._writer.wait(batch)
        error = batch.errors.get(version)
        if error is None:
            return True
        if chat.version == version:
            self.drop(chat)
        if isinstance(error, FileChanged):
            return False
        raise storage_error(f"session {chat.key}", error) from error

    def _failed(self, chat: Chat) -> bool:
        """Return whether what is known of the session is void, since writing it failed."""
        if chat.batch is None or not chat.batch.finished:
            return False
        failed = chat.version in chat.batch.errors
        chat.batch = None
        if failed:
            self.drop(chat)
        return failed

    def drop(self, chat: Chat) -> None:
        """Forget what was read of the session, and close its file."""
        if chat.loaded and chat.size and not self._folder.read_only:
            self._writer.retire(chat.version)
        chat.drop()

    def resized(self, chat: Chat, size: int) -> None:
        """Go on with a session whose file was changed in its place, metadata line last."""
        self._writer.retire(chat.version)
        chat.version = next(self._versions)
        chat.size = size
        chat.modified = marked_time(chat.info.updated_at) if chat.info is not None else 0
        chat.since_metadata = 0

    def weigh(self, chat: Chat) -> None:
        """Count what the session holds in memory, and drop others while it is too much."""
        self._weight += chat.weight - chat.weighed
        chat.weighed = chat.weight
        for text in tuple(islice(self._chats, 16)) if self._weight > MAX_KEPT_BYTES else ():
            idle = self._chats[text]
            if idle.users or idle.line.held or (idle.batch and not idle.batch.finished):
                self._chats.move_to_end(text)
                continue
            self._weight -= idle.weighed
            del self._chats[text]


def _circle(key: SessionKey) -> StorageError:
    return StorageError(f"session {key}: its aliases lead in a circle; remove one of them")
