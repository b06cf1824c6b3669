"""The run over all sessions: look, archive, erase."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from functools import partial
from typing import Final, NamedTuple

from anyio import CancelScope
from anyio.lowlevel import checkpoint

from .._errors import PartlyDoneError, StorageError
from .._records.identity import Expected, TurnRef
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from .._session.desk import Desk
from .._session.leases import ANSWER
from .._session.reading import PAGE_TURNS, Sessions, Turns
from .._store import SessionStore
from ..storage.base import Storage
from ._archive import archive_turns, record_turn
from ._exchanges import Exchange, Exchanges
from ._policy import RetentionPolicy, RetentionReport

__all__ = ["apply_retention"]

_LEASE: Final = "retention"
_TRIES: Final = 10


async def apply_retention(
    store: SessionStore,
    policy: RetentionPolicy,
    *,
    dry_run: bool = True,
    archive: SessionStore | None = None,
) -> RetentionReport:
    """Erase for good what the policy does not keep, in every session with its prefix.

    A dry run, the default, changes nothing and returns the same report. With `archive`, another
    store such as `SessionStore("./archive")`, the turns of a session are copied there under the
    same key and read back before they are erased. A crash in between loses nothing, and the next
    run does not store the copies again.

    Only whole exchanges go: a question with its answers, calls and results. An exchange stays if
    it has a question with an open reply, of any process, and against `max_turns` also if an
    answer is still owed. A session that another process applies a policy to is left to it. A
    session that can't be read, archived or written keeps its turns, and does not stop the
    others: at the end `PartlyDoneError` names it, and has the report.

    Raises `ValueError` if the archive is the place of the sessions themselves, or has a `redact`.
    """
    if archive is not None and not isinstance(archive, SessionStore):
        raise ValueError(f"archive is a store: write SessionStore({archive!r:.80})")
    run = _Run(store.desk, policy, dry_run, None if archive is None else archive.desk)
    if run.archive is run.desk:
        raise ValueError("the archive is the store itself: name another place")
    if run.archive is not None and run.archive.redact is not None:
        raise ValueError("an archive keeps turns as they are: make its store without redact")
    failed: dict[SessionKey, StorageError | None] = {}
    async for info in Sessions(run.desk, policy.prefix):
        try:
            await run.session(info.key)
        except StorageError as error:
            failed[info.key] = error
        await checkpoint()
    # The list leaves out sessions whose record can't be read.
    async with run.desk.use() as storage:
        found = await storage.find_all([_LEASE], prefix=policy.prefix)
    failed |= {key: None for key in found.unread if key not in failed}
    if failed:
        causes = filter(None, failed.values())
        raise PartlyDoneError("apply_retention", [*failed], run.report) from next(causes, None)
    return run.report


class _Seen(NamedTuple):
    """A session at one moment: its record, what goes of it, and whether the record goes too."""

    info: SessionInfo
    turns: list[Turn]
    is_idle: bool


class _Run:
    """One run of a policy over a store."""

    def __init__(
        self, desk: Desk, policy: RetentionPolicy, dry_run: bool, archive: Desk | None
    ) -> None:
        self.desk = desk
        self.archive = archive
        self.report = RetentionReport()
        self._policy = policy
        self._dry_run = dry_run
        self._now = datetime.now(timezone.utc)

    async def session(self, key: SessionKey) -> None:
        """Apply the policy to one session."""
        seen = await self._look(key)
        if seen is None or not (seen.turns or seen.is_idle):
            return
        if self._dry_run:
            self._note(seen)
            return
        async with _alone(self.desk, seen.info) as is_alone:
            tries = 0
            while is_alone and not await self._erase(key):
                tries += 1
                if tries == _TRIES:
                    raise StorageError(f"session {key}: it changes all the time; call it again")

    def _note(self, seen: _Seen) -> None:
        info, report = seen.info, self.report
        if seen.turns:
            report.turns[info.key.text] = len(seen.turns)
        if seen.is_idle:
            report.forgotten.append(info.key.text)
        elif info.summary and any(turn.id <= info.last_consolidated for turn in seen.turns):
            report.summaries.append(info.key.text)

    # What goes.

    async def _look(self, key: SessionKey) -> _Seen | None:
        """Return what goes of a session as it is now; None without a session."""
        info = (await self.desk.read(key, limit=0)).info
        if info is None:
            return None
        policy, exchanges, newest = self._policy, Exchanges(), None
        if not (policy.max_age or policy.idle or info.turns > (policy.max_turns or 0)):
            return _Seen(info, [], is_idle=False)
        count = 0
        async for turn in Turns(self.desk, key, "all", 0):
            if turn.generation != info.generation:
                return await self._look(key)  # merged meanwhile
            exchanges.add(turn)
            newest = turn.time if newest is None else max(newest, turn.time)
            count += 1
            if count % PAGE_TURNS == 0:
                await checkpoint()
        opened, owed = await self._in_hand(info)
        whole, idle = exchanges.whole(), policy.idle
        is_idle = idle is not None and self._now - (newest or info.updated_at) > idle
        is_idle = is_idle and not opened
        going = whole if is_idle else self._going(whole, opened, owed)
        turns = sorted((turn for one in going for turn in one.turns), key=lambda turn: turn.id)
        return _Seen(info, turns, is_idle)

    def _going(
        self, exchanges: Sequence[Exchange], opened: set[int], owed: set[int]
    ) -> Iterator[Exchange]:
        """Return the exchanges that go."""
        policy, left = self._policy, self._policy.max_turns
        for place in range(len(exchanges) - 1, -1, -1):
            exchange = exchanges[place]
            ids = {turn.id for turn in exchange.turns}
            is_old = policy.max_age is not None and self._now - exchange.newest > policy.max_age
            if is_old and not ids & opened:
                yield exchange
                continue
            if left is not None:
                is_latest = place == len(exchanges) - 1
                left -= len(ids)
                if left < 0 and not is_latest and not ids & (opened | owed):
                    yield exchange

    async def _in_hand(self, info: SessionInfo) -> tuple[set[int], set[int]]:
        """Return the ids of messages with an open reply, and of those that are owed an answer."""
        opened, owed = self.desk.answers.open_places(info), set[int]()
        async with self.desk.use(info.key) as storage:
            for claims, ids in (
                (await storage.claims(key=info.key, expired=False), opened),
                (await storage.claims(key=info.key, expired=True), owed),
            ):
                for claim in claims:
                    payload = claim.payload
                    if claim.name.startswith(ANSWER) and "generation" in payload:
                        place = info.place(TurnRef(payload["generation"], payload["id"]))
                        ids |= {place} if place is not None else set()
        return opened, owed

    # How it goes.

    async def _erase(self, key: SessionKey) -> bool:
        """Archive and erase what goes of a session; return False if it was changed meanwhile."""
        seen = await self._look(key)
        if seen is None or not (seen.turns or seen.is_idle):
            return True
        info, desk = seen.info, self.desk
        if self.archive is not None:
            if seen.is_idle and info.damaged:
                raise StorageError(
                    f"session {info.key}: {info.damaged} damaged places can't be archived, so the "
                    "idle session is not forgotten; mend or forget it"
                )
            copied = [*seen.turns, record_turn(info)] if seen.is_idle else seen.turns
            await archive_turns(self.archive, info, copied)
        ids = {turn.id for turn in seen.turns}
        opened, _ = await self._in_hand(info)
        async with desk.use(info.key, write=True) as storage:
            now, came, _ = await storage.read(info.key, after=info.last_id)
            if now is None or (now.generation, now.revision) != (info.generation, info.revision):
                return False
            # An answer that came meanwhile must not stay without its question.
            is_needed = any(turn.answers_one_of(ids) for turn in came) or bool(ids & opened)
            if is_needed or (seen.is_idle and (came or opened)):
                return False
            if seen.is_idle:
                await storage.forget(info.key)
                desk.tails.forget(info.generation)
            else:
                expected = Expected(info.generation, revision=info.revision)
                delete = partial(storage.delete, info.key, sorted(ids), expected=expected)
                gone, lost = await desk.surely(delete)
                # The call with a lost answer may have deleted them.
                if not gone and not (lost and await _is_gone(storage, info, min(ids))):
                    return False
        self._note(seen)
        return True


async def _is_gone(storage: Storage, info: SessionInfo, id: int) -> bool:
    now, turns, _ = await storage.read(info.key, after=id - 1, before=id + 1)
    return now is not None and now.generation == info.generation and not turns


@asynccontextmanager
async def _alone(desk: Desk, info: SessionInfo) -> AsyncGenerator[bool, None]:
    """Keep other runs and consolidations away; give False if another process runs it here."""
    async with desk.alone(info.generation):
        if not desk.is_shared:
            yield True
            return
        lease = await desk.leases.take(info.key, _LEASE, mark=info.generation)
        try:
            yield lease is not None
        finally:
            if lease is not None:
                with CancelScope(shield=True):
                    await desk.leases.drop(lease)
