"""The PostgreSQL storage keeps the contract, on a real server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from turnkeep import SessionKey
from turnkeep.storage.base import Storage
from turnkeep.storage.postgresql import PostgresqlStorage, _link
from turnkeep.testing import StorageContract

from .postgres_server import asked, schema_of, url_of

# Trio differs in how a thread wakes a task; test_postgresql.py has that. Each night all of it.
BACKENDS = (
    ("asyncio", "trio") if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else ("asyncio",)
)


class TestPostgresql(StorageContract):
    durability: Any = "os"
    examples = 15
    backends = BACKENDS

    def make_storage(self, place: Path) -> Storage:
        return PostgresqlStorage(url_of(place), durability=self.durability)

    def second(self, storage: Storage, place: Path) -> Storage:
        return self.make_storage(place)

    async def kill(self, storage: Storage, place: Path) -> Path:
        """The server goes on where a process died; what that left open it takes back."""
        return place

    async def damage(self, place: Path, key: SessionKey, turn_id: int) -> None:
        asked(
            f'UPDATE "{schema_of(place)}".turn t SET body = \'{{"role":\' FROM '
            f'"{schema_of(place)}".session s WHERE s.key = %s AND t.life = s.life AND t.id = %s',
            key.text,
            turn_id,
        )

    def set_clock(self, storage: Storage, place: Path, now: datetime) -> None:
        asked(
            f'CREATE OR REPLACE FUNCTION "{schema_of(place)}".clock() RETURNS timestamptz '
            f"LANGUAGE sql VOLATILE AS 'SELECT ''{now.isoformat()}''::timestamptz'"
        )

    @contextmanager
    def failing(self, storage: Storage, place: Path, after: int) -> Iterator[None]:
        """A trigger refuses rows as a full disk does. A sequence counts also what is taken back."""
        schema = schema_of(place)
        tables = ("session", "turn", "turn_name", "alias", "claim")
        asked(
            f'CREATE OR REPLACE FUNCTION "{schema}".fail() RETURNS trigger LANGUAGE plpgsql AS $$ '
            f"BEGIN IF nextval('\"{schema}\".written') > {after} THEN "
            "RAISE 'could not extend file' USING ERRCODE = '53100'; END IF; "
            "RETURN CASE WHEN tg_op = 'DELETE' THEN OLD ELSE NEW END; END $$; "
            f'CREATE SEQUENCE "{schema}".written; '
            + "; ".join(
                f'CREATE TRIGGER fail BEFORE INSERT OR UPDATE OR DELETE ON "{schema}".{table} '
                f'FOR EACH ROW EXECUTE FUNCTION "{schema}".fail()'
                for table in tables
            )
        )
        try:
            yield
        finally:
            drops = "; ".join(f'DROP TRIGGER fail ON "{schema}".{table}' for table in tables)
            asked(f'{drops}; DROP SEQUENCE "{schema}".written')

    @contextmanager
    def losing(self, storage: Storage, place: Path) -> Iterator[None]:
        """The connection ends behind each change, before the answer is heard."""
        real = _link.Link.run

        def run(link: _link.Link, work: Any, *, changes: bool) -> Any:
            def lose(connection: _link.Connection) -> Any:
                done = work(connection)
                if not changes:
                    return done
                connection.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

            return real(link, lose, changes=changes)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(_link.Link, "run", run)
            yield

    async def work(self, storage: Storage, place: Path) -> int:
        return 0
