"""The handling of messages that come while an earlier one of their session is answered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Final, Literal, TypeAlias, TypeVar, get_args
from weakref import WeakKeyDictionary, WeakValueDictionary

from anyio import CancelScope, current_time, sleep_until

from .._errors import StoreClosedError
from .._records.identity import TurnRef
from .._records.turn import Turn
from .._store import Session, SessionStore
from ._admission import Admission, person_of
from ._bounds import Bounds, Refusal, RefusedError
from ._chat import ChatSession
from ._line import Line
from ._owed import debts_of

__all__ = ["Busy", "Overlap"]

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
        self.own = (*session.joined, turn)
        self.since = 0.0
        self.scope: CancelScope | None = None  # while another message may take this one over
        self.superseded = False
        self.is_late = False  # its turn came when the store was closed
        self._before: list[_Message] = []

    def take_along(self, before: _Message | None) -> None:
        """Take over an earlier message: this one's handler answers it too."""
        if before is not None:
            before.superseded = True
            if before.scope is not None:
                before.scope.cancel()
            self._before.append(before)
            self.since = before.since

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns to answer: its own, and those of all messages that it took over."""
        if not self._before and len(self.own) == 1:
            return self.own
        taken: dict[tuple[int, datetime], Turn] = {}
        left = [self]
        while left:
            message = left.pop()
            taken.update(((turn.id, turn.time), turn) for turn in message.own)
            left += message._before  # noqa: SLF001 (of its own class)
        # By id: they may have come in another order than they were recorded in.
        return tuple(taken[place] for place in sorted(taken))


class _Line(Line):
    """The messages in hand of one session."""

    def __init__(self) -> None:
        super().__init__()
        self.running: _Message | None = None  # with busy="latest"
        self.collecting: _Message | None = None  # with busy="collect"
        self.bursts: dict[tuple[str, str], _Message] = {}

    def end_burst(self, last: _Message) -> None:
        """Let no message join the burst that this one ends."""
        for name in [name for name, one in self.bursts.items() if one is last]:
            del self.bursts[name]


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

    `bounds` say how many messages wait in a queue, and how many answers a person gets. Whoever
    gets none is told so; the message is recorded. The handler of an event that is not recorded,
    such as a command, gets in line when it asks the model. Its session then raises
    `RefusedError` if there is no room; `run` returns None for it.
    """

    def __init__(
        self, busy: Busy = "parallel", *, debounce: float = 0, bounds: Bounds | None = None
    ) -> None:
        check_overlap(busy, debounce)
        self.busy: Busy = busy
        self.debounce = debounce
        self._bounds = bounds or Bounds()

    def admission(self, busy: Busy | None = None, *, is_managed: bool = False) -> Admission:
        """Return the admission of a handler that is not put in line by `run`."""
        busy = self.busy if busy is None else busy
        return Admission(
            self._bounds,
            None if busy == "parallel" else _line_of,
            waits=busy != "drop",
            is_managed=is_managed,
        )

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

        The session is bound to the message in hand. Without one, the handler runs at once, and
        waits when it asks the model. `album` names the album that the message is a part of.
        """
        busy = self.busy if busy is None else busy
        debounce = self.debounce if debounce is None else debounce
        check_overlap(busy, debounce)
        if session.turn is None:
            return await self._run_unrecorded(session, handle, busy)
        name = session.name(session.turn)
        room = _room_of(session.store)
        if session.already_answered or room.knows(name):
            return None  # delivered again
        room.in_hand.add(name)
        debts = debts_of(session.store.desk)
        debts.enter_line(session.turn)
        mine = _Message(session, session.turn)
        result: T | None = None
        cut_off = True
        try:
            if busy == "parallel" and album is None and not debounce:
                result = await self._handle(mine, session, handle)  # nothing takes it over
            else:
                result = await self._beside_others(mine, session, handle, busy, album, debounce)
            if not mine.superseded:
                room.note_handled(session.name(turn) for turn in mine.turns)
        except StoreClosedError:
            raise
        except Exception:  # the handler failed; one that is cut off is handled again
            cut_off = False
            raise
        else:
            cut_off = mine.is_late
        finally:
            if not mine.superseded:  # otherwise the message that took them over closes them
                room.in_hand.difference_update(session.name(turn) for turn in mine.turns)
                await debts.end(mine.turns, cut_off=cut_off)
        return result

    async def _run_unrecorded(
        self, session: S, handle: Callable[[S], Awaitable[T]], busy: Busy
    ) -> T | None:
        if not isinstance(session, ChatSession):
            return await handle(session)
        admission = self.admission(busy, is_managed=True)
        try:
            return await handle(session.admitted_by(admission))
        except RefusedError:
            return None
        finally:
            await admission.end()

    async def _beside_others(
        self,
        mine: _Message,
        session: S,
        handle: Callable[[S], Awaitable[T]],
        busy: Busy,
        album: str | None,
        debounce: float,
    ) -> T | None:
        line = _room_of(session.store).line(session.lives(mine.own[-1]))
        mine.since = current_time()
        result: T | None = None
        try:
            with CancelScope() as mine.scope:
                until = self._join_burst(line, mine, album, debounce)
                if busy != "queue" or debounce:  # an album keeps its place in a queue
                    await self._end_burst(line, mine, until)
                    until = None
                result = await self._in_line(line, mine, session, handle, busy, until)
        finally:
            line.end_burst(mine)
        return result

    def _join_burst(
        self, line: _Line, mine: _Message, album: str | None, debounce: float
    ) -> float | None:
        """Take the messages before this one over, if they are of one burst; return its end."""
        pause = max(debounce, 0 if album is None else ALBUM_PAUSE)
        if not pause:
            return None
        sender = mine.own[-1].sender
        name = ("sender", sender.id if sender else "") if debounce else ("album", album or "")
        mine.take_along(line.bursts.get(name))
        line.bursts[name] = mine
        # Also a person who never stops writing gets an answer.
        return min(current_time() + pause, mine.since + _MAX_PAUSES * pause)

    async def _end_burst(self, line: _Line, mine: _Message, until: float | None) -> None:
        """Wait until no message follows. A message that follows takes this one over."""
        if until is None:
            return
        await sleep_until(until)
        line.end_burst(mine)

    async def _in_line(
        self,
        line: _Line,
        mine: _Message,
        session: S,
        handle: Callable[[S], Awaitable[T]],
        busy: Busy,
        burst_until: float | None,
    ) -> T | None:
        if busy == "parallel":
            return await self._handle(mine, session, handle)
        if busy == "drop" and line.is_taken:
            return None
        if busy == "queue" and line.waiting >= self._bounds.max_waiting:
            await self._refuse(session, mine, Refusal("waiting"))
            return None
        if busy == "latest":
            mine.take_along(line.running)
            line.running = mine
        elif busy == "collect":
            mine.take_along(line.collecting)
            line.collecting = mine
        try:
            desk, place = session.store.desk, mine.own[-1].id
            async with line.front(desk, session.key, wait=busy != "drop", place=place) as is_mine:
                if not is_mine:
                    return None
                if mine.superseded:  # a later one took it over just now
                    return None
                await self._end_burst(line, mine, burst_until)
                mine.is_late = session.store.desk.opening.state == "closed"
                if mine.is_late:
                    return None
                if line.collecting is mine:
                    line.collecting = None
                return await self._handle(mine, session, handle)
        finally:
            if line.running is mine:
                line.running = None
            if line.collecting is mine:
                line.collecting = None

    async def _handle(
        self, mine: _Message, session: S, handle: Callable[[S], Awaitable[T]]
    ) -> T | None:
        # A message that was answered before the cancellation is not answered again.
        *earlier, latest = turns = mine.turns
        left = [one for one in earlier if not _is_answered(session, one)]
        people = {person_of(session, turn) for turn in (*left, latest)}
        refusal = self._bounds.charge(session.key, people)
        if refusal is not None:
            await self._refuse(session, mine, refusal)
            return None
        await debts_of(session.store.desk).count_try(turns)
        bound = session if len(turns) == 1 else session.bind(latest, joined=left)
        if isinstance(bound, ChatSession):
            bound = bound.admitted_by(None)
        return await handle(bound)

    async def _refuse(self, session: Session, mine: _Message, refusal: Refusal) -> None:
        if isinstance(session, ChatSession):
            person = person_of(session, mine.own[-1])
            await self._bounds.tell(session.key, person, session.outlet, refusal)


def _line_of(session: Session, turn: Turn) -> Line:
    """Return the line of a turn's session, in which its recorded messages stand, too."""
    return _room_of(session.store).line(session.lives(turn))


def _room_of(store: SessionStore) -> _Room:
    return _rooms.get(store) or _rooms.setdefault(store, _Room())


def _is_answered(session: Session, turn: Turn) -> bool:
    return session.bind(turn).already_answered


def check_overlap(busy: str, debounce: float) -> None:
    if busy not in BUSY:
        raise ValueError(f"busy is one of {', '.join(map(repr, BUSY))}, not {busy!r}")
    if not debounce >= 0:
        raise ValueError(f"debounce is in seconds, 0 or more, not {debounce!r}")
