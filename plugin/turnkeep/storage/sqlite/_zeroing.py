"""A file system for SQLite that writes no left-over bytes into the database.

`PRAGMA secure_delete` overwrites what is deleted. But when SQLite moves rows to another page, it
leaves copies of them in the gap of the old one, and these stay when the rows are deleted later.
So the connection that brings pages from the log into the database writes zeros into the gaps.
"""

from __future__ import annotations

from typing import Final

import apsw

NAME: Final = "turnkeep-zeroing"

_INTERIOR: Final = (2, 5)
_LEAVES: Final = (10, 13)
_FILE_HEADER: Final = 100


def zeroed(page: bytes, offset: int) -> bytes:
    """Return a page of the database with zeros in the gap before its rows.

    See "B-tree Pages" in https://sqlite.org/fileformat2.html.
    """
    header = 0 if offset else _FILE_HEADER
    kind = page[header]
    if kind not in _INTERIOR + _LEAVES:
        return page
    rows = int.from_bytes(page[header + 3 : header + 5])
    start = int.from_bytes(page[header + 5 : header + 7]) or 1 << 16
    end = header + (12 if kind in _INTERIOR else 8) + 2 * rows
    if not end <= start <= len(page):
        return page  # no page of a tree: it only begins like one
    return b"".join((page[:end], bytes(start - end), page[start:]))


class _File(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._holds_pages = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        super().xWrite(zeroed(data, offset) if self._holds_pages else data, offset)


class _FileSystem(apsw.VFS):
    def __init__(self) -> None:
        super().__init__(NAME, "")

    def xOpen(  # noqa: N802  # SQLite's name
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        return _File(name, flags)


_registered: Final = _FileSystem()
"""SQLite knows it as long as this object lives."""
