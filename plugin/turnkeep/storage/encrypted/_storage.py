"""The verbs of a storage, around those of another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from anyio import CancelScope
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
from ..rules import SingleChanges, by_expiry
from ._appending import Places, append
from ._changing import change, update_metadata
from ._names import Names
from ._resealing import reseal, reseal_claims
from ._ring import KeyRing
from ._seals import Seals
from ._vault import Vault

__all__ = ["EncryptedStorage"]

_MANY_ORIGINS = 32
"""A record remembers so many merged generations twice; see `identity.MAX_ORIGINS`."""


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
        self._vault = Vault(inner, self._seals)

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
        except BaseException:  # cancelled, too: nobody closes what did not open
            with CancelScope(shield=True):
                await self._inner.aclose()
            raise

    async def aclose(self) -> None:
        await self._inner.aclose()

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
        async with self._vault.in_line(key):
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
        async with self._vault.in_line(info.key):
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
        self._vault.learn(key, found.info)
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
            bare = await self._vault.info(key) or bare
        return self._seals.opened(bare, turn)

    async def change(
        self,
        key: SessionKey,
        changes: Mapping[int, Change | None],
        *,
        expected: Expected | None = None,
    ) -> list[Turn]:
        async with self._vault.in_line(key):
            return await change(self._vault, key, changes, expected=expected)

    async def clear(
        self, key: SessionKey, *, erase: bool = False, expected: Expected | None = None
    ) -> bool:
        async with self._vault.in_line(key):
            return await self._inner.clear(key, erase=erase, expected=expected)

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, *, expected: Expected
    ) -> bool:
        sealed = self._seals.summary(summary, expected.generation)
        async with self._vault.in_line(key):
            return await self._inner.consolidate(key, last_consolidated, sealed, expected=expected)

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        async with self._vault.in_line(key):
            return await update_metadata(self._vault, key, changes)

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
        async with self._vault.in_line(old, new):
            before = [await self._vault.info(key) for key in (old, new)]
            await self._inner.rename(old, new)
            self._vault.forget_aliases()
            info = await self._vault.info(new)
            if info is None:
                return
            # A session without turns leaves its metadata, and no trace of its generation.
            lives = {info.generation, *(one.generation for one in info.origins)}
            lost = [one for one in before if one is not None and one.generation not in lives]
            for one in lost:
                metadata = self._seals.info(one).metadata
                kept = self._seals.info(info).metadata
                await update_metadata(self._vault, new, {**metadata, **kept})
        if len(info.origins) >= _MANY_ORIGINS:
            await self.reseal(new)

    async def unlink(self, alias: SessionKey) -> bool:
        async with self._vault.in_line(alias):
            self._vault.forget_aliases()
            return await self._inner.unlink(alias)

    async def forget(self, key: SessionKey) -> bool:
        async with self._vault.in_line(key):
            self._vault.forget_aliases()
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
        return by_expiry(shown)  # not by hidden names

    # Rotation.

    async def reseal(self, key: SessionKey) -> int:
        """Seal all of a session with the current key, and return how many turns had another.

        Others may write meanwhile. It changes a page of turns in one step, and the record in
        another.
        """
        return await reseal(self._vault, key)

    async def reseal_claims(self) -> None:
        """Seal the payloads of all claims with the current key; their expiry stays."""
        await reseal_claims(self._vault, self._names)
