"""The tables, and what opening does to make them.

A later version adds its statements to `MIGRATIONS`; the file's `user_version` counts how many
of them it has had. `application_id` tells the file from other programs' databases.
"""

from __future__ import annotations

import secrets
from typing import Final

import apsw

from ..._errors import StorageError
from . import _index
from ._index import Kind
from ._rows import BODIES, decoded
from ._sql import insert

APPLICATION_ID: Final = 0x74_6B_65_65  # "tkee"

_FIRST: Final = (
    """CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),  -- there is one row
    stamp INTEGER NOT NULL,                   -- changes with each commit: tells what is in memory
    search TEXT NOT NULL                      -- the kind of word index: words, trigram or none
)""",
    """CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,      -- what `parts` refer to, so that a new key changes one row
    key TEXT NOT NULL UNIQUE,    -- the printed form of the session's key
    created INTEGER NOT NULL,    -- times are microseconds since 1970, which sort
    updated INTEGER NOT NULL,    -- the last change, for the list of the newest
    turns INTEGER NOT NULL,      -- counted, so that a long session need not be
    last_id INTEGER NOT NULL,    -- the highest id ever given: none is given twice
    epoch INTEGER NOT NULL,      -- the current epoch
    last_consolidated INTEGER NOT NULL,
    summary TEXT,
    generation TEXT NOT NULL,    -- names this life of the session
    revision INTEGER NOT NULL,   -- counts the changes of older turns
    metadata TEXT,               -- JSON; NULL if there is none
    origins TEXT                 -- JSON: the generations that were merged into this one
)""",
    # The list of sessions, the last written first.
    "CREATE INDEX sessions_updated ON sessions (updated DESC, key)",
    # A merge moves parts, and no turn. So its cost does not depend on their number.
    """CREATE TABLE parts (
    part INTEGER PRIMARY KEY,    -- the upper half of a turn's `place`
    session INTEGER,             -- NULL: its turns are to be erased
    ids INTEGER NOT NULL,        -- what a merge has added to the ids of its turns
    epochs INTEGER NOT NULL      -- … and to their epochs
)""",
    "CREATE INDEX parts_session ON parts (session)",
    """CREATE TABLE turns (
    place INTEGER PRIMARY KEY,   -- part << 32 | id within the part: a part's turns stand together
    epoch INTEGER NOT NULL,      -- within the part
    time INTEGER NOT NULL,       -- for a search, which gives the newest first
    body TEXT NOT NULL           -- the turn as JSON, without id, epoch and generation
)""",
    # For `find`, `find_all`, and the duplicates of an append.
    """CREATE TABLE sources (
    name TEXT NOT NULL,          -- a source id
    place INTEGER NOT NULL,      -- the turn that has it
    PRIMARY KEY (name, place)
) WITHOUT ROWID""",
    """CREATE TABLE tokens (
    name TEXT NOT NULL,          -- the token of an append
    place INTEGER NOT NULL,      -- the turn that it stored
    PRIMARY KEY (name, place)
) WITHOUT ROWID""",
    """CREATE TABLE aliases (
    alias TEXT PRIMARY KEY,      -- a key that means another session
    target TEXT NOT NULL         -- that session's key, which may have no turns yet
) WITHOUT ROWID""",
    """CREATE TABLE claims (
    key TEXT NOT NULL,           -- a session's key: a claim needs no session
    name TEXT NOT NULL,          -- the piece of work
    owner TEXT NOT NULL,
    expires INTEGER NOT NULL,
    payload TEXT NOT NULL,       -- JSON
    taken_over INTEGER NOT NULL,
    PRIMARY KEY (key, name)
) WITHOUT ROWID""",
    "CREATE INDEX claims_expires ON claims (expires)",
)

MIGRATIONS: Final = (_FIRST,)
"""The statements of each version of the schema, the first one first."""

CHUNK: Final = 1000


def version(db: apsw.Connection, path: object) -> int:
    """Return the version of the schema that a file has, 0 for an empty file.

    Raises `StorageError` if the file is another program's, or a newer turnkeep's.
    """
    found, tables, ours = db.execute(
        "SELECT (SELECT user_version FROM pragma_user_version), "
        "(SELECT count(*) FROM sqlite_schema), "
        "(SELECT application_id FROM pragma_application_id)"
    ).get
    if ours != APPLICATION_ID and (tables or ours or found):
        raise StorageError(
            f"{path}: this SQLite database belongs to another program, and nothing was changed; "
            "give the sessions a file of their own"
        )
    if found > len(MIGRATIONS):
        raise StorageError(
            f"{path}: a newer turnkeep has written this file (schema {found}, and this version "
            f"knows {len(MIGRATIONS)}); nothing was changed. Install that version: "
            "pip install -U turnkeep"
        )
    return int(found)


def migrate(db: apsw.Connection, path: object, search: Kind | None) -> None:
    """Bring the schema up to date, and the word index to the kind that was asked for.

    It is called within a transaction that writes.
    """
    for number, statements in enumerate(MIGRATIONS[version(db, path) :], version(db, path) + 1):
        for statement in statements:
            db.execute(statement)
        if number == 1:
            db.execute("INSERT INTO state VALUES (1, ?, 'none')", (new_stamp(),))
            search = search or "words"
        db.execute(f"PRAGMA user_version = {number}")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    kind = db.execute("SELECT search FROM state").get
    if search is not None and search != kind:
        _index_anew(db, search)
        db.execute("UPDATE state SET search = ?, stamp = ?", (search, new_stamp()))


def new_stamp() -> int:
    """Return a stamp that no other commit has."""
    return secrets.randbits(62)


def _index_anew(db: apsw.Connection, kind: Kind) -> None:
    db.execute("DROP TABLE IF EXISTS words")
    if kind == "none":
        return
    db.execute(_index.TABLE)
    db.execute(_index.SECURE)
    db.execute(_index.MERGE)
    after = 0
    while True:
        statement = f"SELECT {BODIES} FROM (SELECT * FROM turns WHERE place > ? LIMIT ?)"
        rows = decoded(db.execute(statement, (after, CHUNK)).get)
        texts = [
            (row.place, text)
            for row in rows
            if row.turn is not None and (text := _index.tokens(kind, row.turn))
        ]
        insert(db, _index.INSERT, texts)
        if not rows:
            return
        after = rows[-1].place
