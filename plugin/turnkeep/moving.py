"""Copy sessions from one storage to another: `copy_sessions`, or `python -m turnkeep copy`."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import Final, NamedTuple

import msgspec
from msgspec import structs

from ._errors import CopyError, StorageError
from ._records.info import SessionInfo
from ._records.key import SessionKey
from ._session.desk import Desk
from ._session.reading import Sessions
from ._store import SessionStore
from .storage.base import Claim

__all__ = ["CopyProgress", "CopyReport", "copy_sessions"]

_PAGE: Final = 200
_TRIES: Final = 5

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class CopyProgress(NamedTuple):
    """A step of a copy: a part of a session is stored, or the session is verified.

    `key` is the text of the session's key, `turns` how many of its turns this run has stored so
    far, and `verified` True if both sides have the same digest.
    """

    key: str
    turns: int
    verified: bool


@dataclass(slots=True)
class CopyReport:
    """The result of a copy.

    - `digests`: for each verified session, by the text of its key, the SHA-256 of its record and
      turns. It is the same on both sides.
    - `turns`: how many turns this run stored, by the text of the session's key. Sessions that
      were there already are left out.
    - `aliases` and `claims`: how many of them this run stored.
    """

    digests: dict[str, str] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    aliases: int = 0
    claims: int = 0


async def copy_sessions(
    source: SessionStore,
    target: SessionStore,
    *,
    prefix: str = "",
    replace: bool = False,
    progress: Callable[[CopyProgress], object] | None = None,
) -> CopyReport:
    """Copy all sessions whose key begins with `prefix` into another store, as they are.

    Turns keep their ids, times, epochs and tokens, and sessions their generation, times,
    metadata, summary, aliases, and leases. Nothing is changed in the source, and `redact` of
    the target is not asked. At the end of each session both sides are read, and their digests
    compared. The target is opened, and made, once the source was read.

    A copy that broke goes on where it ended, and a second run stores nothing twice: it adds what
    was appended to the source since. A session that was changed otherwise since, on either side,
    is left as it is in the target, or with `replace` copied from its beginning. A session that
    can't be copied does not stop the others: at the end `CopyError` names it with the reason.

    `progress` is called with each step. The source may be in use; open a JSONL folder that a bot
    owns with `read_only=True`. Raises `ValueError` if both are the same store.
    """
    if source.desk is target.desk:
        raise ValueError("the target is the source itself: name another place")
    run = _Run(source.desk, target.desk, prefix, replace, progress or (lambda _: None))
    async with source:
        aliases = await run.look()
        async with target:
            await run.copy(aliases)
    if run.failed:
        raise CopyError(run.failed, run.report) from next(iter(run.causes), None)
    return run.report


class _DiffersError(Exception):
    """A session can't be copied, or the copy is not like it; the text is the reason."""


class _Run:
    """One copy."""

    def __init__(
        self,
        source: Desk,
        target: Desk,
        prefix: str,
        replace: bool,
        progress: Callable[[CopyProgress], object],
    ) -> None:
        self._source = source
        self._target = target
        self._prefix = prefix
        self._replace = replace
        self._progress = progress
        self.report = CopyReport()
        self.failed: dict[str, str] = {}
        self.causes: list[StorageError] = []

    async def look(self) -> dict[SessionKey, SessionKey]:
        """Return the source's aliases; raise if the source can't be read at all.

        So nothing is made in the target where there is no source.
        """
        async with self._source.use() as storage:
            return await storage.aliases()

    async def copy(self, aliases: dict[SessionKey, SessionKey]) -> None:
        await self._copy_aliases(aliases)
        there_before: set[SessionKey] = set()
        async for info in Sessions(self._source, self._prefix):
            try:
                if not await self._copy_session(info.key):
                    there_before.add(info.key)
            except _DiffersError as error:
                self.failed[info.key.text] = str(error)
            except StorageError as error:
                self.failed[info.key.text] = str(error)
                self.causes.append(error)
        # The list leaves out sessions whose record can't be read.
        async with self._source.use() as storage:
            found = await storage.find_all([secrets.token_hex(8)], prefix=self._prefix)
            claims = await storage.claims(prefix=self._prefix)
        for key in found.unread:
            self.failed.setdefault(key.text, "it can't be read in the source")
        for claim in claims:
            if claim.key not in there_before and claim.key.text not in self.failed:
                await self._copy_claim(claim)

    # A session.

    async def _copy_session(self, key: SessionKey) -> bool:
        """Copy a session, and verify it; return False if the target had all of it before."""
        stored = False
        is_new = self._replace
        for _ in range(_TRIES):
            here = await self._source.info(key)
            if here is None:
                return stored  # it was forgotten meanwhile
            there = await self._target.info(key)
            is_same = there is not None and there.without_counts() == here.without_counts()
            if there is None or not is_same or there.damaged:
                stored = await self._copy_turns(here, there) or stored
            copy = await _digest(self._target, key)
            original = await _digest(self._source, key)
            if copy.text == original.text:
                self.report.digests[key.text] = original.text
                self._progress(CopyProgress(key.text, self.report.turns.get(key.text, 0), True))
                return stored
            if original.info != here:
                continue  # somebody wrote to it meanwhile
            if not is_new:
                raise _DiffersError(
                    "it was changed since a part of it was copied: copy it with replace=True"
                )
            is_new = False
            await self._forget(key)
        raise _DiffersError("it is written to all the time: copy it when the bot has stopped")

    async def _copy_turns(self, here: SessionInfo, there: SessionInfo | None) -> bool:
        """Store the turns that the target does not have, and the record; True if it did."""
        key = here.key
        if there is not None and there.key != key:
            raise _DiffersError(f"the target has an alias there, of {there.key}: unlink it")
        if there is not None and not _is_earlier(there, here):
            if not self._replace:
                raise _DiffersError(
                    "the target has another session there, or one that was written since: forget "
                    "it there, or copy with replace=True"
                )
            await self._forget(key)
            there = None
        after = 0 if there is None else there.last_id
        while True:
            page = await self._source.read(key, after=after, limit=_PAGE, newest=False)
            if page.info is None or page.info.generation != here.generation:
                return True  # the next try sees what there is now
            record = page.info
            if not page.complete:
                record = structs.replace(record, last_id=page.turns[-1].id)
            async with self._target.use(key, write=True) as storage:
                done, _ = await self._target.surely(
                    partial(storage.restore, record, list(page.turns))
                )
            self._target.tails.forget(record.generation)
            if not done:
                raise _DiffersError("the target was written to meanwhile: stop its bot first")
            if page.turns:
                count = self.report.turns.get(key.text, 0) + len(page.turns)
                self.report.turns[key.text] = count
                self._progress(CopyProgress(key.text, count, False))
            if page.complete:
                return True
            after = page.turns[-1].id

    async def _forget(self, key: SessionKey) -> None:
        async with self._target.use(key, write=True) as storage:
            await storage.forget(key)
        self.report.turns.pop(key.text, None)

    # Beside the sessions.

    async def _copy_aliases(self, aliases: dict[SessionKey, SessionKey]) -> None:
        async with self._target.use(write=True) as storage:
            present = await storage.aliases()
        for alias, key in aliases.items():
            if not key.text.startswith(self._prefix) or present.get(alias) == key:
                continue
            if alias in present or await self._target.info(alias) is not None:
                self.failed[alias.text] = (
                    f"it is an alias of {key}, and another one or a session in the target"
                )
            elif key in present:
                self.failed[alias.text] = f"{key}, which it leads to, is an alias in the target"
            else:
                async with self._target.use(alias, write=True) as storage:
                    await self._target.surely(partial(storage.rename, alias, key))
                self.report.aliases += 1

    async def _copy_claim(self, claim: Claim) -> None:
        left = (claim.expires_at - datetime.now(timezone.utc)).total_seconds()
        async with self._target.use(claim.key, write=True) as storage:
            taken = await storage.claim(
                claim.key,
                claim.name,
                owner=claim.owner,
                ttl=max(0.0, left),
                payload=claim.payload,
            )
        self.report.claims += taken is not None


def _is_earlier(there: SessionInfo, here: SessionInfo) -> bool:
    """Return True if a session may be what the other one was before, or a part of it."""
    return (
        there.generation == here.generation
        and there.last_id <= here.last_id
        and there.updated_at <= here.updated_at
    )


class _Digest(NamedTuple):
    text: str
    info: SessionInfo | None


async def _digest(desk: Desk, key: SessionKey) -> _Digest:
    """Return the SHA-256 of a session's turns and its record, without what storages count."""
    digest = hashlib.sha256()
    after = 0
    while True:
        page = await desk.read(key, after=after, limit=_PAGE, newest=False)
        for turn in page.turns:
            digest.update(_encode(turn) + b"\n")
        if page.complete or page.info is None:
            break
        after = page.turns[-1].id
    if page.info is not None:
        digest.update(_encode(structs.replace(page.info.without_counts(), turns=0)))
    return _Digest(digest.hexdigest(), page.info)
