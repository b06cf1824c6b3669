"""The turns of sessions that are no more, erased in steps between which others write.

To take the words of one turn out of the index securely costs about a millisecond. So the words of
very many are only marked as deleted, and then the whole index is merged, which leaves them out.
That the merge is due is written in the file: the index's own option `secure-delete` is off.
"""

from __future__ import annotations

from typing import Final

from ._index import SECURE
from ._rows import Part
from ._turn_rows import TurnRows

MANY: Final = 1000
"""The turns of a part from which on the index is merged."""

AT_ONCE: Final = 16
MANY_AT_ONCE: Final = 200
MERGED_PAGES: Final = 32

_INSECURE: Final = "INSERT INTO words (words, rank) VALUES ('secure-delete', 0)"
_IS_SECURE: Final = "SELECT v FROM words_config WHERE k = 'secure-delete'"
_COUNT: Final = "SELECT count(*) FROM (SELECT 1 FROM turns WHERE place > ? AND place < ? LIMIT ?)"


def is_due(tables: TurnRows) -> bool:
    """Return True if a crash has left something to be erased."""
    return _part(tables) is not None or not _is_secure(tables)


def erase_some(tables: TurnRows) -> bool:
    """Erase some of what was given up; return False if there was nothing."""
    part = _part(tables)
    if part is not None:
        _erase(tables, part)
        return True
    if _is_secure(tables):
        return False
    _merge(tables)
    return True


def _part(tables: TurnRows) -> Part | None:
    number = tables.db.execute("SELECT part FROM parts WHERE session IS NULL LIMIT 1").get
    return None if number is None else Part(number, 0, 0)


def _is_secure(tables: TurnRows) -> bool:
    return tables.search == "none" or tables.db.execute(_IS_SECURE).get == 1


def _erase(tables: TurnRows, part: Part) -> None:
    db, count = tables.db, MANY_AT_ONCE
    if tables.search != "none" and _is_secure(tables):
        if db.execute(_COUNT, (part.first, part.last, MANY)).get == MANY:
            db.execute(_INSECURE)
            tables.is_merging = False
        else:
            count = AT_ONCE
    rows = tables.rows(part.first, part.last, count, up=True)
    tables.remove([(part, row.turn) for row in rows if row.turn is not None])
    for row in rows:
        if row.turn is None:
            # Its names can't be read from it, so they are looked for.
            tables.damaged.discard(row.place)
            db.execute("DELETE FROM turns WHERE place = ?", (row.place,))
            for table in ("sources", "tokens"):
                db.execute(f"DELETE FROM {table} WHERE place = ?", (row.place,))
    if len(rows) < count:
        db.execute("DELETE FROM parts WHERE part = ?", (part.part,))


def _merge(tables: TurnRows) -> None:
    """Merge a little of the index; a negative number begins to merge all of it."""
    db, before = tables.db, tables.db.total_changes()
    pages = MERGED_PAGES if tables.is_merging else -MERGED_PAGES
    db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (pages,))
    # "If the difference is less than 2, then the 'merge' command was a no-op", SQLite says.
    if tables.is_merging and db.total_changes() - before < 2:
        db.execute(SECURE)
    tables.is_merging = True
