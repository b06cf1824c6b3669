"""Sessions in one SQLite file, which several processes may share.

One thread writes: what waits together is committed together. The ends of sessions in use stay
in memory, and a stamp in the file tells whether another process has written since.
"""

from __future__ import annotations

from ._storage import SqliteStorage
from ._url import from_url

__all__ = ["SqliteStorage", "from_url"]
