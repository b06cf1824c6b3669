"""The verbs about claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from ..._records.key import SessionKey
from ..base import Claim
from ._opened import OpenedFolder

T = TypeVar("T")


class ClaimVerbs(OpenedFolder):
    """Claims of sessions, by their resolved keys."""

    async def claim(
        self,
        key: SessionKey,
        name: str,
        *,
        owner: str,
        ttl: float,
        payload: Mapping[str, Any] | None = None,
    ) -> Claim | None:
        self._check_writable(key)
        take = partial(self._claims.claim, name=name, owner=owner, ttl=ttl, payload=payload)
        taken = await self._in_session(key, take)
        if taken is None:
            return None
        await self._claims.stored(key, taken[1])
        return taken[0]

    async def renew(
        self, claim: Claim, *, ttl: float, payload: Mapping[str, Any] | None = None
    ) -> bool:
        self._check_writable(claim.key)
        renew = partial(self._claims.renew, claim=claim, ttl=ttl, payload=payload)
        batch = await self._in_session(claim.key, renew)
        await self._claims.stored(claim.key, batch)
        return batch is not None

    async def release(self, claim: Claim) -> bool:
        self._check_writable(claim.key)
        end = partial(self._claims.release, claim=claim)
        batch = await self._in_session(claim.key, end)
        await self._claims.stored(claim.key, batch)
        return batch is not None

    async def claims(
        self, *, key: SessionKey | None = None, prefix: str = "", expired: bool | None = None
    ) -> list[Claim]:
        if key is not None:
            return await self._in_session(
                key, lambda key: self._claims.listed(prefix, key, expired)
            )
        await self._refresh_claims()
        return self._claims.listed(prefix, None, expired)

    def _key_at_hand(self, key: SessionKey) -> SessionKey | None:
        """Return the resolved key; None if the session or the claims have to be read first."""
        chat = None if self._claims.void else self._chats.at_hand(key)
        return None if chat is None else chat.key

    async def _in_session(self, key: SessionKey, function: Callable[[SessionKey], T]) -> T:
        """Call the function with the resolved key, which stays the session's meanwhile."""
        if (there := self._key_at_hand(key)) is not None:
            return function(there)
        async with self._chats.session(key) as chat:
            await self._refresh_claims()
            return function(chat.key)

    async def _refresh_claims(self) -> None:
        await self._claims.refresh(self._folder.resolve, read_only=self._folder.read_only)
