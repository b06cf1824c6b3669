"""Leases in a dict. An expired one stays until another owner takes it over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from ..._records.key import SessionKey
from ..base import Claim
from ..rules import by_expiry, lasting_until, renewed, taken


class Claims:
    """The claims of all sessions, by the resolved key and the name."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._claims: dict[tuple[SessionKey, str], Claim] = {}

    def take(
        self,
        key: SessionKey,
        name: str,
        *,
        owner: str,
        ttl: float,
        payload: Mapping[str, Any] | None,
    ) -> Claim | None:
        now = self._clock()
        there = self._claims.get((key, name))
        claim = taken(
            there,
            key,
            name,
            owner=owner,
            payload=None if payload is None else dict(payload),
            now=now,
            expires_at=lasting_until(now, ttl),
        )
        if claim is not None:
            self._claims[key, name] = claim
        return claim

    def renew(
        self, key: SessionKey, claim: Claim, ttl: float, payload: Mapping[str, Any] | None
    ) -> bool:
        there = self._held(key, claim)
        if there is None:
            return False
        expires_at = lasting_until(self._clock(), ttl)
        self._claims[key, claim.name] = renewed(there, expires_at, payload)
        return True

    def release(self, key: SessionKey, claim: Claim) -> bool:
        if self._held(key, claim) is None:
            return False
        del self._claims[key, claim.name]
        return True

    def _held(self, key: SessionKey, claim: Claim) -> Claim | None:
        """Return the stored claim, or None if its owner has lost it."""
        there = self._claims.get((key, claim.name))
        return there if there and there.owner == claim.owner else None

    def listed(self, key: SessionKey | None, prefix: str, expired: bool | None) -> list[Claim]:
        """Return the claims of a key or a prefix, the earliest expiry first."""
        now = self._clock()
        return by_expiry(
            claim
            for claim in self._claims.values()
            if claim.key.text.startswith(prefix)
            and key in (None, claim.key)
            and expired in (None, claim.expires_at <= now)
        )

    def move(self, old: SessionKey, new: SessionKey) -> None:
        for key, name in [place for place in self._claims if place[0] == old]:
            claim = self._claims.pop((key, name))
            self._claims.setdefault((new, name), replace(claim, key=new))

    def drop(self, key: SessionKey) -> None:
        self._claims = {place: one for place, one in self._claims.items() if place[0] != key}
