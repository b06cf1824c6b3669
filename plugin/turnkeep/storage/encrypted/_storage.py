"""The verbs of a storage, around those of another one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Literal
from weakref import WeakValueDictionary

from anyio import Lock
from msgspec import UNSET
from msgspec.structs import replace

from ..._errors import UnsupportedError
from ..._records.identity import Expected, TurnRef
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import (
    Appended,
    Capabilities,
    Change,
    Claim,
    Found,
    Hit,
    Page,
    SessionInfo,
    Snapshot,
    Storage,
)
from ..rules import SingleChanges, applied, is_expected, merge_metadata
from ._appending import Places, append
from ._names import Names
from ._ring import KeyRing
from ._seals import Seals

__all__ = ["EncryptedStorage"]

_MANY_ORIGINS = 32
"""A record remembers so many merged generations twice; see `identity.MAX_ORIGINS`."""

_PAGE = 200


def _place_of_claim(claim: Claim) -> tuple[datetime, str, str]:
    return claim.expires_at, claim.key.text, claim.name


class EncryptedStorage(SingleChanges):
    """Keeps sessions in another storage, and seals what people wrote with AES-256-GCM.

    Each turn is bound to its session's generation and its id, so nobody can put it into another
    place. Opening raises `StorageError` if the place was written with a key that the ring does
    not have, or without encryption.
    """

    def __init__(self, inner: Storage, keys: KeyRing) -> None:
        self._inner = inner
        self._seals = Seals(keys, repr(inner))
        self._names = Names(inner, self._seals)
        self._places = Places()
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._targets: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"EncryptedStorage({self._inner!r})"

    @property
    def capabilities(self) -> Capabilities:
        return replace(self._inner.capabilities, search=False)

    async def open(self) -> None:
        await self._inner.open()
        self._names.forget()
        self._places.clear()
        try:
            for info in (await self._inner.sessions(limit=1)).sessions:
                await self._seals.check_end(self._inner, info.key)
        except BaseException:
            await self._inner.aclose()
            raise

    async def aclose(self) -> None:
        await self._inner.aclose()

    @asynccontextmanager
    async def _in_line(self, *keys: SessionKey) -> AsyncGenerator[None]:
        """Keep the order of the calls: a change looks first, and others of its session wait."""
        names = sorted({self._targets.get(key.text, key.text) for key in keys})
        locks = [self._locks.setdefault(name, Lock(fast_acquire=True)) for name in names]
        async with AsyncExitStack() as stack:
            for lock in locks:
                await stack.enter_async_context(lock)
            yield

    async def _info(self, key: SessionKey) -> SessionInfo | None:
        """Return a record as it is stored."""
        info = (await self._inner.read(key, limit=0)).info
        if info is not None and info.key != key:
            self._targets[key.text] = info.key.text
        return info

    # One session.

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        *,
        expected: Expected | None = None,
        dedupe: bool = True,
        at: TurnRef | None = None,
    ) -> Appended | None:
        async with self._in_line(key):
            return await append(
                self._inner,
                self._seals,
                self._places,
                key,
                turns,
                expected=expected,
                dedupe=dedupe,
                at=at,
            )

    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        seals = self._seals
        sealed = [seals.turn(turn, TurnRef(info.generation, turn.id)) for turn in turns]
        async with self._in_line(info.key):
            return await self._inner.restore(seals.record(info), sealed)

    async def read(
        self,
        key: SessionKey,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest: bool = True,
    ) -> Snapshot:
        found = await self._inner.read(key, after=after, before=before, limit=limit, newest=newest)
        if found.info is None:
            return found
        if found.info.key != key:
            self._targets[key.text] = found.info.key.text
        turns = self._seals.all_opened(found.info, found.turns)
        return Snapshot(self._seals.info(found.info), turns, found.complete)

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        names = self._seals.ring.names("source", source_id)
        found = [await self._inner.find(key, name) for name in names]
        latest = max((turn for turn in found if turn), key=lambda turn: turn.id, default=None)
        return None if latest is None else await self._opened(key, latest)

    async def find_all(
        self, source_ids: Sequence[str], *, prefix: str = "", since: datetime | None = None
    ) -> Found:
        names = [name for one in source_ids for name in self._seals.ring.names("source", one)]
        found = await self._inner.find_all(names, prefix=prefix, since=since)
        opened = [(key, await self._opened(key, turn)) for key, turn in found.turns]
        return Found([(key, turn) for key, turn in opened if turn is not None], found.unread)

    async def _opened(self, key: SessionKey, turn: Turn) -> Turn | None:
        """Return a turn that came without its session's record, which tells of merges."""
        bare = SessionInfo(
            key=key, created_at=turn.time, updated_at=turn.time, generation=turn.generation
        )
        if self._seals.is_of_another_life(turn):
            bare = await self._info(key) or bare
        return self._seals.opened(bare, turn)

    async def change(
        self,
        key: SessionKey,
        changes: Mapping[int, Change | None],
        *,
        expected: Expected | None = None,
    ) -> list[Turn]:
        async with self._in_line(key):
            while True:
                info = await self._info(key)
                if info is None or not is_expected(info, expected):
                    return []
                anchor = expected.turn if expected else None
                if anchor is not None and not await self._pick(key, [anchor]):
                    return []
                turns = self._seals.all_opened(info, await self._pick(key, changes))
                there, differing = applied(turns, changes)
                sealed = {
                    turn_id: None if after is None else self._change(after, info)
                    for turn_id, after in differing.items()
                }
                # Of turns that are gone an earlier call may have left bytes to wait for.
                sealed |= {
                    turn_id: None
                    for turn_id, change in changes.items()
                    if change is None and turn_id not in differing
                }
                seen = Expected(
                    info.generation,
                    expected.epoch if expected else None,
                    info.revision,
                    anchor,
                )
                if not sealed:
                    return there
                if await self._inner.change(key, sealed, expected=seen) or not differing:
                    return there

    def _change(self, after: Turn, info: SessionInfo) -> Change:
        sealed = self._seals.turn(after, TurnRef(info.generation, after.id))
        return Change(
            content=sealed.content,
            link=sealed.source_ids,
            hidden=after.hidden,
            variant=after.variant,
            answers=UNSET if after.answers is None else after.answers,
        )

    async def _pick(self, key: SessionKey, ids: Sequence[int] | Mapping[int, object]) -> list[Turn]:
        """Return stored turns by their ids, ascending."""
        found: list[Turn] = []
        wanted = sorted(one for one in ids if one > 0)
        while wanted:
            first = wanted[0]
            last = max(one for one in wanted if one < first + _PAGE)
            page = await self._inner.read(key, after=first - 1, before=last + 1)
            some = {one for one in wanted if one <= last}
            found += [turn for turn in page.turns if turn.id in some]
            wanted = [one for one in wanted if one > last]
        return found

    async def clear(
        self, key: SessionKey, *, erase: bool = False, expected: Expected | None = None
    ) -> bool:
        async with self._in_line(key):
            return await self._inner.clear(key, erase=erase, expected=expected)

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, expected: Expected
    ) -> bool:
        sealed = self._seals.summary(summary, expected.generation)
        async with self._in_line(key):
            return await self._inner.consolidate(key, last_consolidated, sealed, expected=expected)

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        async with self._in_line(key):
            return await self._update_metadata(key, changes)

    async def _update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        while True:
            info = await self._info(key)
            present = {} if info is None else self._seals.info(info).metadata
            merge_metadata(key, present, changes)
            if info is None:
                await self._inner.update_metadata(key, {})
                info = await self._info(key)
                if info is None:
                    continue
            sealed = self._seals.metadata(changes, info.generation)
            metadata = await self._inner.update_metadata(key, sealed)
            now = await self._info(key) if self.capabilities.shared else info
            if now is not None and now.generation == info.generation:
                return self._seals.info(replace(info, metadata=dict(metadata))).metadata

    # Several sessions.

    async def sessions(
        self,
        *,
        prefix: str = "",
        limit: int | None = None,
        after: SessionInfo | None = None,
        order: Literal["written", "key"] = "written",
        metadata: bool = True,
    ) -> Page:
        page = await self._inner.sessions(
            prefix=prefix, limit=limit, after=after, order=order, metadata=metadata
        )
        return Page([self._seals.info(info) for info in page.sessions], page.complete)

    async def aliases(self, *, prefix: str = "") -> dict[SessionKey, SessionKey]:
        return await self._inner.aliases(prefix=prefix)

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        async with self._in_line(old, new):
            before = [await self._info(key) for key in (old, new)]
            await self._inner.rename(old, new)
            self._targets.clear()
            info = await self._info(new)
            if info is None:
                return
            # A session without turns leaves its metadata, and no trace of its generation.
            lives = {info.generation, *(one.generation for one in info.origins)}
            lost = [one for one in before if one is not None and one.generation not in lives]
            for one in lost:
                metadata = self._seals.info(one).metadata
                kept = self._seals.info(info).metadata
                await self._update_metadata(new, {**metadata, **kept})
        if len(info.origins) >= _MANY_ORIGINS:
            await self.reseal(new)

    async def unlink(self, alias: SessionKey) -> bool:
        async with self._in_line(alias):
            self._targets.clear()
            return await self._inner.unlink(alias)

    async def forget(self, key: SessionKey) -> bool:
        async with self._in_line(key):
            self._targets.clear()
            return await self._inner.forget(key)

    async def search(self, text: str, **_selection: Any) -> list[Hit]:
        raise UnsupportedError(
            f"{self!r} can't search for {text[:40]!r}: what is encrypted has no index of words; "
            "look through `turns()`"
        )

    async def files(self) -> list[str]:
        return await self._inner.files()

    # Claims.

    async def claim(
        self,
        key: SessionKey,
        name: str,
        *,
        owner: str,
        ttl: float,
        payload: Mapping[str, Any] | None = None,
    ) -> Claim | None:
        sealed, hidden = self._seals.payload(name, payload), await self._names.hidden(name)
        claim = await self._inner.claim(key, hidden, owner=owner, ttl=ttl, payload=sealed)
        return None if claim is None else self._seals.claim(name, claim)

    async def renew(
        self, claim: Claim, *, ttl: float, payload: Mapping[str, Any] | None = None
    ) -> bool:
        sealed = self._seals.payload(claim.name, payload)
        hidden = await self._names.hidden(claim.name)
        renewed = replace(claim, name=hidden, payload={})
        return await self._inner.renew(renewed, ttl=ttl, payload=sealed)

    async def release(self, claim: Claim) -> bool:
        hidden = await self._names.hidden(claim.name)
        return await self._inner.release(replace(claim, name=hidden, payload={}))

    async def claims(
        self, *, key: SessionKey | None = None, prefix: str = "", expired: bool | None = None
    ) -> list[Claim]:
        found = await self._inner.claims(key=key, prefix=prefix, expired=expired)
        shown = [self._seals.claim(*one) for one in await self._names.shown(found)]
        return sorted(shown, key=_place_of_claim)  # not by hidden names

    # Rotation.

    async def reseal(self, key: SessionKey) -> int:
        """Seal all of a session with the current key, and return how many turns had another.

        Others may write meanwhile. It changes a page of turns in one step, and the record in
        another.
        """
        count = after = 0
        while True:
            async with self._in_line(key):
                await self._reseal_record(key)
                page = await self._inner.read(key, after=after, limit=_PAGE, newest=False)
            info = page.info
            if info is None:
                return count
            changes = {
                turn.id: self._change(turn, info)
                for turn in self._seals.stale_turns(info, page.turns)
            }
            if changes:
                expected = Expected(info.generation, None, info.revision)
                if not await self._inner.change(key, changes, expected=expected):
                    continue  # somebody changed it meanwhile
                count += len(changes)
            if page.complete:
                return count
            after = page.turns[-1].id

    async def _reseal_record(self, key: SessionKey) -> None:
        info = await self._info(key)
        if info is not None and self._seals.stale_metadata(info):
            await self._update_metadata(key, self._seals.info(info).metadata)
        while True:
            info = await self._info(key)
            if info is None or not self._seals.stale(info):
                return
            summary = self._seals.info(info).summary
            if summary is None:
                return
            record = replace(info, summary=self._seals.summary(summary, info.generation))
            if await self._inner.restore(record, []):
                return

    async def reseal_claims(self) -> None:
        """Seal the payloads of all claims with the current key; their expiry stays."""
        for name, claim in await self._names.stored():
            if self._seals.is_old(claim):
                left = (claim.expires_at - datetime.now(claim.expires_at.tzinfo)).total_seconds()
                payload = self._seals.payload(name, self._seals.opened_payload(name, claim))
                take = partial(self._inner.claim, claim.key, claim.name, owner=claim.owner)
                await take(ttl=max(0.0, left), payload=payload)
