"""Sessions in a dict: for tests and throw-away bots. Nothing survives the process.

It is also the plain model that other storages are compared with, so it is written to be
obviously right: a list of turns per session, looked through from its end.
"""

from __future__ import annotations

from ._storage import MemoryStorage

__all__ = ["MemoryStorage"]
