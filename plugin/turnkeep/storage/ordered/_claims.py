"""Leases, in a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from ..._records.key import SessionKey
from ..base import Claim
from ..rules import by_expiry, lasting_until, renewed, taken
from ._pairs import Pairs, below, path, utc_now, value

__all__ = ["Claims"]

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Claim).decode


class Claims:
    """The claims of all sessions, whose keys are resolved."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs

    def _get(self, key: SessionKey, name: str) -> Claim | None:
        text = value(self._pairs, path("claim", key.text, name))
        return None if text is None else _decode(text)

    def _put(self, claim: Claim) -> None:
        self._pairs.put(path("claim", claim.key.text, claim.name), _encode(claim))

    def _end(self, claim: Claim) -> None:
        self._pairs.delete(path("claim", claim.key.text, claim.name))

    def take(
        self,
        key: SessionKey,
        name: str,
        owner: str,
        ttl: float,
        payload: dict[str, Any] | None,
    ) -> Claim | None:
        now, there = utc_now(), self._get(key, name)
        expires_at = lasting_until(now, ttl)
        claim = taken(
            there, key, name, owner=owner, payload=payload, now=now, expires_at=expires_at
        )
        if claim is not None:
            self._put(claim)
        return claim

    def renew(
        self, key: SessionKey, claim: Claim, ttl: float, payload: Mapping[str, Any] | None
    ) -> bool:
        there = self._get(key, claim.name)
        if there is None or there.owner != claim.owner:
            return False
        self._put(renewed(there, lasting_until(utc_now(), ttl), payload))
        return True

    def release(self, key: SessionKey, claim: Claim) -> bool:
        there = self._get(key, claim.name)
        if there is None or there.owner != claim.owner:
            return False
        self._end(there)
        return True

    def of(self, key: SessionKey | None) -> list[Claim]:
        """Return the claims of one session, or of all, the oldest expiry first."""
        first = path("claim") if key is None else path("claim", key.text)
        return by_expiry(_decode(text) for _, text in below(self._pairs, first))

    def move(self, old: SessionKey, new: SessionKey) -> None:
        for claim in self.of(old):
            self._end(claim)
            if self._get(new, claim.name) is None:
                self._put(replace(claim, key=new))

    def drop(self, key: SessionKey) -> None:
        for claim in self.of(key):
            self._end(claim)
