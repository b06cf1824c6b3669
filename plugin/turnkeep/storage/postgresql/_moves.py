"""Changes of keys: renames, aliases, and sessions forgotten. One runs at a time."""

from __future__ import annotations

from ..._records.key import SessionKey
from ..base import merged
from ._sessions import Held, Sessions

__all__ = ["forget", "rename", "unlink"]


def rename(held: Sessions, old: SessionKey, new: SessionKey) -> None:
    """Move a session, or merge it into another one."""
    asked = new
    old, new = held.resolve(old), held.resolve(new)
    if old == new:
        if asked == old:
            return
        new = asked  # back to what became an alias
    moved, there = held.lock(old, new)
    if moved is not None:
        _move(held, moved, there, new)
    held.run("DELETE FROM turnkeep.alias WHERE alias = %s", new.text)
    held.run("UPDATE turnkeep.alias SET key = %s WHERE key = %s", new.text, old.text)
    held.run("INSERT INTO turnkeep.alias (alias, key) VALUES (%s, %s)", old.text, new.text)
    held.run(
        "INSERT INTO turnkeep.claim (key, name, owner, expires_at, payload, taken_over) "
        "SELECT %s, name, owner, expires_at, payload, taken_over FROM turnkeep.claim "
        "WHERE key = %s ON CONFLICT DO NOTHING",
        new.text,
        old.text,
    )
    held.run("DELETE FROM turnkeep.claim WHERE key = %s", old.text)


def _move(held: Sessions, moved: Held, there: Held | None, new: SessionKey) -> None:
    if there is None:
        held.run("UPDATE turnkeep.session SET key = %s WHERE sid = %s", new.text, moved.sid)
        held.save(moved)
        return
    info, ids, epochs = merged(moved.info, there.info)
    kept, gone = (there, moved) if there.info.turns else (moved, there)
    if moved.info.turns and there.info.turns:
        held.join(kept, gone, ids, epochs)
    else:
        held.erase(gone)  # what was set aside of it
    held.drop(gone)
    held.run(
        "UPDATE turnkeep.session SET key = %s, created_at = %s, generation = %s WHERE sid = %s",
        new.text,
        info.created_at,
        info.generation,
        kept.sid,
    )
    held.save(
        kept,
        metadata=info.metadata,
        turns=info.turns,
        last_id=info.last_id,
        epoch=info.epoch,
        last_consolidated=info.last_consolidated,
        summary=info.summary,
        revision=info.revision,
        damaged=info.damaged,
        origins=info.origins,
    )


def unlink(held: Sessions, alias: SessionKey) -> bool:
    """Remove an alias."""
    return held.run("DELETE FROM turnkeep.alias WHERE alias = %s", alias.text) > 0


def forget(held: Sessions, key: SessionKey) -> bool:
    """Delete a session, with its claims, and the alias by which it was named."""
    target = held.resolve(key)
    (session,) = held.lock(target)
    unlink(held, key)
    held.run("DELETE FROM turnkeep.claim WHERE key = %s", target.text)
    if session is not None:
        held.erase(session)
        held.drop(session)
    return session is not None
