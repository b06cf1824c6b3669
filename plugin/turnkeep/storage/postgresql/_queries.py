"""Reads over many sessions: lists, source ids, claims, words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from ..._errors import StorageError
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Claim, Found, Hit, Page, SessionInfo
from ..words import snippet, words
from ._link import Connection
from ._place import Place
from ._rows import LONGEST_WORD, RECORD, array, as_claim, as_info, as_turn, hashed, placed

__all__ = ["Queries"]

logger: Final = logging.getLogger("turnkeep")

_TURN = "s.key, t.body, p.ids, p.epochs, s.generation"

_RESOLVED = "coalesce((SELECT a.key FROM turnkeep.alias a WHERE a.alias = %s), %s)"


class Queries(NamedTuple):
    """Statements that change nothing. Each sees one moment."""

    connection: Connection
    place: Place

    def _rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(self.place.sql(query), parameters).fetchall()

    def find(self, key: SessionKey, source_id: str) -> Turn | None:
        """Return the latest turn of a session with this source id."""
        rows = self._rows(
            f"SELECT {_TURN} FROM turnkeep.session s JOIN turnkeep.part p ON p.sid = s.sid "
            "JOIN turnkeep.turn_name n ON n.life = p.life AND n.name = %s::uuid "
            "JOIN turnkeep.turn t ON t.life = n.life AND t.id = n.id "
            f"WHERE s.key = {_RESOLVED} ORDER BY p.ids + t.id DESC",
            hashed("source", source_id),
            key.text,
            key.text,
        )
        return next((turn for _, turn in _turns(rows)), None)

    def find_all(self, source_ids: Sequence[str], prefix: str, since: datetime | None) -> Found:
        """Return the turns of all sessions with one of these source ids."""
        if not _may_begin_a_key(prefix):
            return Found([], [])
        rows = self._rows(
            f"SELECT DISTINCT ON (s.key, p.ids + t.id) {_TURN} FROM turnkeep.turn_name n "
            "JOIN turnkeep.part p ON p.life = n.life JOIN turnkeep.session s ON s.sid = p.sid "
            "JOIN turnkeep.turn t ON t.life = n.life AND t.id = n.id "
            "WHERE n.name = ANY (%s::uuid[]) AND starts_with(s.key, %s) "
            "AND s.updated_at >= coalesce(%s, '-infinity'::timestamptz) "
            "ORDER BY s.key, p.ids + t.id",
            array(hashed("source", one) for one in source_ids),
            prefix,
            since,
        )
        return Found(_turns(rows), [])

    def aliases(self, prefix: str) -> dict[SessionKey, SessionKey]:
        """Return the aliases with a prefix, and the keys that they lead to."""
        if not _may_begin_a_key(prefix):
            return {}
        rows = self._rows(
            "SELECT alias, key FROM turnkeep.alias WHERE starts_with(alias, %s) ORDER BY alias",
            prefix,
        )
        return {SessionKey.parse(alias): SessionKey.parse(key) for alias, key in rows}

    def sessions(
        self,
        prefix: str,
        limit: int | None,
        after: SessionInfo | None,
        order: Literal["written", "key"],
    ) -> Page:
        """Return a page of the sessions."""
        if not _may_begin_a_key(prefix):
            return Page([], complete=True)
        where, parameters = "starts_with(s.key, %s)", list[Any]([prefix])
        if after is not None:
            where += (
                " AND s.key > %s"
                if order == "key"
                else (" AND s.updated_at <= %s AND (s.updated_at < %s OR s.key > %s)")
            )
            written = [after.updated_at] * 2 if order == "written" else []
            parameters += [*written, after.key.text]
        by = "s.key" if order == "key" else "s.updated_at DESC, s.key"
        rows = self._rows(
            f"SELECT {RECORD} FROM turnkeep.session s WHERE {where} ORDER BY {by} LIMIT %s",
            *parameters,
            None if limit is None else limit + 1,
        )
        complete = limit is None or len(rows) <= limit
        infos: list[SessionInfo] = []
        error: StorageError | None = None
        for row in rows[:limit]:
            try:
                infos.append(as_info(row))
            except StorageError as unreadable:
                error = unreadable
                logger.warning("%s; it is passed over", error)
        if error is not None and not (infos or complete):
            raise error  # there is nothing behind which the next page could begin
        return Page(infos, complete)

    def claims(self, key: SessionKey | None, prefix: str, expired: bool | None) -> list[Claim]:
        """Return claims, the earliest expiry first."""
        if not _may_begin_a_key(prefix):
            return []
        where, parameters = "starts_with(c.key, %s)", [prefix]
        if key is not None:
            where += f" AND c.key = {_RESOLVED}"
            parameters += [key.text, key.text]
        if expired is not None:
            where += f" AND c.expires_at {'<=' if expired else '>'} turnkeep.clock()"
        rows = self._rows(
            "SELECT c.key, c.name, c.owner, turnkeep.micros(c.expires_at), c.payload, "
            f"c.taken_over FROM turnkeep.claim c WHERE {where} "
            "ORDER BY c.expires_at, c.key, c.name",
            *parameters,
        )
        return [claim for row in rows if (claim := as_claim(row)) is not None]

    def search(
        self, text: str, prefix: str, sender_id: str | None, after: datetime | None, limit: int
    ) -> list[Hit]:
        """Return the turns that have all words of the text."""
        wanted = frozenset(words(text))
        if not wanted or limit < 1 or not _may_begin_a_key(prefix):
            return []
        if self.place.parts:
            condition = "turnkeep.joined(t.words) LIKE ALL (%s::text[])"
            parts = (word[:LONGEST_WORD].replace("_", "\\_") for word in wanted)
            given = array(f"%{part}%" for part in parts)
        else:
            condition = "t.words @@ %s::tsquery"
            given = " & ".join(f"'{word[:LONGEST_WORD]}'" for word in wanted)
        rows = self._rows(
            f"SELECT {_TURN} FROM turnkeep.turn t JOIN turnkeep.part p ON p.life = t.life "
            f"JOIN turnkeep.session s ON s.sid = p.sid WHERE {condition} "
            "AND starts_with(s.key, %s) AND t.sender IS NOT DISTINCT FROM coalesce(%s, t.sender) "
            "AND t.said_at > coalesce(%s, '-infinity'::timestamptz) "
            "ORDER BY t.said_at DESC, p.ids + t.id DESC LIMIT %s",
            given,
            prefix,
            sender_id,
            after,
            limit,
        )
        hits: list[Hit] = []
        for key, turn in _turns(rows):
            spoken = words(turn.text)
            if self.place.parts:
                shown = [word for word in spoken if any(part in word for part in wanted)]
                hits.append(Hit(key, turn, snippet(turn.text, shown)))
            elif wanted.issubset(spoken):  # of a very long word only the beginning is indexed
                hits.append(Hit(key, turn, snippet(turn.text, wanted)))
        return hits


def _turns(rows: Sequence[Sequence[Any]]) -> list[tuple[SessionKey, Turn]]:
    found: list[tuple[SessionKey, Turn]] = []
    for key, body, ids, epochs, generation in rows:
        turn = as_turn(body)
        if turn is not None:
            found.append((SessionKey.parse(key), placed(turn, ids, epochs, generation)))
    return found


def _may_begin_a_key(prefix: str) -> bool:
    """Return False for text that no key holds, and that the server does not take."""
    return "\0" not in prefix and not any("\ud800" <= one <= "\udfff" for one in prefix)
