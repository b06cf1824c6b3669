"""The thread that looks through many sessions, and brings the log into the database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import apsw

from ._connect import Place
from ._engine import Engine, SessionsOp
from ._faults import storage_error, translated
from ._lane import Op
from ._sessions import Sessions


class Bring(Op):
    """Bring pages from the log into the database, beside the writing."""


class Reader:
    """A connection that only reads. Each verb has a transaction of its own."""

    def __init__(self, place: Place, engine: Engine) -> None:
        self._place = place
        self._engine = engine
        self._db: apsw.Connection | None = None

    def open(self) -> None:
        """Open the connection; the tables are there."""
        with translated(self._place.path):
            self._db = self._place.connect(waits=self._place.lock_timeout)
            self._sessions = Sessions(self._db, None, self._engine.damaged)

    def close(self) -> None:
        """Close the connection."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def tidy(self) -> float | None:
        """There is nothing that waits."""
        return None

    def work(self, ops: Sequence[Op]) -> None:
        """Do these, one after the other."""
        for op in ops:
            if op.take():
                if isinstance(op, SessionsOp):
                    self._look(op)
                else:
                    with suppress(apsw.Error):
                        self._engine.bring()
            op.finished = True

    def _look(self, op: SessionsOp) -> None:
        assert self._db is not None
        try:
            self._db.execute("BEGIN")
            self._sessions.search = self._db.execute("SELECT search FROM state").get
            op.result = op.verb(self._sessions)
        except apsw.Error as error:
            op.error = storage_error(self._place.path, error)
            op.error.__cause__ = error
        except Exception as error:  # noqa: BLE001 - the verb's caller raises it
            op.error = error
        finally:
            if self._db.in_transaction:
                self._db.execute("COMMIT")
