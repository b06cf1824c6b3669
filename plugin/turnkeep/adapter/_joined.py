"""Edits of one session that wait together: a rewrite does all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from anyio import Lock

from ..storage.base import Change

__all__ = ["Apply", "Joined"]

Apply: TypeAlias = Callable[[Mapping[str, Change]], Awaitable[Mapping[str, Exception]]]
"""A function that makes edits by the messages' source ids, and returns those that it can't."""


class _Batch:
    """Edits to make at once. Of one message only the latest counts."""

    def __init__(self) -> None:
        self.edits: dict[str, Change] = {}
        self.failed: Mapping[str, Exception] | None = None  # None until they are made


class Joined:
    """The changes of one session: one runs, and the edits that come meanwhile are joined.

    A message of which a thousand replies repeat the beginning may be edited twenty times while
    the first edit is made. That is two rewrites, and the second one writes the latest text.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self._waiting: _Batch | None = None

    async def edit(self, source_id: str, edit: Change, apply: Apply) -> None:
        """Make an edit with all others that wait; raise the error of this one."""
        batch = self._waiting = self._waiting or _Batch()
        batch.edits[source_id] = edit
        async with self.lock:
            if self._waiting is batch:
                self._waiting = None
            # Somebody else may have made them all. If that failed, each tries for themselves.
            if batch.failed is None:
                batch.failed = await apply(batch.edits)
        if source_id in batch.failed:
            raise batch.failed[source_id]
