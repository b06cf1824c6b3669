"""One connection to one server, used by one thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from hiredis import pack_command
from redis import exceptions as redis_errors

from ._place import Address, Place
from ._scripts import Scripts

__all__ = ["Answer", "Server"]

_pack: Any = pack_command
"""Its stub takes a tuple of one."""

Answer: TypeAlias = Any
Request: TypeAlias = Sequence[str | bytes | int]


class Server:
    """A connection that connects when it is needed, and sends many requests at once."""

    def __init__(self, place: Place, address: Address) -> None:
        self.address = address
        # Most of redis-py's connection has no types.
        self._connection: Any = place.connection(address)
        self._is_connected = False

    def ready(self, scripts: Scripts) -> None:
        """Connect unless connected, and load the scripts. Raises redis-py's errors."""
        if self._is_connected:
            try:
                # Nothing was asked, so what can be read is the end of the connection.
                if not self._connection.can_read(0):
                    return
            except redis_errors.ConnectionError:
                pass
            self.close()
        try:
            self._connection.connect()
            self.load(scripts)
        except BaseException:  # a connection without its scripts is none
            self.close()
            raise
        self._is_connected = True

    def load(self, scripts: Scripts) -> None:
        """Load the scripts that the server does not know."""
        known = self.ask("SCRIPT", "EXISTS", *scripts.hashes.values())
        missing = [name for name, there in zip(scripts.hashes, known, strict=True) if not there]
        for name in missing:
            self.ask("SCRIPT", "LOAD", scripts.texts[name])

    def ask(self, *request: str | bytes | int) -> Answer:
        """Send one request and return its answer."""
        self.send([request])
        return self.answer()

    def send(self, requests: Iterable[Request]) -> None:
        """Send requests, whose answers come in the same order."""
        # redis-py's own packing takes three times as long.
        packed = b"".join(_pack(tuple(request)) for request in requests)
        self._connection.send_packed_command([packed], check_health=False)

    def answer(self) -> Answer:
        """Return the next answer; raise what the server, or the lack of one, says."""
        return self._connection.read_response()

    def close(self) -> None:
        """Let go of the connection; `ready` makes another."""
        self._is_connected = False
        self._connection.disconnect()
