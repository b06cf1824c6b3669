"""The terms of every change: how durable it is, and how long it waits for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from ._link import Connection
from ._place import Place

__all__ = ["Terms"]

T = TypeVar("T")


class Terms(NamedTuple):
    """The first two parameters of the functions that change something."""

    durable: bool
    milliseconds: int

    def transaction(
        self, place: Place, work: Callable[[Connection], T], *, alone: bool = False
    ) -> Callable[[Connection], T]:
        """Return the work as one transaction, which holds the keys and aliases still.

        With `alone`, no other change of keys or of aliases runs at the same time.
        """
        # Several statements in one message, which can't have parameters.
        first = place.sql(
            f"BEGIN; SELECT turnkeep.begin_change({self.durable}, {self.milliseconds}); "
            f"SELECT turnkeep.hold_keys({alone})"
        )

        def whole(connection: Connection) -> T:
            try:
                connection.execute(first)
                done = work(connection)
                connection.execute("COMMIT")
            except BaseException:  # whatever it was, no transaction stays open
                if not connection.closed:
                    connection.execute("ROLLBACK")
                raise
            return done

        return whole
