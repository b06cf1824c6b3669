"""The names of leases, which hold source ids, are hidden by a key of their own.

The key is made once for a place, with the first lease. It is kept there, sealed, as the payload of
a lease that never ends. So every process finds a lease by the same name, whichever key of its ring
is the current one. A rotation seals it again, as it does every payload.
"""

from __future__ import annotations

import base64
import binascii
import math
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from ..._errors import StorageError
from ..._records.key import SessionKey
from ..base import Claim, Storage
from ._seals import Seals

__all__ = ["Names"]

_PLACE: Final = SessionKey("turnkeep", "names")
_NAME: Final = "names"
_KEY: Final = "key"
_KEY_BYTES: Final = 64


class Names:
    """Hides the names of leases, and shows them again. The same name is always hidden alike."""

    def __init__(self, inner: Storage, seals: Seals) -> None:
        self._inner = inner
        self._seals = seals
        self._cipher: AESSIV | None = None

    def forget(self) -> None:
        """Ask the storage again: it may have another place when it opens the next time."""
        self._cipher = None

    async def hidden(self, name: str) -> str:
        """Return the name by which a lease is stored. The first one makes the key."""
        cipher = await self._found()
        if cipher is None:
            key = base64.b64encode(os.urandom(_KEY_BYTES)).decode()
            payload = self._seals.payload(_NAME, {_KEY: key})
            # Of several that make one, the first wins, and the others read it.
            owner = secrets.token_hex(8)
            await self._inner.claim(_PLACE, _NAME, owner=owner, ttl=math.inf, payload=payload)
            cipher = await self._found()
        if cipher is None:
            raise StorageError(
                f"{self._inner!r}: the key of the names of leases was changed outside of "
                f"turnkeep. Leases need another one: open a store there without encryption, and "
                f"call forget({_PLACE.text!r})"
            )
        text = cipher.encrypt(name.encode(errors="surrogatepass"), None)
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    async def shown(self, claims: Iterable[Claim]) -> list[tuple[str, Claim]]:
        """Return each stored lease with its name; those that anything else made are left out."""
        others = [claim for claim in claims if claim.key != _PLACE]
        cipher = await self._found() if others else None
        named = [(_opened(cipher, claim.name), claim) for claim in others] if cipher else []
        return [(name, claim) for name, claim in named if name is not None]

    async def stored(self) -> list[tuple[str, Claim]]:
        """Return all stored leases with their names, and the one that holds the key."""
        found = await self._inner.claims()
        return [(_NAME, one) for one in found if one.key == _PLACE] + await self.shown(found)

    async def _found(self) -> AESSIV | None:
        if self._cipher is None:
            for claim in await self._inner.claims(key=_PLACE):
                key = self._seals.opened_payload(_NAME, claim).get(_KEY)
                with suppress(ValueError):
                    if isinstance(key, str):
                        self._cipher = AESSIV(base64.b64decode(key))
        return self._cipher


def _opened(cipher: AESSIV, hidden: str) -> str | None:
    try:
        text = base64.urlsafe_b64decode(hidden + "=" * (-len(hidden) % 4))
        return cipher.decrypt(text, None).decode(errors="surrogatepass")
    except (InvalidTag, ValueError, binascii.Error):
        return None
