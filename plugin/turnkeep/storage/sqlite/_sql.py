"""Statements of many rows.

SQLite works without the interpreter's lock, and each step gets it back. While the loop is
busy that takes up to 5 ms. So a batch has few statements, each of many rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

_MOST: Final = 6
"""The binary logarithm of the most rows of a statement."""


def insert(db: apsw.Connection, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> None:
    """Execute a statement with these rows behind its `VALUES`.

    The sizes are powers of two, so that few different statements are prepared.
    """
    at = 0
    while at < len(rows):
        count = 1 << min((len(rows) - at).bit_length() - 1, _MOST)
        one = f"({', '.join('?' * len(rows[at]))})"
        values = [cell for row in rows[at : at + count] for cell in row]
        db.execute(f"{head}{', '.join([one] * count)}{tail}", values)
        at += count
