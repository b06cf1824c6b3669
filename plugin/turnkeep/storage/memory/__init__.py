"""Sessions in a dict: for tests and throw-away bots. Nothing survives the process.

Other storages are compared with it, so it is written to be obviously right: a list of turns per
session, which is searched from its end.
"""

from __future__ import annotations

from ._storage import MemoryStorage

__all__ = ["MemoryStorage"]
