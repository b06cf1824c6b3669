"""A storage over ordered pairs: all verbs, for anything that has transactions.

Most databases can keep pairs of bytes in the order of their keys, and change several of them
in one transaction. That is all a storage needs: `OrderedStorage` has the verbs, and a subclass
the transaction. `docs/own-storage.md` makes one over the standard library's `sqlite3`.

The keys, whose parts a NUL byte separates (no session key and no id has one):

| key | value |
|---|---|
| `info`, session | the record |
| `turn`, session, id in 8 bytes | the turn |
| `name`, source id or token, session, id in 8 bytes | nothing |
| `alias`, alias | the session's key |
| `claim`, session, name | the claim |
"""

from __future__ import annotations

from ._pairs import Pairs
from ._storage import OrderedStorage

__all__ = ["OrderedStorage", "Pairs"]
