"""Errors of the server and the connection, as a storage raises them, with the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redis import exceptions as redis_errors

from ..._errors import LostAcknowledgementError, StorageError

__all__ = ["UNDONE", "is_refusal", "lost", "storage_error"]

UNDONE: Final = (
    redis_errors.NoScriptError,
    redis_errors.BusyLoadingError,
    redis_errors.TryAgainError,
    redis_errors.ClusterDownError,
    redis_errors.MasterDownError,
    redis_errors.MovedError,
    redis_errors.AskError,
)
"""The server did nothing and said so, and will do it in a moment, or another server will."""

_REFUSED: Final = "the server refuses the user or the password: check those in the URL"
_UNNAMED: Final = "the server wants a password: write it in the URL"
_RIGHTS: Final = (
    "the user lacks a right: it needs '+@all -@admin +script|load +script|exists', and the keys "
    "of the prefix"
)
_FULL: Final = "the server's memory is full: raise its maxmemory, or erase old sessions"
_REPLICA: Final = "this server is a read-only replica: name the primary in the URL"

_REMEDIES: Final[Mapping[str, str]] = {
    "WRONGPASS": _REFUSED,
    "invalid username-password": _REFUSED,
    "invalid password": _REFUSED,
    "without any password configured": "the server has no password: take it out of the URL",
    "NOAUTH": _UNNAMED,
    "Authentication required": _UNNAMED,
    "NOPERM": _RIGHTS,
    "No permission": _RIGHTS,
    "has no permission": _RIGHTS,
    "OOM": _FULL,
    "maxmemory": _FULL,
    "READONLY": _REPLICA,
    "read only replica": _REPLICA,
    "MISCONF": "the server can't write to its disk: make room, and look into its log",
    "NOREPLICAS": "the server has fewer replicas than its min-replicas-to-write asks for: look for "
    "those that are gone",
    "Client names": "client_name in the URL may have no spaces and no special characters",
    "WRONGTYPE": "a key of this prefix is somebody else's: choose another ?prefix=",
    "DB index is out of range": "the server has no such database: choose another in the URL",
}
"""The remedy, by a word of the server's message."""

_KINDS: Final[Mapping[type[Exception], str]] = {
    redis_errors.ReadOnlyError: "READONLY",
    redis_errors.OutOfMemoryError: "OOM",
    redis_errors.NoPermissionError: "NOPERM",
}
"""redis-py takes the server's first word from these."""


def is_refusal(error: Exception) -> bool:
    """Return True if the server answered that it does not let this client in."""
    return isinstance(error, redis_errors.AuthenticationError) or not isinstance(
        error, (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)
    )


def storage_error(name: str, error: Exception) -> StorageError:
    """Return what a verb raises that the server has not done."""
    made = StorageError(f"{name}: {_told(error)}")
    made.__cause__ = error
    return made


def _told(error: Exception) -> str:
    said = str(error)
    kind = next((word for one, word in _KINDS.items() if isinstance(error, one)), "")
    for word, remedy in _REMEDIES.items():
        if word in said or word == kind:
            return f"{remedy}. Nothing was stored of this call"
    if not is_refusal(error):
        return (
            f"the server can't be reached ({said}). Nothing was stored of this call. "
            "Start the server, or check host and port in the URL"
        )
    return f"the server answered {said!r:.300}; look into its log"


def lost(name: str) -> LostAcknowledgementError:
    """Return what a change raises that the server may have made or not."""
    return LostAcknowledgementError(
        f"{name}: the connection broke before the server's answer came, so that it can't be "
        "known whether the change was made. Do it again, which is safe"
    )
