"""The check of a server when a storage opens there."""

from __future__ import annotations

import logging
from typing import Final, Literal

from redis import exceptions as redis_errors

from ..._errors import StorageError
from ._errors import storage_error
from ._exchange import Exchange
from ._place import Place
from ._server import Server

__all__ = ["SCHEMA", "check"]

logger: Final = logging.getLogger("turnkeep")

SCHEMA: Final = 1
"""The version of the keys and of what they hold."""


def check(
    place: Place, exchange: Exchange, durability: Literal["os", "disk"], *, read_only: bool
) -> None:
    """Connect, and check the schema and how durable the servers are; in the link's thread."""
    try:
        exchange.servers.find(exchange.scripts)
        for server in exchange.servers.all():
            server.ready(exchange.scripts)
            _check_memory(place, server)
            if durability == "disk":
                _check_disk(place, server)
        _check_schema(place, exchange.servers.of(0), read_only=read_only)
    except (redis_errors.RedisError, OSError) as error:
        if isinstance(error, StorageError):
            raise
        raise storage_error(place.name, error) from error


def _check_schema(place: Place, server: Server, *, read_only: bool) -> None:
    key = f"{place.prefix}:{{0}}:schema"
    found = server.ask("GET", key)
    if found is None:
        if not read_only:
            server.ask("SET", key, SCHEMA, "NX")
    elif not found.isdigit() or int(found) != SCHEMA:
        raise StorageError(
            f"{place.name}: the sessions below {place.prefix!r} have the schema {found!r:.40}, and "
            f"this version of turnkeep knows {SCHEMA}. Install the version that wrote them, or "
            "choose another ?prefix="
        )


def _check_memory(place: Place, server: Server) -> None:
    try:
        memory = server.ask("INFO", "memory")
    except redis_errors.ResponseError:
        return  # not every user may ask
    policy = _field(memory, b"maxmemory_policy")
    if _field(memory, b"maxmemory") not in (b"", b"0") and not policy.startswith(b"noeviction"):
        logger.warning(
            "%s: the server's maxmemory-policy %s may throw sessions away when its memory is "
            "full: set it to noeviction",
            place.name,
            policy.decode(),
        )


def _check_disk(place: Place, server: Server) -> None:
    remedy = "Set 'appendonly yes' and 'appendfsync always' on it, or open with durability='os'"
    try:
        fsync = server.ask("CONFIG", "GET", "append*")
    except redis_errors.ResponseError as error:
        raise StorageError(
            f"{place.name}: durability='disk' needs a server that syncs each change, and "
            f"{server.address} does not tell (CONFIG GET: {error}). Allow it, or open with "
            "durability='os'"
        ) from error
    settings = dict(zip(fsync[::2], fsync[1::2], strict=True))
    kept = settings.get(b"appendonly", b"no"), settings.get(b"appendfsync", b"")
    if kept != (b"yes", b"always"):
        raise StorageError(
            f"{place.name}: durability='disk' needs a server that syncs each change before it "
            f"answers, and {server.address} has appendonly {kept[0].decode()}, appendfsync "
            f"{kept[1].decode()}. {remedy}"
        )


def _field(info: bytes, name: bytes) -> bytes:
    lines = (line.partition(b":") for line in info.splitlines())
    return next((value.strip() for field, _, value in lines if field == name), b"")
