"""Claims: the server's functions for them, many in one round trip and one commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..._records.key import SessionKey
from ..rules import bounded
from ._lane import Request
from ._link import Connection
from ._place import Place
from ._terms import Terms

__all__ = ["CHANGE", "TAKE", "ClaimCall"]

TAKE: Final = "SELECT * FROM turnkeep.take_claim(%s, %s, %s, %s, %s, %s, %s)"
CHANGE: Final = "SELECT * FROM turnkeep.change_claim(%s, %s, %s, %s, %s, %s, %s)"


class ClaimCall(Request):
    """A call about one claim: to take it; to change it, which without a ttl is its end.

    The answer has the rows of the server's function.
    """

    def __init__(
        self,
        place: Place,
        terms: Terms,
        query: str,
        key: SessionKey,
        name: str,
        owner: str,
        ttl: float | None,
        payload: str | None,
    ) -> None:
        super().__init__(changes=True)
        self.claim = (key.text, name)
        self.query = place.sql(query)
        lasts = None if ttl is None else bounded(ttl)
        self.parameters = (*terms, key.text, name, owner, lasts, payload)

    def alone(self, connection: Connection) -> list[tuple[Any, ...]]:
        """Make this call by itself."""
        return connection.execute(self.query, self.parameters).fetchall()


def _call(connection: Connection, calls: Sequence[ClaimCall]) -> None:
    """Make all calls in one transaction, which the end of the pipeline commits."""
    if len(calls) == 1:
        calls[0].answer = calls[0].alone(connection)
        return
    # In one order of the claims, so that two processes never wait for each other.
    in_order = sorted(calls, key=lambda call: call.claim)
    with connection.pipeline():
        cursors = [connection.execute(call.query, call.parameters) for call in in_order]
    for call, cursor in zip(in_order, cursors, strict=True):
        call.answer = cursor.fetchall()


ClaimCall.together = _call
