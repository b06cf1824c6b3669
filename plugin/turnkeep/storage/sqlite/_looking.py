"""Looking through many sessions: lists, source ids, words. It runs beside the writing thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import apsw

from ..._errors import StorageError, UnsupportedError
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Found, Hit, Page, SessionInfo
from ..words import snippet, words
from . import _index
from ._claims import below
from ._rows import COLUMNS, READABLE, Part, decoded, info_of, micros, of_session, replace
from ._sessions import Sessions

_PLACED: Final = (
    "sessions.key, sessions.generation, parts.part, parts.ids, parts.epochs, "
    "CAST(turns.place || ' ' || turns.epoch || ' ' || turns.body AS BLOB)"
)
_OF_SESSIONS: Final = (
    "JOIN parts ON parts.part = turns.place >> 32 JOIN sessions ON sessions.id = parts.session"
)
_COUNT: Final = f"SELECT count(*) FROM (SELECT 1 FROM sessions WHERE {below(1)} LIMIT ?2)"

FEW: Final = 1000
"""So many sessions with a prefix are sorted, where the others could be many more."""


def find(sessions: Sessions, key: SessionKey, source_id: str) -> Turn | None:
    """Do what `Storage.find` does."""
    held = sessions.get(key)
    if held is None:
        return None
    places = sessions.places("sources", [source_id]).get(source_id, [])
    return sessions.named(held, places)


def find_all(
    sessions: Sessions, source_ids: Sequence[str], prefix: str, since: datetime | None
) -> Found:
    """Do what `Storage.find_all` does, in one statement for the turns."""
    unread = sessions.db.execute(
        f"SELECT key FROM sessions WHERE {below(1)} AND NOT ({READABLE}) ORDER BY key", (prefix,)
    )
    found = Found([], [SessionKey.parse(key) for (key,) in unread])
    if not source_ids:
        return found
    rows = sessions.db.execute(
        f"SELECT DISTINCT {_PLACED} FROM sources JOIN turns ON turns.place = sources.place "
        f"{_OF_SESSIONS} WHERE sources.name IN (SELECT value FROM carray(?3)) "
        f"AND sessions.{below(1).replace('AND key', 'AND sessions.key')} "
        "AND (?2 IS NULL OR sessions.updated >= ?2) "
        "ORDER BY sessions.key, turns.place - (parts.part << 32) + parts.ids",
        (prefix, None if since is None else micros(since), apsw.carray(tuple(source_ids))),
    )
    unreadable = set(found.unread)
    found.turns.extend(one for one in _placed(rows) if one[0] not in unreadable)
    return found


def _placed(rows: apsw.Cursor) -> Iterator[tuple[SessionKey, Turn]]:
    for key, generation, part, ids, epochs, body in rows:
        for row in decoded(body):
            if row.turn is not None:
                turn = of_session(row.turn, Part(part, ids, epochs), generation)
                yield SessionKey.parse(key), turn


def aliases(sessions: Sessions, prefix: str) -> dict[SessionKey, SessionKey]:
    """Do what `Storage.aliases` does."""
    rows = sessions.db.execute("SELECT alias, target FROM aliases ORDER BY alias")
    return {
        SessionKey.parse(alias): SessionKey.parse(target)
        for alias, target in rows
        if alias.startswith(prefix)
    }


def listing(
    prefix: str,
    limit: int | None,
    after: SessionInfo | None,
    order: Literal["written", "key"],
    *,
    few: bool = False,
) -> str:
    """Return the statement for a page. It walks along an index, and sorts only few sessions."""
    where = below(1)
    if order == "key":
        if after is not None:
            where += " AND key > ?3"
    else:
        if limit is not None and not few and not prefix.partition(":")[2]:
            # Most of the sessions: along their times, not by their keys and then sorted.
            where = where.replace("key ", "+key ")
        if after is not None:
            where += " AND updated <= ?2 AND (updated < ?2 OR key > ?3)"
    by = "updated DESC, key" if order == "written" else "key"
    return f"SELECT {COLUMNS} FROM sessions WHERE {where} AND (?2 IS ?2 AND ?3 IS ?3) ORDER BY {by}"


def listed(
    sessions: Sessions,
    prefix: str,
    limit: int | None,
    after: SessionInfo | None,
    order: Literal["written", "key"],
    metadata: bool,
) -> Page:
    """Do what `Storage.sessions` does, along the index of its order."""
    values = (prefix, 0, "")
    if after is not None:
        values = (prefix, micros(after.updated_at), after.key.text)
    few = False
    if prefix and order == "written":
        few = sessions.db.execute(_COUNT, (prefix, FEW)).get < FEW
    rows = sessions.db.execute(listing(prefix, limit, after, order, few=few), values)
    infos: list[SessionInfo] = []
    for info in _readable(rows):
        if len(infos) == limit:
            return Page(infos, False)
        infos.append(info if metadata or not info.metadata else replace(info, metadata={}))
    return Page(infos, True)


def _readable(rows: apsw.Cursor) -> Iterator[SessionInfo]:
    for row in rows:
        try:
            yield info_of(row)
        except StorageError:  # `find_all` names it
            continue


def search(
    sessions: Sessions,
    text: str,
    prefix: str,
    sender_id: str | None,
    after: datetime | None,
    limit: int,
) -> list[Hit]:
    """Do what `Storage.search` does."""
    kind, hits = sessions.search, list[Hit]()
    wanted = frozenset(words(text))
    if kind == "none":
        raise UnsupportedError(
            "this file has no word index: open the store once with '?search=words' behind its "
            "path, which makes one"
        )
    if not wanted or limit <= 0:
        return hits
    values: list[Any] = [prefix, None if after is None else micros(after)]
    rows = sessions.db.execute(
        f"SELECT {_PLACED} FROM words JOIN turns ON turns.place = words.rowid {_OF_SESSIONS} "
        f"WHERE words MATCH ?3 AND sessions.{below(1).replace('AND key', 'AND sessions.key')} "
        "AND (?2 IS NULL OR turns.time > ?2) "
        "ORDER BY turns.time DESC, turns.place - (parts.part << 32) + parts.ids DESC",
        (*values, _index.query(kind, wanted)),
    )
    for key, turn in _placed(rows):
        if sender_id is not None and (turn.sender is None or turn.sender.id != sender_id):
            continue
        if _index.contains(kind, turn, wanted):
            shown = wanted if kind == "words" else _around(turn, wanted)
            hits.append(Hit(key, turn, snippet(turn.text, shown)))
            if len(hits) == limit:
                break
    return hits


def _around(turn: Turn, wanted: frozenset[str]) -> list[str]:
    """Return the words of the turn that have one of these parts."""
    return [word for word in words(turn.text) if any(part in word for part in wanted)]
