"""Messages during a storage's failure: answered from memory, and recorded after it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

from anyio import Lock
from msgspec import structs

from .._records.identity import Expected
from .._records.key import SessionKey
from .._records.turn import Turn
from .._session.conversation import Begun, Conversation
from .._session.desk import Desk
from .._session.draft import Draft
from .._session.reading import Sight, window_alone
from .._session.rewriting import without_quotes
from .._store import SessionStore
from .._window.build import Window
from .._window.options import WindowOptions
from ._chain import Chained
from ._chat import FAILURES, ChatSession

__all__ = ["ChainedOwing", "Later", "Owing"]

logger: Final = logging.getLogger("turnkeep")

MAX_TURNS: Final = 10_000
"""The most messages in memory. After that the storage's error is raised."""


class Owing(Conversation):
    """The verbs of a session that answers while its storage fails. Answers are stored later."""

    def __init__(
        self, desk: Desk, key: SessionKey, owe: Callable[[SessionKey, list[Turn]], None]
    ) -> None:
        super().__init__(desk, key)
        self._owe = owe

    async def window(self, options: WindowOptions, sight: Sight, draft: Draft) -> Window:
        try:
            return await super().window(options, sight, draft)
        except FAILURES:
            if not sight.turns:
                raise
            logger.exception(
                "%sthe history can't be read; the answer is made without it", self.where
            )
            return window_alone(self.key, sight.turns, options, draft.turns)

    async def begin_reply(
        self, to: Turn | None, joined: Sequence[Turn] = (), *, again: bool = False
    ) -> Begun:
        try:
            return await super().begin_reply(to, joined, again=again)
        except FAILURES:
            if to is None:
                raise
            # It is stored later, in whatever state the session is then.
            return Begun(to, tuple(one.id for one in joined), None, Sight.of(to, joined))

    async def store_reply(self, turns: list[Turn], begun: Begun) -> list[Turn] | None:
        turns = self.desk.leases.tokens(turns)  # it may be stored already when its error comes
        try:
            return await super().store_reply(turns, begun)
        except FAILURES:
            logger.exception("%san answer was sent and is recorded later", self.where)
            self._owe(self.key, turns)
            return turns


class ChainedOwing(Owing, Chained):
    """The same for a session whose windows are chains of replies."""


class Aside(Conversation):
    """The verbs of a session in memory. Answers to turns recorded since go to the storage."""

    def __init__(self, desk: Desk, real: Conversation) -> None:
        super().__init__(desk, real.key)
        self._real = real

    async def window(self, options: WindowOptions, sight: Sight, draft: Draft) -> Window:
        window = await super().window(options, sight, draft)
        if window.turns or not sight.turns:
            return window
        return window_alone(self.key, sight.turns, options, draft.turns)

    async def begin_reply(
        self, to: Turn | None, joined: Sequence[Turn] = (), *, again: bool = False
    ) -> Begun:
        begun = await super().begin_reply(to, joined, again=again)
        if begun.is_lost and to is not None and await self._recorded(to) is not None:
            return begun._replace(is_lost=False)
        return begun

    async def store_reply(self, turns: list[Turn], begun: Begun) -> list[Turn] | None:
        recorded = None if begun.to is None else await self._recorded(begun.to)
        if recorded is None:
            return await super().store_reply(turns, begun)
        moved = [structs.replace(one, answers=recorded.id, also_answers=()) for one in turns]
        there = begun._replace(to=recorded, expected=Expected(recorded.generation))
        return await self._real.store_reply(moved, there)

    async def _recorded(self, turn: Turn) -> Turn | None:
        """Return the message if the storage has it by now, or None."""
        if turn.source_id is None:
            return None
        try:
            async with self._real.desk.use(self.key) as storage:
                return await storage.find(self.key, turn.source_id)
        except FAILURES:
            return None


class Later:
    """The sessions in memory while the storage fails.

    There handlers answer without the earlier history. The order of messages is kept: while
    anything of a session waits, its new messages wait too. Nothing of it survives the process.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._aside = SessionStore("memory:")
        self._waiting: dict[
            SessionKey, dict[int, int]
        ] = {}  # from the ids in memory to the ids in the store
        self._owed: list[tuple[SessionKey, list[Turn]]] = []  # answers to recorded messages
        self._changes: list[Callable[[], Awaitable[None]]] = []
        self._count = 0
        self._lock = Lock()

    def holds(self, key: SessionKey) -> bool:
        """Return True if anything of this session waits."""
        return key in self._waiting or any(owed[0] == key for owed in self._owed)

    def owe(self, key: SessionKey, turns: list[Turn]) -> None:
        """Keep an answer to a recorded message."""
        self._owed.append((key, turns))

    def owe_change(self, change: Callable[[], Awaitable[None]]) -> None:
        """Keep an edit or a deletion that the storage refused."""
        self._changes.append(change)

    @property
    def is_full(self) -> bool:
        return self._count + len(self._owed) + len(self._changes) >= MAX_TURNS

    async def receive(self, session: ChatSession, content: object, **fields: Any) -> ChatSession:
        """Return the session in memory, bound to this message."""
        self._waiting.setdefault(session.key, {})
        self._count += 1
        conversation = Aside(self._aside.desk, session.conversation)
        aside = ChatSession(
            session.store, session.key, outlet=session.outlet, conversation=conversation
        )
        return await aside.receive(content, **fields)

    async def edit(self, source_id: str, content: object) -> None:
        """Edit a waiting message."""
        async with self._lock:
            for key in list(self._waiting):
                await self._aside.session(key).edit(source_id, content)

    async def delete(self, source_ids: Collection[str]) -> None:
        """Delete waiting messages, and their repetitions in others that wait."""
        async with self._lock:
            for key in list(self._waiting):
                session = self._aside.session(key)
                for source_id in source_ids:
                    gone = await session.delete(source_id)
                    self._count -= gone is not None and gone.role == "user"
                turns = [turn async for turn in session.turns(epoch="all")]
                changes = without_quotes(turns, source_ids=source_ids)
                async with self._aside.desk.use(key, write=True) as storage:
                    await storage.change(key, changes)

    async def settle(self) -> None:
        """Record all that waits, until the storage fails again."""
        if not (self._waiting or self._owed or self._changes):
            return
        async with self._lock:
            for owed in list(self._owed):
                try:
                    await self._store.desk.append(owed[0], owed[1], dedupe=False)
                except FAILURES as error:
                    logger.warning("an answer still waits to be stored: %s", error)
                    return  # everything else came after it
                self._owed.remove(owed)
            for key in list(self._waiting):
                info = await self._aside.desk.info(key)
                if info and self._aside.desk.answers.first_open(info) != sys.maxsize:
                    continue  # its open answer must be stored behind it
                try:
                    await self._record(key)
                except FAILURES as error:
                    logger.warning("messages still wait to be stored: %s", error)
            while self._changes:
                try:
                    await self._changes[0]()
                except FAILURES as error:
                    logger.warning("an edit or a deletion still waits: %s", error)
                    return
                del self._changes[0]

    async def _record(self, key: SessionKey) -> None:
        ids, aside = self._waiting[key], self._aside.session(key)
        async for turn in aside.turns(epoch="all"):
            appended = await self._store.desk.append(key, [_moved(turn, ids)])
            assert appended is not None
            ids[turn.id] = appended.turns[0].id
            await aside.delete(turn)
            self._count -= turn.role == "user"
        await self._aside.forget(key)
        del self._waiting[key]

    async def aclose(self) -> None:
        """Record all that waits, or log how much is lost."""
        await self.settle()
        if self._changes:
            logger.error("%d edits and deletions could not be done", len(self._changes))
        for key in self._waiting:
            left = [turn async for turn in self._aside.session(key).turns(epoch="all")]
            logger.error("session %s: %d turns could not be recorded and are lost", key, len(left))
        for key, turns in self._owed:
            logger.error("session %s: %d turns could not be recorded and are lost", key, len(turns))
        self._owed.clear()
        self._changes.clear()
        self._waiting.clear()
        self._count = 0
        await self._aside.aclose()
        self._aside = SessionStore("memory:")


def _moved(turn: Turn, ids: dict[int, int]) -> Turn:
    """Return the turn to record, under a token: a recording that breaks off is begun again."""
    token = turn.token or f"{turn.generation}-{turn.id}"
    return structs.replace(turn.answering_at(ids), id=0, epoch=1, generation="", token=token)
