"""The schema: made, migrated and checked when a storage opens."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import psycopg

from ..._errors import StorageError
from ._link import Connection
from ._place import Place
from ._terms import Terms

__all__ = ["STEPS", "prepare"]

logger: Final = logging.getLogger("turnkeep")

STEPS: Final[list[str]] = ["schema_1.sql"]
"""The n-th file brings a schema of version n - 1 to version n; an empty one has version 0."""

_OLDEST: Final = 15

_TAKEN: Final = frozenset({"42P07", "42723", "42710"})
"""There is a table, a function or another object of that name."""


def prepare(connection: Connection, place: Place, terms: Terms, *, read_only: bool) -> None:
    """Check the server, and make or migrate the schema. Raises `StorageError` if that can't be."""
    _check_server(connection, place, terms)
    if _is_ready(connection, place) and (read_only or not place.parts):
        return
    if read_only:
        raise StorageError(
            f"{place.name}: the schema {place.schema!r} is not made yet, and a read-only store "
            "makes none: open it once without read_only"
        )
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = {terms.milliseconds}".encode())
        # Of several that open at once, one makes it.
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtext(%s))", [f"turnkeep {place.schema}"]
        )
        if not _is_ready(connection, place):
            _migrate(connection, place)
        if place.parts:
            _index_parts(connection, place)


def _check_server(connection: Connection, place: Place, terms: Terms) -> None:
    version = connection.info.server_version // 10000
    if version < _OLDEST:
        raise StorageError(
            f"{place.name}: the server is PostgreSQL {version}: upgrade it to {_OLDEST} or later"
        )
    ((encoding, fsync),) = connection.execute(
        "SELECT current_setting('server_encoding'), current_setting('fsync')"
    ).fetchall()
    if encoding != "UTF8":
        raise StorageError(
            f"{place.name}: the database's encoding is {encoding}, which can't hold every text: "
            "make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if terms.durable and fsync == "off":
        raise StorageError(
            f"{place.name}: durability='disk' needs a server that syncs, and this one has "
            "fsync = off: set it to on in postgresql.conf"
        )


def _version(connection: Connection, place: Place) -> int:
    # to_regclass() would look into a cache, and miss what another process has just made.
    there = connection.execute(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = 'turnkeep_version'",
        [place.schema],
    ).fetchall()
    if not there:
        return 0
    table = f"{place.identifier}.turnkeep_version"
    ((number,),) = connection.execute(f"SELECT number FROM {table}".encode()).fetchall()
    return int(number)


def _is_ready(connection: Connection, place: Place) -> bool:
    version = _version(connection, place)
    if version > len(STEPS):
        raise StorageError(
            f"{place.name}: the schema {place.schema!r} has version {version}, and this turnkeep "
            f"knows version {len(STEPS)}: upgrade turnkeep"
        )
    return version == len(STEPS)


def _migrate(connection: Connection, place: Place) -> None:
    version = _version(connection, place)
    if not connection.execute(
        "SELECT FROM pg_namespace WHERE nspname = %s", [place.schema]
    ).fetchall():
        connection.execute(f"CREATE SCHEMA {place.identifier}".encode())
    connection.execute(f"SET LOCAL search_path = {place.identifier}".encode())
    try:
        for name in STEPS[version:]:
            connection.execute((Path(__file__).parent / name).read_bytes())
    except psycopg.Error as error:
        if error.sqlstate not in _TAKEN:
            raise
        raise StorageError(
            f"{place.name}: {error.diag.message_primary} in the schema {place.schema!r}, and it "
            "is not turnkeep's: nothing was changed. Choose another one with '?schema=NAME'"
        ) from error
    connection.execute("UPDATE turnkeep_version SET number = %s", [len(STEPS)])


def _index_parts(connection: Connection, place: Place) -> None:
    """Index parts of words with the extension pg_trgm; without it they are looked for slowly."""
    names = connection.execute(
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
        "WHERE e.extname = 'pg_trgm'"
    ).fetchall()
    if not names:
        logger.warning(
            "%s: search=trigram reads all turns, since the database has no extension pg_trgm: "
            "run CREATE EXTENSION pg_trgm, and open the store again",
            place.name,
        )
        return
    connection.execute(
        place.sql(
            "CREATE INDEX IF NOT EXISTS turn_parts ON turnkeep.turn "
            f'USING gin (turnkeep.joined(words) "{names[0][0]}".gin_trgm_ops)'
        )
    )
