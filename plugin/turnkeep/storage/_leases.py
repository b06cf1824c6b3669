"""The part of the protocol that decides which process does a piece of work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import msgspec

from .._records.key import SessionKey

__all__ = ["Claim", "Leases"]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A lease on a piece of work in a session. It expires by itself when its owner dies.

    - `owner` names the store that holds it.
    - `expires_at` is by the storage's clock.
    - `payload` is JSON: the data for another process to take the work over.
    - `taken_over` is True if it replaced another owner's expired claim. It keeps that claim's
      payload unless a new one is given.
    """

    key: SessionKey
    name: str
    owner: str
    expires_at: datetime
    payload: dict[str, Any] = {}
    taken_over: bool = False


class Leases(Protocol):
    """The verbs of a storage for leases. What `Storage` says of all verbs holds for them too."""

    async def claim(
        self,
        key: SessionKey,
        name: str,
        *,
        owner: str,
        ttl: float,
        payload: Mapping[str, Any] | None = None,
    ) -> Claim | None:
        """Take a lease for `ttl` seconds; return None while another owner has it.

        The same owner's claim is renewed. Another owner's expired claim is taken over. In both
        cases the payload stays unless a new one is given. A `ttl` of 0 expires at once. One
        of more than a hundred years, also an infinite one, lasts at least these. A claim needs
        no session, and begins none.
        """
        ...

    async def renew(
        self, claim: Claim, *, ttl: float, payload: Mapping[str, Any] | None = None
    ) -> bool:
        """Extend a claim to `ttl` seconds from now; return False if its owner has lost it.

        An expired claim is renewed if no other owner has taken it over. With `payload`, that
        takes the place of the claim's payload, in the same step.
        """
        ...

    async def release(self, claim: Claim) -> bool:
        """End a claim; return False if its owner has lost it. Another owner's claim stays."""
        ...

    async def claims(
        self, *, key: SessionKey | None = None, prefix: str = "", expired: bool | None = None
    ) -> list[Claim]:
        """Return the claims of one session, or of all with the prefix, the earliest expiry first.

        `expired` selects those that have expired (True), or have not (False).
        """
        ...
