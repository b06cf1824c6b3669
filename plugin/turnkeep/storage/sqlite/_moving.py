"""Renames, merges and aliases, and the end of a session.

A merge moves the parts of a session, not its turns. So its cost does not depend on their number.
"""

from __future__ import annotations

from typing import Any

from ..._records.key import SessionKey
from ..base import merged
from ._held import Held
from ._rows import Part, replace
from ._sessions import Sessions


def rename(sessions: Sessions, old: SessionKey, new: SessionKey) -> None:
    """Do what `Storage.rename` does."""
    db = sessions.db
    old, asked, new = sessions.resolve(old), new, sessions.resolve(new)
    if old == new:
        if asked == old:
            return
        new = asked  # back to what became an alias
    db.execute("DELETE FROM aliases WHERE alias = ?", (new.text,))
    sessions.rename_all()
    moved, there = sessions.get(old), sessions.get(new)
    if moved is not None:
        _move(sessions, moved, there, new)
    db.execute("UPDATE aliases SET target = ? WHERE target = ?", (new.text, old.text))
    db.execute("REPLACE INTO aliases VALUES (?, ?)", (old.text, new.text))
    # A claim of the same name stays as it is.
    db.execute("UPDATE OR IGNORE claims SET key = ? WHERE key = ?", (new.text, old.text))
    db.execute("DELETE FROM claims WHERE key = ?", (old.text,))


def _move(sessions: Sessions, moved: Held, there: Held | None, new: SessionKey) -> None:
    info, ids, epochs = replace(moved.info, key=new), 0, 0
    parts = moved.parts
    if there is not None:
        info, ids, epochs = merged(moved.info, there.info)
        sessions.db.execute("DELETE FROM sessions WHERE id = ?", (there.row,))
        if moved.info.turns and there.info.turns:
            parts += tuple(
                Part(one.part, one.ids + ids, one.epochs + epochs) for one in there.parts
            )
        else:
            parts, empty = (
                (there.parts, moved.parts) if there.info.turns else (moved.parts, there.parts)
            )
            # Unreadable turns may be left in it.
            sessions.give_up(empty)
    for part in parts:
        values: tuple[Any, ...] = (moved.row, part.ids, part.epochs, part.part)
        statement = "UPDATE parts SET session = ?, ids = ?, epochs = ? WHERE part = ?"
        sessions.db.execute(statement, values)
    sessions.rename_all()
    held = Held(moved.row, info, parts, [], 0, info.last_id)
    sessions.save(held)


def unlink(sessions: Sessions, alias: SessionKey) -> bool:
    """Do what `Storage.unlink` does."""
    sessions.db.execute("DELETE FROM aliases WHERE alias = ?", (alias.text,))
    there: bool = sessions.db.changes() > 0
    if there:
        sessions.rename_all()
    return there


def forget(sessions: Sessions, key: SessionKey) -> bool:
    """Do what `Storage.forget` does; the turns of a long session are erased in steps."""
    target = sessions.resolve(key)
    statement = "SELECT id FROM sessions WHERE key = ?"
    row = sessions.db.execute(statement, (target.text,)).get
    unlink(sessions, key)
    sessions.db.execute("DELETE FROM claims WHERE key = ?", (target.text,))
    # Its record may be unreadable, so it is not looked into.
    if row is not None:
        sessions.db.execute("UPDATE parts SET session = NULL WHERE session = ?", (row,))
        sessions.db.execute("DELETE FROM sessions WHERE id = ?", (row,))
        sessions.keep(None, target.text)
        sessions.gave_up = True
    sessions.erasing = True
    return row is not None
