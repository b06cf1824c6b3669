"""The desk between sessions and the open storage.

A store makes one desk, and gives it to its sessions, replies and consolidations. There they
get the storage for the time of one verb, the arranged ends of sessions, the open replies, the
leases that other processes see, and the limits. The desk knows no session and no store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from anyio import Lock
from msgspec import structs

from .._errors import LostAcknowledgementError
from .._records.identity import Expected
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.parts import InlineMedia
from .._records.turn import Turn
from .._window.parted import as_late, is_folded
from .._window.tail import Tails
from ..storage.base import Appended, Snapshot, Storage
from .answers import Answers
from .leases import Leases
from .opening import Opening, Use
from .remembered import Remembered

__all__ = ["Desk", "moved_answer"]

T = TypeVar("T")
replace: Final = structs.replace

_TRIES: Final = 3


class Desk:
    """The things that all sessions of one store share."""

    def __init__(
        self,
        storage: Storage,
        *,
        read_only: bool,
        max_turn_bytes: int,
        inline_media: InlineMedia = "error",
        redact: Callable[[SessionKey, Turn], Turn] | None = None,
    ) -> None:
        self.opening: Opening = Opening(storage, read_only=read_only)
        self.max_turn_bytes = max_turn_bytes
        self.inline_media: InlineMedia = inline_media
        self.redact = redact
        self.answers: Answers = Answers()
        self.leases: Leases = Leases(self.opening)
        self.tails: Tails = Tails()
        self.remembered: Remembered = Remembered()
        self.is_shared: bool = storage.capabilities.shared
        self.is_remote: bool = storage.capabilities.remote
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self.after_answer: Callable[[SessionKey], Awaitable[None]] | None = None
        """The store's work after a stored answer, if it has a policy."""

    def use(self, key: SessionKey | None = None, *, write: bool = False) -> Use:
        """Return the storage for the time of one verb: `async with desk.use(key) as storage`."""
        return self.opening.use(key, write=write)

    def alone(self, generation: str) -> Lock:
        """Return the lock that allows one consolidation of a session at a time in this process."""
        return self._locks.setdefault(generation, Lock())

    async def read(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest: bool = True,
    ) -> Snapshot:
        """Return a session's record and its turns, as `Storage.read` does."""
        # Like `use`, but without an object: reads and appends are the frequent verbs.
        opening = self.opening
        storage = opening.enter(key, write=False) or await opening.enter_first(key, write=False)
        try:
            found = await storage.read(key, after=after, before=before, limit=limit, newest=newest)
        finally:
            opening.leave()
        if found.info is not None and found.info.origins:
            self.answers.learn(found.info)
        return found

    def tokens(self, turns: list[Turn]) -> list[Turn]:
        """Return the turns with tokens for a retry, if the storage may lose an answer."""
        return self.leases.tokens(turns) if self.is_remote else turns

    async def surely(self, verb: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Repeat a verb, which is safe to repeat, until its answer comes.

        Return the answer, and True if an earlier one was lost: then that call may have had the
        effect already.
        """
        tries = 0
        while True:
            try:
                return await verb(), tries > 0
            except LostAcknowledgementError:
                tries += 1
                if tries == _TRIES:
                    raise

    async def append(
        self,
        key: SessionKey,
        turns: list[Turn],
        *,
        expected: Expected | None = None,
        dedupe: bool = True,
    ) -> Appended | None:
        """Append turns as `Storage.append` does, also after a merge moved what they answer.

        If a consolidation has folded that, they are stored as late answers. An append whose
        acknowledgement is lost is retried under its tokens. Return None if the session is not
        as `expected` for any other reason than a merge.
        """
        if self.redact is not None:
            turns = [self.redact(key, turn) for turn in turns]
        opening = self.opening
        storage = opening.enter(key, write=True) or await opening.enter_first(key, write=True)
        try:
            if self.is_remote:
                turns = self.tokens(turns)
            tries = 0
            while True:
                try:
                    appended = await storage.append(key, turns, expected=expected, dedupe=dedupe)
                except LostAcknowledgementError as error:
                    tries += 1
                    error.token = turns[0].token if turns else None
                    if tries == _TRIES or not all(turn.token for turn in turns):
                        raise
                    continue
                if appended is not None:
                    info = appended.info
                    if info is not None and info.origins:
                        self.answers.learn(info)
                    if info is None or not info.last_consolidated:
                        return appended
                    late = await self._taken_back(storage, info, appended)
                    if late is None:
                        return appended
                    turns, dedupe = late, False
                    # Taking them back has raised the revision.
                    expected = expected and replace(expected, revision=None)
                    continue
                if expected is None:
                    return None
                info = (await storage.read(key, limit=0)).info
                moved = None if info is None else info.moved(expected)
                if info is None or moved is None:
                    return None
                turns = [moved_answer(turn, info.shift(expected.generation)) for turn in turns]
                expected = moved
        finally:
            opening.leave()

    async def _taken_back(
        self, storage: Storage, info: SessionInfo, appended: Appended
    ) -> list[Turn] | None:
        """Delete new answers to a folded question, and return them as late ones to append.

        Return None if there are none, or if they are gone already. This happens if the reply
        began between the consolidation's last look at the open replies and its write, or later.
        """
        new = [turn for turn, is_new in zip(appended.turns, appended.new, strict=True) if is_new]
        if not any(is_folded(info, turn) for turn in new):
            return None
        delete = partial(
            storage.delete, info.key, [turn.id for turn in new], expected=Expected(info.generation)
        )
        gone, lost = await self.surely(delete)
        if not (gone or lost):
            return None
        return [replace(as_late(turn) if is_folded(info, turn) else turn, id=0) for turn in new]

    async def change(
        self,
        key: SessionKey,
        turn: Turn,
        verb: Callable[[Storage, int, Expected], Awaitable[T]],
    ) -> T | None:
        """Apply a verb to a turn in hand, also after its session was renamed or merged.

        `verb` gets the storage, the turn's current id, and the expected state. It returns
        something false if it did nothing. Return None if the turn is gone.
        """
        async with self.use(key, write=True) as storage:
            place, expected = turn.id, Expected(turn.generation, turn=turn.id)
            while True:
                done = await verb(storage, place, expected)
                if done:
                    return done
                info = (await storage.read(key, limit=0)).info
                moved = None if info is None else info.moved(expected)
                if moved is None or moved.turn is None:
                    return None
                place, expected = moved.turn, moved

    async def info(self, key: SessionKey) -> SessionInfo | None:
        """Return a session's current record."""
        return (await self.read(key, limit=0)).info


def moved_answer(turn: Turn, ids: int) -> Turn:
    """Return a turn to store, with the ids of the turns it answers raised by `ids`."""
    answers: Any = None if turn.answers is None else turn.answers + ids
    return replace(turn, answers=answers, also_answers=tuple(a + ids for a in turn.also_answers))
