"""The JSONL storage's verbs about one session.

An append to a session in use gives out ids and stages its lines without waiting for
anything, and then waits for the batch it is in. All else that touches a file (the first
look at a session, an edit, a rename) holds the session's lock and runs on a worker
thread, as `_chats` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import (
    Appended,
    Change,
    Expected,
    SessionInfo,
    Snapshot,
    TurnRef,
)
from ..rules import SingleChanges, applied, is_next
from . import _clock
from ._appender import Batch
from ._chat import Added, Chat, TurnsNeededError
from ._chats import Needs
from ._known import Known, OlderNeededError, needles
from ._lines import of_generation
from ._record_verbs import RecordVerbs, at_hand

__all__ = ["JsonlStorage"]

replace: Final = msgspec.structs.replace

MAX_KEEP_TURNS: Final = 16_384


class _Staged(NamedTuple):
    """An append that is under way: its turns, and the record as it will be; no turns if refused."""

    chat: Chat
    added: Added | None
    info: SessionInfo | None = None
    batch: Batch | None = None
    version: int = 0


class JsonlStorage(SingleChanges, RecordVerbs):
    """One file per session under `folder`, which one process owns while it is open.

    `durability` is "os" (an append survives the process) or "disk" (it survives the
    machine). With `read_only` nothing is locked, made or written, and what another process
    writes is seen. `lock_timeout` is in seconds. A claim survives the process, with either
    durability.
    """

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        *,
        expected: Expected | None = None,
        dedupe: bool = True,
        at: TurnRef | None = None,
    ) -> Appended | None:
        known = False
        for turn in turns:
            if turn.token or (dedupe and turn.source_ids):
                known = True
                break
        while True:
            chat, staged = self._chats.at_hand(key), None
            if chat is not None:
                staged = self._stage_at_hand(turns, expected, known, dedupe, at, chat)
                self._chats.weigh(chat)
            if staged is None:
                staged = await self._stage_in_line(key, turns, expected, known, dedupe, at)
            chat, added, info, batch, version = staged
            if added is None:
                return None
            if batch is not None:
                await self._writer.wait(batch)
                if version in batch.errors and not await self._chats.written(chat, batch, version):
                    continue
                if chat.batch is batch:
                    chat.batch = None
            return Appended(added.turns, added.new, info)

    def _stage_at_hand(
        self,
        turns: Sequence[Turn],
        expected: Expected | None,
        known: bool,
        dedupe: bool,
        at: TurnRef | None,
        chat: Chat,
    ) -> _Staged | None:
        """Stage an append to a session at hand; None if its file has to be looked into."""
        if known and chat.known is None:
            return None
        there = True if expected is None else at_hand(chat, expected)
        if there is None:
            return None
        try:
            return self._stage(chat, turns, {}, there, chat.known if known else None, dedupe, at)
        except (TurnsNeededError, OlderNeededError):
            return None

    async def _stage_in_line(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        expected: Expected | None,
        known: bool,
        dedupe: bool,
        at: TurnRef | None,
    ) -> _Staged:
        """Stage an append to a session that others have, or whose file has to be looked into."""
        self._check_writable(key)
        names = needles(turns, dedupe=dedupe) if known else None
        needs = Needs(known=known and not names, settled=known, write=True)
        quick = partial(self._stage_at_hand, turns, expected, known, dedupe, at)

        async def stage(chat: Chat) -> _Staged | None:
            there = at_hand(chat, expected)
            if names and chat.known is None and there:
                if await self._chats.lacks(chat, names):
                    return self._stage(chat, turns, {}, there, Known(), dedupe, at)
                await self._chats.learn(chat)  # now: those in line must not come before this one
            return quick(chat)

        async def stage_settled(chat: Chat) -> _Staged:
            there = await self._chats.is_expected(chat, expected)
            older: dict[int, Turn] = {}
            by = chat.known if known else None
            while True:
                try:
                    return self._stage(chat, turns, older, there, by, dedupe, at)
                except OlderNeededError as error:
                    found = await self._chats.older(chat, error.before, len(turns))
                    older |= {turn.id: turn for turn in found}
                    assert by is not None
                    by = by.with_older(found)
                except TurnsNeededError as error:
                    found = await self._chats.pick(chat, error.ids)
                    older |= {turn.id: turn for turn in found}
                    # What damage hides can't be given back: it is not known.
                    assert by is not None
                    by.discard({*error.ids}.difference(older))

        staged = await self._chats.with_file(key, stage, needs, quick)
        if staged is not None:
            return staged
        needs = Needs(known=known, settled=True, write=True, anew=True)
        return await self._chats.with_file(key, stage_settled, needs)

    def _stage(
        self,
        chat: Chat,
        turns: Sequence[Turn],
        older: Mapping[int, Turn],
        there: bool,
        known: Known | None,
        dedupe: bool,
        at: TurnRef | None,
    ) -> _Staged:
        """Give the turns their ids and stage their lines, without an await.

        `known` tells duplicates. `there` is whether the session is as expected. If it is not, the
        turns are given back where all of them are known by their token; else nothing is added.
        `at` is the name of the first.
        """
        places = None
        if known is not None:
            places = known.places(turns, dedupe=dedupe)
            if not any(places):
                places = None
            elif 0 in places:
                known.check_begun(turns, places)
        if not there and (
            known is None
            or places is None
            or 0 in places
            or not any(map(known.by_token, turns, places))
        ):
            return _Staged(chat, None)
        all_known = not turns or (places is not None and 0 not in places)
        if not (at is None or all_known or (places is None and is_next(chat.info, at))):
            return _Staged(chat, None)
        size = chat.size
        try:
            added = chat.add(turns, places, older, at, known)
            if added.lines:
                chat.batch = self._writer.stage(chat, size, added.lines)
        except TurnsNeededError:
            raise
        except BaseException:  # Ctrl-C, anywhere: what is in memory may not be in the batch
            self._chats.drop(chat)
            raise
        return _Staged(chat, added, chat.info, chat.batch, chat.version)

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
            there = chat.select(after, before, limit, newest=newest)
            if there is not None:
                return there
        from_end = newest and before is None and limit is not None and limit <= MAX_KEEP_TURNS

        def at_hand(chat: Chat) -> Snapshot | None:
            return chat.select(after, before, limit, newest=newest)

        async def select(chat: Chat) -> Snapshot:
            return await self._chats.read(chat, after, before, limit, newest=newest)

        needs = Needs(turns=(limit or 0) if from_end else 0, settled=True)
        return await self._chats.with_file(key, select, needs, at_hand)

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        async def look(chat: Chat) -> Turn | None:
            found = [turn for turn in chat.turns if source_id in turn.source_ids]
            if found or chat.complete:
                return found[-1] if found else None
            where = f"session {chat.key}"
            turn = await self._workers.run(where, self._folder.find, chat.place, source_id)
            if turn is None or chat.info is None:
                return None
            return of_generation(turn, chat.info.generation)

        return await self._chats.with_file(key, look, Needs(settled=True))

    async def change(
        self,
        key: SessionKey,
        changes: Mapping[int, Change | None],
        *,
        expected: Expected | None = None,
    ) -> list[Turn]:
        self._check_writable(key)

        async def apply(chat: Chat) -> list[Turn]:
            if not await self._chats.is_expected(chat, expected):
                return []
            before = await self._chats.pick(chat, [*changes])
            there, differing = applied(before, changes)
            if differing:
                await self._rewrite(chat, before, differing)
            return there

        return await self._chats.with_file(key, apply, Needs(settled=True, write=True))

    async def _rewrite(
        self, chat: Chat, there: Sequence[Turn], changes: Mapping[int, Turn | None]
    ) -> None:
        assert chat.info is not None
        gone = sum(1 for turn in changes.values() if turn is None)
        epoch = chat.info.epoch
        older = sum(changes.get(one.id, one) is None for one in there if one.epoch < epoch)
        earlier = max(0, chat.earlier - older)
        info = replace(
            chat.info,
            turns=chat.info.turns - gone,
            revision=chat.info.revision + 1,
            updated_at=_clock.now(),
        )
        where, size = f"session {chat.key}", None
        op = "delete" if gone else "edit"
        rewriting = self._folder.rewrite, chat.place, changes, info, earlier, op
        try:
            size = await self._workers.run(where, *rewriting)
        finally:
            if size is None:
                self._chats.drop(chat)
        if size is not None:
            chat.edited(there, changes, info, earlier)
            self._chats.resized(chat, size)
