"""Errors of SQLite, as a storage raises them: with the file's name, and the remedy."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from ..._errors import LostAcknowledgementError, StorageError, TurnkeepError

_REMEDIES: Final[tuple[tuple[type[apsw.Error], str], ...]] = (
    (
        apsw.BusyError,
        "another process has kept the file locked all the time; end it, or raise `lock_timeout`",
    ),
    (apsw.LockedError, "another connection has kept a table locked; end it"),
    (apsw.FullError, "the disk is full, or the file has reached its limit: make room"),
    (
        apsw.ReadOnlyError,
        "the file or its folder can't be written: mend their permissions, or use read_only=True",
    ),
    (
        apsw.CantOpenError,
        "the file can't be opened: mend the path, or the permissions of the file and its folder",
    ),
    (apsw.PermissionsError, "mend the permissions of the file and its folder"),
    (apsw.NotADBError, "give another path, or move this file away"),
    (
        apsw.CorruptError,
        "the file is damaged: copy what is readable with `sqlite3 FILE .recover | sqlite3 NEW`",
    ),
    (
        apsw.SQLError,
        "its tables are not as turnkeep made them: put a backup in its place, or move it away",
    ),
    (apsw.IOError, "the disk failed: check its space and its health"),
)


def storage_error(path: Path, error: apsw.Error) -> StorageError:
    """Return what a verb raises when SQLite failed it. Nothing was changed."""
    remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), "")
    return StorageError(
        f"{path}: {error or type(error).__name__}; nothing was stored of this call"
        f"{': ' if remedy else ''}{remedy}"
    )


def moved(path: Path) -> StorageError:
    """Return the error of a change whose file is not at its path any more."""
    return StorageError(
        f"{path}: the file was moved, removed or replaced while the store had it open; nothing "
        "was stored of this call. Put it back, or open the store again"
    )


def unerased(path: Path) -> LostAcknowledgementError:
    """Return the error of a change that was made, and whose old bytes are still in the log."""
    return LostAcknowledgementError(
        f"{path}: the change was made, but its old bytes are still in the file or in "
        f"{path.name}-wal: another connection has read from it all the time, or the disk failed. "
        "End that connection, or mend the disk, and make the same call again, which is safe"
    )


@contextmanager
def translated(path: Path) -> Generator[None, None, None]:
    """Raise SQLite's errors as a `StorageError`."""
    try:
        yield
    except apsw.Error as error:
        raise storage_error(path, error) from error
    except OSError as error:
        if isinstance(error, TurnkeepError):
            raise
        raise StorageError(f"{path}: {error}; check the folder and its permissions") from error
