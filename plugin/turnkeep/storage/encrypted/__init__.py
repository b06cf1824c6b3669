"""Encryption at rest, around any storage: what people wrote is sealed before it is stored.

`turnkeep.encryption` is its public door.
"""

from __future__ import annotations

from ._ring import KeyRing
from ._storage import EncryptedStorage

__all__ = ["EncryptedStorage", "KeyRing"]
