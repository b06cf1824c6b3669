"""Keys of another program below the prefix: an error names the remedy, and nothing was changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from redis import Redis

from turnkeep import SessionKey, StorageError
from turnkeep.storage.base import Change, Storage
from turnkeep.storage.redis import from_url
from turnkeep.storage.redis._servers import shard_of
from turnkeep.storage.rules import begun_info
from turnkeep.testing._tools import put, user

from .valkey import client, fresh_url

pytestmark = pytest.mark.anyio

KEY = SessionKey("telegram", "1")
NEW = SessionKey("telegram", "new")
ALIAS = SessionKey("telegram", "alias")
OLD = SessionKey("telegram", "old")


async def consolidate(storage: Storage) -> object:
    info = (await storage.read(KEY)).info
    assert info is not None
    return await storage.consolidate(KEY, 1, "summary", expected=info.expected())


async def release(storage: Storage) -> object:
    (claim,) = await storage.claims(key=KEY)
    return await storage.release(claim)


async def turn_of_the_past(storage: Storage) -> object:
    return await storage.restore(begun_info(NEW, datetime.now(timezone.utc)), [])


CHANGES: dict[str, Callable[[Storage], Awaitable[object]]] = {
    "append": lambda storage: storage.append(KEY, [user("x", source_id="9", token="t9")]),
    "append at once": lambda storage: storage.append(KEY, [user("x", source_id="9")], dedupe=False),
    "append plainly": lambda storage: storage.append(KEY, [user("x")]),
    "append to a new session": lambda storage: storage.append(NEW, [user("x", source_id="9")]),
    "edit": lambda storage: storage.edit(KEY, 1, Change(content="y", link=("8",))),
    "delete": lambda storage: storage.delete(KEY, [1]),
    "clear": lambda storage: storage.clear(KEY, erase=True),
    "consolidate": consolidate,
    "metadata": lambda storage: storage.update_metadata(KEY, {"a": 2}),
    "metadata of a new session": lambda storage: storage.update_metadata(NEW, {"a": 2}),
    "restore": turn_of_the_past,
    "forget": lambda storage: storage.forget(KEY),
    "forget an alias": lambda storage: storage.forget(ALIAS),
    "unlink": lambda storage: storage.unlink(ALIAS),
    "claim": lambda storage: storage.claim(KEY, "more", owner="me", ttl=60),
    "release": release,
}
KINDS = ("turns", "names", "tokens", "claims", "written", "keys", "claimed", "aliased", "info")
INDEXES = KINDS[4:8]


def held(redis: Redis, prefix: str) -> dict[bytes, Any]:
    """Return all keys below the prefix, with what they hold."""
    found: dict[bytes, Any] = {}
    for key in redis.scan_iter(f"{prefix}:*"):
        match redis.type(key):
            case b"hash":
                found[key] = redis.hgetall(key)
            case b"zset":
                found[key] = redis.zrange(key, 0, -1, withscores=True)
            case b"set":
                found[key] = redis.smembers(key)
            case _:
                found[key] = redis.get(key)
    return found


async def filled(url: str) -> None:
    storage = from_url(url)
    await storage.open()
    await put(storage, KEY, [user("a", source_id="1", token="t1"), user("b", source_id="2")])
    await storage.update_metadata(KEY, {"a": 1})
    await put(storage, OLD, [user("old")])
    await storage.rename(OLD, KEY)
    await storage.unlink(OLD)
    await put(storage, ALIAS, [user("alias")])
    await storage.rename(ALIAS, KEY)
    await storage.claim(KEY, "work", owner="me", ttl=60)
    await storage.aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_change_that_meets_a_key_of_somebody_else_has_changed_nothing(kind: str) -> None:
    refused: list[str] = []
    for name, change in CHANGES.items():
        url = fresh_url()
        prefix = url.partition("prefix=")[2]
        await filled(url)
        storage = from_url(url)
        await storage.open()
        with client(url) as redis:
            for key in (KEY, NEW, ALIAS):
                where = f"{prefix}:{{{shard_of(key.text)}}}:{kind}"
                redis.set(where if kind in INDEXES else f"{where}:{key.text}", "not yours")
            before = held(redis, prefix)
            said = ""
            try:
                await change(storage)
            except StorageError as error:
                said = str(error)
            if said:
                refused.append(name)
                assert "choose another ?prefix=" in said
                assert held(redis, prefix) == before, name
        await storage.aclose()
    assert len(refused) > 1
