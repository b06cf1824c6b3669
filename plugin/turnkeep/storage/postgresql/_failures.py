"""Errors of PostgreSQL, as a storage raises them: with its name, the reason and the remedy."""

from __future__ import annotations

from typing import Final

import psycopg

from ..._errors import LostAcknowledgementError, StorageError
from ._place import Place

__all__ = ["CONFLICTS", "lost", "refused", "unreachable", "unstorable"]

CONFLICTS: Final = frozenset({"40001", "40P01"})
"""Of two transactions the server ended one. The same one again does it."""

_REMEDIES: Final = {
    "25006": "The server is read-only, like a standby: use the address of the primary, or "
    "SessionStore(…, read_only=True)",
    "42501": "Grant the role its rights on the schema, or let an administrator apply the schema; "
    "see docs/postgresql.md",
    "42703": "The schema was removed or changed: open the store again",
    "42P01": "The schema was removed or changed: open the store again",
    "42883": "The schema was removed or changed: open the store again",
    "3F000": "The schema was removed or changed: open the store again",
    "53100": "Make room on the server's disk",
    "53200": "Give the server more memory",
    "53300": "Raise max_connections, or put pgbouncer before the server",
    "54000": "Make the key or the turn shorter",
    "55P03": "Another transaction holds the session: look at pg_stat_activity",
    "57014": "The server's statement_timeout is too short for this call",
}


def refused(place: Place, error: psycopg.Error) -> StorageError:
    """Return the error for a statement that the server refused. It changed nothing."""
    remedy = _REMEDIES.get(error.sqlstate or "", "See the server's log")
    said = place.hidden(error.diag.message_primary or str(error) or type(error).__name__)
    return StorageError(f"{place.name}: {said}; nothing was changed by this call. {remedy}")


def lost(place: Place, error: Exception) -> LostAcknowledgementError:
    """Return the error for a change whose connection ended before the answer came."""
    # Without the server's context, which repeats the statement.
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    said = place.hidden(" ".join((primary or str(error)).split()))
    return LostAcknowledgementError(
        f"{place.name}: the connection ended before the server answered ({said}), so the change "
        "was made or was not. Call it again, which is safe: an append under this error's token"
    )


def unreachable(place: Place, error: Exception) -> StorageError:
    """Return the error for a server that can't be connected to. Nothing was sent to it."""
    said = place.hidden(" ".join(str(error).split()))
    return StorageError(
        f"{place.name}: no connection: {said}. Nothing was changed by this call. Check that the "
        "server runs, and the host, port, database, user and password of the URL"
    )


def unstorable(place: Place, error: UnicodeError) -> StorageError:
    """Return the error for a text that is no Unicode. It was not sent."""
    return StorageError(
        f"{place.name}: a text holds a lone surrogate, which no database stores "
        f"({type(error).__name__}); nothing was changed by this call. Replace it"
    )
