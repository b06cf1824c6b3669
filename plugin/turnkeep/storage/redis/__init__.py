"""Sessions on a Redis or Valkey server, or a cluster of them: for bots on several machines.

Each change is one Lua script, so it is atomic on the server. All keys of a session have the same
hash tag, so a cluster keeps them on one node:

| key | type | holds |
|---|---|---|
| `turnkeep:{7}:info:<key>` | hash | the record; of an alias, the key that it leads to |
| `turnkeep:{7}:turns:<key>` | sorted set | the turns as JSON, by their ids |
| `turnkeep:{7}:names:<key>` | hash | source ids, each with the ids of its turns |
| `turnkeep:{7}:tokens:<key>` | sorted set | the latest 1,000 tokens, by the ids of their turns |
| `turnkeep:{7}:aside:<key>` | sorted set | turns that can't be read |
| `turnkeep:{7}:claims:<key>` | hash | claims by their names |
| `turnkeep:{7}:aliases:<key>` | set | the aliases that lead to it |
| `turnkeep:{7}:written`, `:keys` | sorted set | this shard's sessions by time, and by key |
| `turnkeep:{7}:claimed` | set | this shard's keys with claims |
| `turnkeep:{7}:renamed` | hash | renames whose old keys are not cleaned up yet |

The number in braces is one of 64 shards, by the CRC-32 of the session's key. So a session and
the index that lists it change together on any cluster.

Where to find what, from the verbs down to the socket:

- verbs: `_storage` all of them, `_verbs` those of one session, `_listing` several, `_rename`,
  `_claiming` leases;
- order: `_asking` follows aliases and waits for renames, `_lines` keeps the order of changes,
  `_moves` finishes renames that were begun, `_tails` remembers the ends of sessions in use;
- servers: `_link` the thread, `_exchange` its pipelines, `_servers` who has which shard,
  `_server` one connection, `_opening` the check at the start;
- `_place` reads the URL, `_scripts` the Lua files, `_decode` what they answer, `_errors` an error.
"""

from __future__ import annotations

from typing import Literal

from ._place import Place
from ._storage import RedisStorage

__all__ = ["RedisStorage", "from_url"]


def from_url(
    url: str,
    *,
    durability: Literal["os", "disk"] = "os",
    read_only: bool = False,
    lock_timeout: float = 30,
) -> RedisStorage:
    """Return the storage of a URL: `redis://[user:password@]host[:port][/db][?options]`.

    The options are `prefix`, the first part of every key (`turnkeep`), `ttl`, the seconds after
    its last change at which a session ends by itself (never), and those of redis-py's
    connections: `db`, `client_name`, `socket_timeout`, `socket_connect_timeout`, `ssl_…`. With
    `durability="disk"` opening fails unless the server syncs each change before it answers.
    Nobody owns a server, so there is no lock to wait for. Raises `UnknownStorageError`.
    """
    del lock_timeout
    return RedisStorage(Place.of(url), durability=durability, read_only=read_only)
