"""One connection to the server, made again when it is lost."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

import psycopg

from ._failures import CONFLICTS, lost, refused, unreachable, unstorable
from ._place import Place

__all__ = ["Connection", "Link"]

T = TypeVar("T")
Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

_PATIENCE: Final = 10.0
"""Seconds in which a server that was there may come back: a restart takes a few."""

_TRIES: Final = 5


class Link:
    """A connection of one thread. It holds no state of a session, so pgbouncer may be between."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._connection: Connection | None = None
        self._was_connected = False
        self._down_since: float | None = None

    def connect(self) -> Connection:
        """Return the connection, a new one if the last one is lost."""
        if self._connection is not None and self._is_alive(self._connection):
            return self._connection
        self.close()
        pause = 0.05
        while True:
            try:
                self._connection = psycopg.connect(
                    self.place.conninfo,
                    autocommit=True,
                    # pgbouncer gives each transaction another connection of the server.
                    prepare_threshold=None,
                    client_encoding="utf8",
                )
            except (psycopg.Error, UnicodeError, ValueError) as error:
                now = time.monotonic()
                self._down_since = self._down_since or now
                if not self._may_come_back(error) or now - self._down_since > _PATIENCE:
                    raise unreachable(self.place, error) from None
                time.sleep(pause)
                pause = min(2 * pause, 1.0)
            else:
                self._was_connected, self._down_since = True, None
                return self._connection

    def _may_come_back(self, error: Exception) -> bool:
        return self._was_connected or "starting up" in str(error)

    @staticmethod
    def _is_alive(connection: Connection) -> bool:
        """Return False if the server has hung up since the last answer."""
        if connection.closed:
            return False
        while _is_readable(connection.fileno()):  # an idle server says little but goodbye
            try:
                connection.pgconn.consume_input()
            except psycopg.Error:
                return False
        return not connection.closed

    def run(self, work: Callable[[Connection], T], *, changes: bool) -> T:
        """Run statements, and again if nothing can have come of it.

        Raises `StorageError`; and `LostAcknowledgementError` if `changes`, and the connection
        ended before the answer.
        """
        tries = 0
        while True:
            connection = self.connect()
            tries += 1
            try:
                return work(connection)
            except psycopg.Error as error:
                if connection.closed:
                    self.close()
                    if changes:
                        raise lost(self.place, error) from error
                    if tries >= _TRIES:
                        raise unreachable(self.place, error) from error
                    continue
                if error.sqlstate in CONFLICTS and tries < _TRIES:
                    continue
                raise refused(self.place, error) from error
            except UnicodeError as error:
                raise unstorable(self.place, error) from error
            except BaseException:  # whatever it was, no transaction stays open
                if connection.info.transaction_status and not connection.closed:
                    self.close()
                raise

    def close(self) -> None:
        """Close the connection. The next statement makes another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _is_readable(file: int) -> bool:
    if hasattr(select, "poll"):
        poll = select.poll()  # select() takes no file above 1,023
        poll.register(file, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([file], [], [], 0)[0])
