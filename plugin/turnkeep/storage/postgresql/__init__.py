"""Sessions in PostgreSQL, for several processes and machines.

`schema_1.sql` has the tables, and the functions that make one round trip of what waits together.
A `Lane` is a thread with a connection; requests that wait there share a statement and a commit.

Where to find what, from the verbs down to the connection:

- `_storage` the verbs, each on one of three lanes;
- requests: `_appends`, `_changes` of one session, `_moves` renames, `_claims`, `_windows` reads of
  one session, `_queries` reads of many, `_schema` the tables;
- in a transaction: `_sessions`, `_terms` how durable it is and how long it waits;
- the server: `_lane` a thread, `_link` its connection, `_failures` errors;
- `_place` reads the URL, `_rows` what the server takes and gives.
"""

from __future__ import annotations

from importlib import import_module
from typing import Literal

from ..._errors import MissingExtraError

try:
    import_module("psycopg")  # it may be there without its C library
except ModuleNotFoundError:
    raise
except ImportError as _error:
    raise MissingExtraError("'postgresql://…'", "postgresql", "psycopg-binary") from _error

from ._storage import PostgresqlStorage

__all__ = ["PostgresqlStorage", "from_url"]


def from_url(
    url: str,
    *,
    durability: Literal["os", "disk"] = "os",
    read_only: bool = False,
    lock_timeout: float = 30,
) -> PostgresqlStorage:
    """Return the storage of a `postgresql://` URL, not open. Raises `UnknownStorageError`."""
    return PostgresqlStorage(
        url, durability=durability, read_only=read_only, lock_timeout=lock_timeout
    )
