"""The handling of messages that come while an earlier one of their session is answered."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeAlias, TypeVar, get_args
from weakref import WeakKeyDictionary, WeakValueDictionary

from anyio import CancelScope, Lock, current_time, sleep_until

from .._errors import StorageError, StoreClosedError, StoreLockedError
from .._records.identity import TurnRef
from .._records.turn import Turn
from .._session.leases import HANDLE, Lease
from .._store import Session, SessionStore
from ._owed import debts_of

__all__ = ["Busy", "Overlap"]

logger: Final = logging.getLogger("turnkeep")

Busy: TypeAlias = Literal["parallel", "queue", "latest", "collect", "drop"]
BUSY: Final = get_args(Busy)

ALBUM_PAUSE: Final = 0.5
"""The seconds to wait for the next part of an album; each part comes as a message."""

_MAX_PAUSES: Final = 10
_HANDLED_KEPT: Final = 10_000

S = TypeVar("S", bound=Session)
T = TypeVar("T")


class _Message:
    """A message in hand, until its handler ends or a later message takes it over."""

    def __init__(self, session: Session, turn: Turn) -> None:
        self.turns: tuple[Turn, ...] = (*session.joined, turn)
        self.since = current_time()
        self.scope = CancelScope()
        self.superseded = False
        self.is_late = False  # its turn came when the store was closed

    def take_along(self, before: _Message | None) -> None:
        """Take over an earlier message: this one's handler answers it too."""
        if before is not None:
            before.superseded = True
            before.scope.cancel()
            taken = {(turn.id, turn.time): turn for turn in (*before.turns, *self.turns)}
            # By id: they may have come in another order than they were recorded in.
            self.turns = tuple(taken[place] for place in sorted(taken))
            self.since = before.since


class _Line:
    """The messages in hand of one session."""

    def __init__(self) -> None:
        self.lock = Lock()  # fair: first come, first served
        self.running: _Message | None = None  # with busy="latest"
        self.collecting: _Message | None = None  # with busy="collect"
        self.bursts: dict[tuple[str, str], _Message] = {}


class _Room:
    """The messages in hand of all sessions of a store, in all of its adapters."""

    def __init__(self) -> None:
        self.in_hand: set[TurnRef] = set()
        self._lines: WeakValueDictionary[str, _Line] = WeakValueDictionary()
        self._handled: OrderedDict[TurnRef, None] = OrderedDict()

    def line(self, lives: tuple[str, ...]) -> _Line:
        """Return a session's line, the same one after a link, a merge or a rename."""
        line = next((self._lines[life] for life in lives if life in self._lines), None) or _Line()
        for life in lives:
            self._lines.setdefault(life, line)
        return line

    def knows(self, name: TurnRef) -> bool:
        """Return True if a message is in hand, or was handled."""
        return name in self.in_hand or name in self._handled

    def note_handled(self, names: Iterable[TurnRef]) -> None:
        """Remember handled messages. One whose handler failed is handled when it comes again."""
        self._handled.update(dict.fromkeys(names))
        while len(self._handled) > _HANDLED_KEPT:
            self._handled.popitem(last=False)


_rooms: Final[WeakKeyDictionary[SessionStore, _Room]] = WeakKeyDictionary()


class Overlap:
    """The runner of message handlers, which keeps those of one session out of each other's way.

    `busy` decides about a message that comes while another one of its session is handled:

    - `"parallel"`: its handler runs at the same time.
    - `"queue"`: it waits, first come, first served.
    - `"latest"`: the other handler is cancelled, and this one answers both messages.
    - `"collect"`: the handler of the latest message answers all that came meanwhile.
    - `"drop"`: it is recorded, and its handler does not run.

    `debounce`, in seconds, joins the messages that one person writes in a burst. After that long
    without another message, the handler of the last one runs, and answers them all. The parts of
    an album are always joined like this. A message that is delivered again is handled once.

    Linked keys are one session, also if two adapters handle its messages. If several processes
    share the storage, the handlers of a session run one after the other in all of them, except
    with `"parallel"`. Cancelling, joining and dropping happen within one process.
    """

    def __init__(self, busy: Busy = "parallel", *, debounce: float = 0) -> None:
        check_overlap(busy, debounce)
        self.busy: Busy = busy
        self.debounce = debounce

    async def run(
        self,
        session: S,
        handle: Callable[[S], Awaitable[T]],
        *,
        album: str | None = None,
        busy: Busy | None = None,
        debounce: float | None = None,
    ) -> T | None:
        """Run the handler with the session; return None if it did not run, or was cancelled.

        The session is bound to the message in hand. A session without one never waits. `album`
        names the album that the message is a part of.
        """
        busy = self.busy if busy is None else busy
        debounce = self.debounce if debounce is None else debounce
        check_overlap(busy, debounce)
        if session.turn is None:
            return await handle(session)
        name = session.name(session.turn)
        room = _rooms.setdefault(session.store, _Room())
        if session.already_answered or room.knows(name):
            return None  # delivered again
        room.in_hand.add(name)
        debts = debts_of(session.store.desk)
        debts.enter_line(session.turn)
        line = room.line(session.lives(session.turn))
        mine = _Message(session, session.turn)
        result: T | None = None
        cut_off = True
        try:
            with mine.scope:
                await self._burst(line, mine, album, debounce)
                result = await self._in_line(line, mine, session, handle, busy)
                if not mine.superseded:
                    room.note_handled(session.name(turn) for turn in mine.turns)
        except StoreClosedError:
            raise
        except Exception:
            cut_off = False
            raise
        else:
            cut_off = mine.is_late
        finally:
            if not mine.superseded:  # otherwise the message that took them over closes them
                room.in_hand.difference_update(session.name(turn) for turn in mine.turns)
                await debts.end(mine.turns, cut_off=cut_off)
        return result

    async def _burst(self, line: _Line, mine: _Message, album: str | None, debounce: float) -> None:
        """Wait until no message follows. A message that follows takes this one over."""
        pause = max(debounce, 0 if album is None else ALBUM_PAUSE)
        if not pause:
            return
        sender = mine.turns[-1].sender
        name = ("sender", sender.id if sender else "") if debounce else ("album", album or "")
        mine.take_along(line.bursts.get(name))
        line.bursts[name] = mine
        try:
            # Also a person who never stops writing gets an answer.
            await sleep_until(min(current_time() + pause, mine.since + _MAX_PAUSES * pause))
        finally:
            if line.bursts.get(name) is mine:
                del line.bursts[name]

    async def _in_line(
        self,
        line: _Line,
        mine: _Message,
        session: S,
        handle: Callable[[S], Awaitable[T]],
        busy: Busy,
    ) -> T | None:
        debts = debts_of(session.store.desk)
        if busy == "parallel":
            await debts.count_try(mine.turns)
            return await handle(_bound(session, mine.turns))
        if busy == "drop" and line.lock.locked():
            return None
        if busy == "latest":
            mine.take_along(line.running)
            line.running = mine
        elif busy == "collect":
            mine.take_along(line.collecting)
            line.collecting = mine
        try:
            async with line.lock, _turn(session, wait=busy != "drop") as is_mine:
                if not is_mine:
                    return None
                if mine.superseded:  # a later one took it over just now
                    return None
                mine.is_late = session.store.desk.opening.state == "closed"
                if mine.is_late:
                    return None
                if line.collecting is mine:
                    line.collecting = None
                # A message that was answered before the cancellation is not answered again.
                await debts.count_try(mine.turns)
                left = [one for one in mine.turns[:-1] if not _is_answered(session, one)]
                return await handle(_bound(session, (*left, mine.turns[-1])))
        finally:
            if line.running is mine:
                line.running = None
            if line.collecting is mine:
                line.collecting = None


@asynccontextmanager
async def _turn(session: Session, *, wait: bool) -> AsyncGenerator[bool, None]:
    """Take the turn of the session's handlers among all processes that share the storage.

    A failing storage delays no handler: then the order holds only within this process.
    """
    desk = session.store.desk
    if not desk.is_shared:
        yield True
        return
    lease: Lease | None = None
    is_mine = True
    try:
        if wait:
            lease = await desk.leases.wait_for(session.key, HANDLE)
        else:
            lease = await desk.leases.take(session.key, HANDLE)
            is_mine = lease is not None
    except (StorageError, StoreLockedError) as error:
        logger.warning("%s: other processes may handle it at the same time: %s", session, error)
    try:
        yield is_mine
    finally:
        if lease is not None:
            with CancelScope(shield=True):
                await desk.leases.drop(lease)


def _bound(session: S, turns: tuple[Turn, ...]) -> S:
    return session.bind(turns[-1], joined=turns[:-1])


def _is_answered(session: Session, turn: Turn) -> bool:
    return session.bind(turn).already_answered


def check_overlap(busy: str, debounce: float) -> None:
    if busy not in BUSY:
        raise ValueError(f"busy is one of {', '.join(map(repr, BUSY))}, not {busy!r}")
    if not debounce >= 0:
        raise ValueError(f"debounce is in seconds, 0 or more, not {debounce!r}")
