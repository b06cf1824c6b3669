"""Opening connections to the file."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Final, Literal

import apsw
from msgspec import Struct

from ..._errors import StorageError, StoreLockedError
from ..paths import is_utf8
from . import _schema, _zeroing
from ._faults import translated
from ._index import Kind

logger: Final = logging.getLogger("turnkeep")

SYNCHRONOUS: Final = {"os": "NORMAL", "disk": "FULL"}
"""SQLite's name of each durability: NORMAL syncs when the log goes into the database."""

_TRIES_SECONDS: Final = 0.01
_LITTLE_SECONDS: Final = 0.02


class Place(Struct, frozen=True):
    """The file, and how it is opened."""

    path: Path
    durability: Literal["os", "disk"]
    read_only: bool
    lock_timeout: float
    search: Kind | None

    @property
    def file(self) -> Path:
        """The path without links."""
        return Path(os.path.realpath(self.path))

    def identity(self) -> tuple[int, int] | None:
        """Return what tells the file that is there now from others; None if there is none."""
        try:
            found = os.stat(self.path)  # noqa: PTH116  # it is asked at each commit
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def connect(self, *, waits: float = 0, zeroing: bool = False) -> apsw.Connection:
        """Return a connection, which waits so many seconds for other processes' locks."""
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        if self.read_only:
            flags = apsw.SQLITE_OPEN_READONLY
        # Of a link SQLite keeps the log beside the file itself; apsw follows none by itself.
        file = self.file
        name = str(file)
        is_still = self.read_only and not os.access(file.parent, os.W_OK)
        if is_still and not self.log_bytes():
            # SQLite needs two files beside it, unless nobody is writing.
            name = f"{file.as_uri()}?immutable=1"
            flags |= apsw.SQLITE_OPEN_URI
        db = apsw.Connection(name, flags=flags, vfs=_zeroing.NAME if zeroing else None)
        if waits:
            db.set_busy_handler(_patience(waits))
        if not zeroing:
            # What comes into the database has to pass the connection that writes zeros.
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        for pragma in (
            "wal_autocheckpoint = 0",
            "secure_delete = ON",
            f"synchronous = {SYNCHRONOUS[self.durability]}",
            "foreign_keys = OFF",
            "temp_store = MEMORY",
        ):
            db.execute(f"PRAGMA {pragma}").fetchall()
        return db

    def prepare(self) -> apsw.Connection:
        """Return the connection that writes, to a file with all tables.

        Raises `StorageError` where the file can't be used, and `StoreLockedError` where another
        process has locked it all the time.
        """
        self._check()
        try:
            with translated(self.path):
                db = self.connect(waits=self.lock_timeout)
                try:
                    self._prepare(db)
                    # From here on those who read are not to wait behind those who write.
                    db.set_busy_handler(_patience(_LITTLE_SECONDS))
                except BaseException:  # nobody else has the connection
                    db.close()
                    raise
                return db
        except StorageError as error:
            if isinstance(error.__cause__, apsw.BusyError):
                raise StoreLockedError(
                    f"{self.path}: another process has kept this file locked for "
                    f"{self.lock_timeout:g} s; end it, or raise `lock_timeout`"
                ) from error
            raise

    def _check(self) -> None:
        with translated(self.path):
            folder = self.path.absolute().parent
            if not folder.is_dir():
                raise StorageError(
                    f"{self.path}: there is no folder {folder}: make it, or mend the path"
                )
            found = self.path.stat().st_mode if self.path.exists() else None
        if not is_utf8(self.path):
            raise StorageError(
                f"{str(self.path)!r}: SQLite takes names in UTF-8, and this is none: rename the "
                "file or its folder (in a URL '%' is written as '%25')"
            )
        if found is not None and stat.S_ISDIR(found):
            raise StorageError(
                f"{self.path} is a folder: give the path of a file in it, such as "
                f"'sqlite:{self.path / 'chats.db'}'"
            )
        if found is not None and not stat.S_ISREG(found):
            raise StorageError(f"{self.path} is a device or a pipe: give the path of a file")
        if self.read_only and found is None:
            raise StorageError(
                f"{self.path}: there is no such file, and read_only=True makes none: mend the "
                "path, or open the store without it first"
            )

    def _prepare(self, db: apsw.Connection) -> None:
        found = _schema.version(db, self.path)
        if self.read_only:
            if found < len(_schema.MIGRATIONS):
                raise StorageError(
                    f"{self.path}: the file's tables are older than this turnkeep, and "
                    "read_only=True changes none: open the store without it once"
                )
            return
        self._into_wal(db)
        # Others may have been here in the meantime, so it looks once more.
        db.execute("BEGIN IMMEDIATE")
        try:
            _schema.migrate(db, self.path, self.search)
            db.execute("COMMIT")
        except BaseException:  # whatever it was, no transaction stays open
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _into_wal(self, db: apsw.Connection) -> None:
        """Switch to the write-ahead log; SQLite waits for nobody there by itself."""
        until = monotonic() + self.lock_timeout
        while True:
            try:
                if db.execute("PRAGMA journal_mode = WAL").get == "wal":
                    return
                raise StorageError(
                    f"{self.path}: SQLite can't keep a write-ahead log here, as on a network "
                    "drive: put the file on a local disk"
                )
            except apsw.BusyError:
                if monotonic() > until:
                    raise
                sleep(_TRIES_SECONDS)

    def log_bytes(self) -> int:
        """Return the size of the write-ahead log."""
        try:
            return os.stat(f"{self.file}-wal").st_size  # noqa: PTH116  # no suffix is replaced
        except FileNotFoundError:
            return 0


def _patience(seconds: float) -> Callable[[int], bool]:
    """Return what SQLite calls when a lock is taken: it waits a little."""
    begun = 0.0

    def wait(calls: int) -> bool:
        nonlocal begun
        if not calls:
            begun = monotonic()
        if monotonic() - begun > seconds:
            return False
        sleep(min(0.0005 * (calls + 1), _TRIES_SECONDS))
        return True

    return wait


def close_all(connections: list[apsw.Connection | None]) -> None:
    """Close connections, the last one last; what was acknowledged is stored before."""
    for db in connections:
        try:
            if db is not None:
                db.close()
        except (apsw.Error, OSError) as error:
            logger.warning("a connection to SQLite could not be closed (%s)", error)
