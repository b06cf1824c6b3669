"""Sessions in one SQLite file, which several processes may share.

One thread writes: what waits together is committed together. The ends of sessions in use stay
in memory, and a stamp in the file tells whether another process has written since.

Where to find what, from the verbs down to the file:

- `_storage` the verbs, `_url` their options;
- threads: `_lane` any of them, `_engine` the one that writes, `_reader` the one that looks through
  many sessions;
- verbs in a transaction: `_appending`, `_changes`, `_moving` renames, `_erasing`, `_claims`,
  `_looking` many sessions;
- sessions: `_sessions` in a transaction, `_held` their ends in memory;
- tables: `_schema`, `_rows` and `_turn_rows`, `_index` words, `_sql` statements of many rows;
- the file: `_connect` opens it, `_zeroing` leaves no old bytes in it, `_faults` its errors,
  `_clock`.
"""

from __future__ import annotations

from ._storage import SqliteStorage
from ._url import from_url

__all__ = ["SqliteStorage", "from_url"]
