"""The servers: one, or those of a cluster, and which of them has a shard."""

from __future__ import annotations

from zlib import crc32

from redis import exceptions as redis_errors
from redis.crc import key_slot

from ._errors import is_refusal
from ._place import Address, Place
from ._scripts import Scripts
from ._server import Server

__all__ = ["SHARDS", "Servers", "shard_of"]

SHARDS = 64


def shard_of(key: str) -> int:
    """Return the shard of a session's key."""
    return crc32(key.encode()) % SHARDS


class Servers:
    """The connections to all servers, and the map of a cluster."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._servers: dict[Address, Server] = {}
        self._shards: dict[int, Address] = {}
        self.is_cluster: bool = False

    def find(self, scripts: Scripts) -> None:
        """Ask which server has which shard. Raises redis-py's errors."""
        first = self._at(self._place.address)
        candidates = [first, *(one for one in self._servers.values() if one is not first)]
        for place, server in enumerate(candidates):
            try:
                server.ready(scripts)
                self._read_map(server)
            except (redis_errors.RedisError, OSError) as error:
                if is_refusal(error) or place == len(candidates) - 1:
                    raise
            else:
                return

    def _read_map(self, server: Server) -> None:
        try:
            ranges = server.ask("CLUSTER", "SLOTS")
        except redis_errors.ResponseError:
            self.is_cluster = False  # it says that cluster support is disabled
            return
        self.is_cluster = True
        shards = {key_slot(b"%d" % shard): shard for shard in range(SHARDS)}
        for first, last, primary, *_ in ranges:
            host = primary[0].decode() if primary[0] else server.address.host
            for slot, shard in shards.items():
                if first <= slot <= last:
                    self._shards[shard] = Address(host, primary[1])

    def of(self, shard: int) -> Server:
        """Return the server that has a shard, as far as is known."""
        return self._at(self._shards.get(shard, self._place.address))

    def other(self, host: str, port: int) -> Server:
        """Return the server to which a cluster's node points."""
        return self._at(Address(host, port))

    def all(self) -> list[Server]:
        """Return each server that has a shard."""
        addresses = dict.fromkeys(self._shards.values()) if self.is_cluster else None
        return [self._at(one) for one in addresses or [self._place.address]]

    def _at(self, address: Address) -> Server:
        server = self._servers.get(address)
        if server is None:
            server = self._servers[address] = Server(self._place, address)
        return server

    def close(self) -> None:
        """Close all connections."""
        for server in self._servers.values():
            server.close()
