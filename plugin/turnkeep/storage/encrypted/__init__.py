"""Encryption at rest, around any storage: what people wrote is sealed before it is stored.

`turnkeep.encryption` is its public door.

- `_storage` the verbs; `_appending` and `_changing` those that take several steps, `_resealing`
  the rotation of keys;
- `_vault` the storage inside, and the order of changes;
- `_seals` what is sealed and how, `_names` the names of leases, `_ring` the keys.
"""

from __future__ import annotations

from ._ring import KeyRing
from ._storage import EncryptedStorage

__all__ = ["EncryptedStorage", "KeyRing"]
