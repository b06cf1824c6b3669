"""Pairs of bytes, and how their keys are made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Protocol

__all__ = ["Pairs", "below", "path", "utc_now", "value"]


class Pairs(Protocol):
    """Pairs of bytes in the order of their keys, in a transaction."""

    def put(self, key: bytes, value: bytes) -> None:
        """Store a value, in the place of the one that the key has."""
        ...

    def delete(self, key: bytes) -> None:
        """Take a pair away, if there is one."""
        ...

    def scan(
        self, first: bytes, end: bytes, limit: int | None, *, reverse: bool
    ) -> Iterable[tuple[bytes, bytes]]:
        """Return the pairs with `first <= key < end` in their order, or in the reverse one.

        With `limit`, at most so many. The pairs may be changed while what was returned is
        iterated over.
        """
        ...


def utc_now() -> datetime:
    """Return the time, by the clock of this process."""
    return datetime.now(timezone.utc)


def path(*parts: str | int) -> bytes:
    """Return the key of these parts: texts with a NUL byte behind each, and ids in 8 bytes."""
    return b"".join(
        part.to_bytes(8) if isinstance(part, int) else part.encode() + b"\0" for part in parts
    )


def value(pairs: Pairs, key: bytes) -> bytes | None:
    """Return the value of one key, if it has any."""
    return next((found for _, found in pairs.scan(key, key + b"\0", 1, reverse=False)), None)


def below(pairs: Pairs, first: bytes) -> list[tuple[bytes, bytes]]:
    """Return all pairs whose key begins so."""
    return list(pairs.scan(first, first + b"\xff" * 9, None, reverse=False))
