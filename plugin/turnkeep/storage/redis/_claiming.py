"""Leases, by the server's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ..._records.key import SessionKey
from ..base import Claim
from ..rules import bounded, by_expiry
from ._asking import Asking
from ._decode import claim_of, time_of
from ._listing import Listing

__all__ = ["Claiming"]

_encode: Final = msgspec.json.Encoder().encode


class Claiming:
    """The verbs of claims."""

    def __init__(self, asking: Asking, listing: Listing) -> None:
        self._asking = asking
        self._listing = listing

    async def take(
        self,
        key: SessionKey,
        name: str,
        owner: str,
        ttl: float,
        payload: Mapping[str, Any] | None,
    ) -> Claim | None:
        return await self._ask(key, "take", name, owner, ttl, payload)

    async def renew(self, claim: Claim, ttl: float, payload: Mapping[str, Any] | None) -> bool:
        answer = await self._ask(claim.key, "renew", claim.name, claim.owner, ttl, payload)
        return answer is not None

    async def release(self, claim: Claim) -> bool:
        return await self._ask(claim.key, "release", claim.name, claim.owner, 0) is not None

    async def _ask(
        self,
        key: SessionKey,
        verb: str,
        name: str,
        owner: str,
        ttl: float,
        payload: Mapping[str, Any] | None = None,
    ) -> Claim | None:
        given = b"" if payload is None else _encode(payload)
        lasts = str(round(bounded(ttl) * 1_000_000))
        answer = await self._asking.change(key.text, "claim", verb, name, owner, lasts, given)
        _, text, claim = answer
        if claim is None:
            return None
        return claim_of(SessionKey.parse(text.decode()), name.encode(), claim)

    async def listed(
        self, key: SessionKey | None, prefix: str, expired: bool | None
    ) -> list[Claim]:
        """Return claims, the earliest expiry first, compared with the time of their server."""
        found: list[tuple[bytes, bytes, Sequence[bytes]]] = []
        if key is not None:
            _, text, now, claims = await self._asking.read(key.text, "claims_of")
            if text.decode().startswith(prefix):
                found.append((text, now, claims))
        else:
            for _, _, now, sessions in await self._listing.shards("claims_all", prefix):
                for text, mark, claims in sessions:
                    if not await self._listing.has_left(mark):
                        found.append((text, now, claims))
        listed = [
            claim
            for text, now, claims in found
            for name, value in zip(claims[::2], claims[1::2], strict=True)
            for claim in (claim_of(SessionKey.parse(text.decode()), name, value),)
            if expired in (None, claim.expires_at <= time_of(now))
        ]
        return by_expiry(listed)
