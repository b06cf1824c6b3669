"""The thread that writes: transactions, the stamp, and the log's way into the database.

Each transaction that writes gives the file a new random stamp. The thread knows the latest one
of its own. If it finds another one, another process has written, and nothing held in memory
counts any more. The loop compares the stamp at each read, which takes 4 µs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Any, Final

import apsw

from ..._errors import StorageError, TurnkeepError
from ..strangers import warn_of_strangers
from ._appending import Appending, AppendOp
from ._connect import Place, close_all
from ._erasing import erase_some, is_due
from ._faults import moved, storage_error, unerased
from ._held import Cache, Held
from ._lane import Op
from ._schema import new_stamp
from ._sessions import Sessions

logger: Final = logging.getLogger("turnkeep")

PAGES_IN_LOG: Final = 2000
"""The pages in the log at which they are brought into the database, beside the writing."""

MOST_PAGES_IN_LOG: Final = 16_000
"""The pages at which the writing waits for that."""

PAUSE: Final = 0.005


class SessionsOp(Op, eq=False, kw_only=True):
    """A verb as a function of the sessions; `writes` says whether it may change them."""

    verb: Callable[[Sessions], Any]
    writes: bool = True


class Engine:
    """All that one storage has open, as `open` to `close` go. It belongs to the writing thread."""

    def __init__(self, place: Place) -> None:
        self.cache = Cache()
        self.damaged: set[int] = set()
        self._place = place
        self._db: apsw.Connection | None = None
        self._looker: apsw.Connection | None = None
        self._bringer: apsw.Connection | None = None
        self._bringing = Lock()
        self._known = 0
        self._coming = 0
        self._log_pages = 0
        self._unerased = False
        self._file: tuple[int, int] | None = None
        self._given_up = False
        self._waiting: list[tuple[float, Op]] = []
        self._parked: list[tuple[float, Op]] = []
        self.ask_to_bring: Callable[[], object] = lambda: None

    # On the loop.

    def held(self, text: str) -> Held | None:
        """Return a session from memory, if that is all that any process has acknowledged."""
        cache = self.cache
        looker = self._looker
        if looker is None or cache.get(text) is None:
            return None
        try:
            stamp = looker.execute("SELECT stamp FROM state").get
        except apsw.Error:
            return None
        # A commit of ours is known before it is made; a foreign one has a stamp of its own.
        return cache.get(text) if stamp in (self._known, self._coming) else None

    # On the thread.

    def open(self) -> None:
        """Open the connections, and make or check the tables."""
        place = self._place
        db = place.prepare()
        try:
            self._db = db
            warn_of_strangers(place.path)
            self._file = place.identity()
            self._known = self._coming = 0
            self.sessions = Sessions(db, self.cache, self.damaged)
            db.set_wal_hook(self._logged)
            self._looker = place.connect()
            if not place.read_only:
                self._bringer = place.connect(zeroing=True)
                self.sessions.search = db.execute("SELECT search FROM state").get
                self._given_up = is_due(self.sessions)
                self._unerased = self._given_up
        except apsw.Error as error:
            self.close()
            raise storage_error(place.path, error) from error
        except BaseException:  # nobody closes what did not open
            self.close()
            raise

    def close(self) -> None:
        """Bring the log into the database if nobody reads from it, and close all."""
        self.cache.clear()
        with suppress(apsw.Error):
            self.bring("TRUNCATE")
        connections = [self._looker, self._db, self._bringer]
        self._looker = self._db = self._bringer = None
        close_all(connections)

    def work(self, ops: Sequence[Op]) -> None:
        """Do what waits together in one transaction; reads wait for no other process."""
        reads = [op for op in ops if isinstance(op, SessionsOp) and not op.writes]
        if reads:
            self._transact(reads, writing=False)
        if len(reads) < len(ops):
            until = monotonic() + self._place.lock_timeout
            self._waiting += [(until, op) for op in ops if op not in reads]
            self._write()

    def _write(self) -> None:
        """Do the changes that wait, or leave them to `tidy` if another process writes."""
        assert self._db is not None
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except apsw.BusyError as error:
            late = [op for until, op in self._waiting if monotonic() > until and op.take()]
            self._fail(late, error)
            self._waiting = [(until, op) for until, op in self._waiting if not op.finished]
            return
        except apsw.Error as error:
            ops, self._waiting = [op for _, op in self._waiting], []
            self._fail([op for op in ops if op.take()], error)
            return
        ops, self._waiting = [op for _, op in self._waiting], []
        self._transact(ops, writing=True)

    def _transact(self, ops: Sequence[Op], *, writing: bool) -> None:
        assert self._db is not None
        taken = [op for op in ops if op.take()]
        try:
            if not writing:
                self._db.execute("BEGIN")
            self._compare_stamps()
            erasing = self._run(taken)
            if self.sessions.gave_up:
                erase_some(self.sessions)
            if writing:
                self._stamp()
                self._check_file()
            self._db.execute("COMMIT")
        except BaseException as error:  # those who wait raise it
            self._fail(taken, error)
            if not isinstance(error, Exception):
                raise
            return
        self.sessions.publish()
        self._known = self._coming
        self._park(erasing)
        for op in ops:
            op.finished = op not in erasing

    def _logged(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._log_pages = pages
        return 0

    def _compare_stamps(self) -> None:
        assert self._db is not None
        stamp, search = self._db.execute("SELECT stamp, search FROM state").get
        if stamp != self._known:
            self.cache.clear()
            self._known = self._coming = stamp
            self.sessions.search = search

    def _check_file(self) -> None:
        """Raise `StorageError` if what is stored now would not be in the file of that name."""
        if self._place.identity() != self._file:
            raise moved(self._place.path)

    def _stamp(self) -> None:
        assert self._db is not None
        self._coming = new_stamp()
        self._db.execute("UPDATE state SET stamp = ?", (self._coming,))

    def _run(self, ops: Sequence[Op]) -> list[Op]:
        """Run the verbs in their order, and return those that must wait for erased bytes."""
        erasing: list[Op] = []
        appends: list[AppendOp] = []
        for op in ops:
            if isinstance(op, AppendOp):
                appends.append(op)
                continue
            if appends:
                Appending(self.sessions, appends).run()
                appends = []
            if isinstance(op, SessionsOp) and self._run_one(op):
                erasing.append(op)
        if appends:
            Appending(self.sessions, appends).run()
        return erasing

    def _run_one(self, op: SessionsOp) -> bool:
        assert self._db is not None
        sessions = self.sessions
        sessions.erasing = False
        before = self._db.total_changes()
        try:
            op.result = op.verb(self.sessions)
        except TurnkeepError as error:
            if self._db.total_changes() != before:
                raise  # a part of it would be stored
            op.error = error
            return False
        return sessions.erasing

    def _fail(self, ops: Sequence[Op], error: BaseException) -> None:
        """Take the transaction back: nothing of these was done."""
        self.sessions.reset()
        self.cache.clear()
        self._coming = self._known
        if self._db is not None and self._db.in_transaction:
            with suppress(apsw.Error):
                self._db.execute("ROLLBACK")
        self._known = self._coming = 0
        for op in ops:
            if isinstance(error, StorageError):
                op.error = StorageError(str(error))
            elif isinstance(error, apsw.Error):
                op.error = storage_error(self._place.path, error)
            else:
                op.error = StorageError(f"{self._place.path}: {error!r}; nothing was stored")
            op.error.__cause__ = error
            op.result, op.finished = None, True

    # Erased bytes.

    def _park(self, erasing: Sequence[Op]) -> None:
        if erasing:
            self._unerased = True
            self._given_up = self._given_up or self.sessions.gave_up
            until = monotonic() + self._place.lock_timeout
            self._parked += [(until, op) for op in erasing]

    def tidy(self) -> float | None:
        """Do what another process held up; erase a part of what was given up; bring the log."""
        if self._waiting:
            self._write()
        if self._given_up:
            self._erase_some()
        if self._log_pages > MOST_PAGES_IN_LOG:
            self._log_pages = 0
            with suppress(apsw.Error):
                self.bring("RESTART")
        elif self._log_pages > PAGES_IN_LOG:
            self._log_pages = 0
            self.ask_to_bring()
        if self._given_up or self._waiting:
            return 0
        if self._unerased:
            self._empty_log()
        return PAUSE if self._parked else None

    def _erase_some(self) -> None:
        assert self._db is not None
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._compare_stamps()
            self._given_up = self.sessions.gave_up = erase_some(self.sessions)
            if self._given_up:
                self._stamp()
            self._db.execute("COMMIT")
        except apsw.BusyError:
            self._give_up_waiting(None)
        except apsw.Error as error:
            self._fail([], error)
            self._give_up_waiting(error)
            # The next one that erases tries it again.
            self._given_up, self.sessions.gave_up = False, True
        else:
            self.sessions.reset()
            self._known = self._coming

    def _empty_log(self) -> None:
        try:
            self._unerased = not self.bring("TRUNCATE")
        except apsw.BusyError:
            pass
        except apsw.Error as error:
            self._give_up_waiting(error)
        if self._unerased:
            self._give_up_waiting(None)
            return
        for _, op in self._parked:
            op.finished = True
        self._parked = []

    def _give_up_waiting(self, cause: apsw.Error | None) -> None:
        """Answer those that have waited too long for erased bytes, or all if there is a cause."""
        for until, op in self._parked:
            if cause is not None or monotonic() > until:
                op.error = unerased(self._place.path)
                op.error.__cause__ = cause
                op.finished = True
        self._parked = [(until, op) for until, op in self._parked if not op.finished]

    def bring(self, how: str = "PASSIVE") -> bool:
        """Bring pages from the log into the database; return True if all of them are there."""
        with self._bringing:
            if self._bringer is None or self._db is None:
                return False
            # By a statement: the helper of the connection does nothing and says nothing.
            busy, pages, brought = self._bringer.execute(f"PRAGMA wal_checkpoint({how})").get
            if how == "TRUNCATE" and not busy:
                # Pages in memory have copies of what was moved, and would bring them back.
                self._db.release_memory()
            return not busy and pages == brought
