"""What happens when a message comes while an earlier one of its session is being answered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeAlias, TypeVar, get_args
from weakref import WeakValueDictionary

from anyio import CancelScope, Lock, current_time, sleep_until

from .._records.identity import TurnRef
from .._records.turn import Turn
from .._store import Session

__all__ = ["Busy", "Overlap"]

Busy: TypeAlias = Literal["parallel", "queue", "latest", "collect", "drop"]
BUSY: Final = get_args(Busy)

ALBUM_PAUSE: Final = 0.5
"""For how many seconds another part of an album is waited for; each comes by itself."""

_MAX_PAUSES: Final = 10
_HANDLED_KEPT: Final = 10_000

S = TypeVar("S", bound=Session)
T = TypeVar("T")


class _Message:
    """A message in hand, until its handler has ended or a later message took it along."""

    def __init__(self, session: Session, turn: Turn) -> None:
        self.turns: tuple[Turn, ...] = (*session.joined, turn)
        self.since = current_time()
        self.scope = CancelScope()
        self.superseded = False

    def take_along(self, before: _Message | None) -> None:
        """The one before is not handled any more; it is answered with this one."""
        if before is not None:
            before.superseded = True
            before.scope.cancel()
            taken = {(turn.id, turn.time): turn for turn in (*before.turns, *self.turns)}
            # By id: they may have come here in another order than they were recorded in.
            self.turns = tuple(taken[place] for place in sorted(taken))
            self.since = before.since


class _Line:
    """What is under way in one session."""

    def __init__(self) -> None:
        self.lock = Lock()  # fair: first come, first served
        self.running: _Message | None = None  # with busy="latest"
        self.collecting: _Message | None = None  # with busy="collect"
        self.bursts: dict[tuple[str, str], _Message] = {}


class Overlap:
    """Runs the handlers of messages, so that those of one session don't get into each other's way.

    `busy` says what becomes of a message that comes while another one of its session is being
    handled:

    - `"parallel"`: its handler runs at the same time;
    - `"queue"`: it waits, first come, first served;
    - `"latest"`: the other handler is cancelled, and the answer is to this message and that one;
    - `"collect"`: all that came meanwhile is answered together, by the handler of the latest;
    - `"drop"`: it is recorded, and its handler does not run.

    `debounce`, in seconds, joins what one person writes in a burst: the handler of the last
    message runs, once nothing followed for so long, and answers them all. The parts of an
    album are joined so in any case. A message that is delivered again is handled once.

    It holds for one process. All it goes by are a session's key and the ids of turns, which a
    storage that several processes share can keep for all of them.
    """

    def __init__(self, busy: Busy = "parallel", *, debounce: float = 0) -> None:
        check_overlap(busy, debounce)
        self.busy: Busy = busy
        self.debounce = debounce
        self._lines: WeakValueDictionary[str, _Line] = WeakValueDictionary()
        self._in_hand: set[TurnRef] = set()
        self._handled: OrderedDict[TurnRef, None] = OrderedDict()

    async def run(
        self,
        session: S,
        handle: Callable[[S], Awaitable[T]],
        *,
        album: str | None = None,
        busy: Busy | None = None,
        debounce: float | None = None,
    ) -> T | None:
        """Runs the handler with the session; None if it did not run, or was cancelled.

        The session is bound to the message in hand; one that is bound to none is not waited
        for. `album` names the album that the message is a part of.
        """
        busy = self.busy if busy is None else busy
        debounce = self.debounce if debounce is None else debounce
        check_overlap(busy, debounce)
        if session.turn is None:
            return await handle(session)
        name = session.name(session.turn)
        if session.already_answered or name in self._in_hand or name in self._handled:
            return None  # delivered again
        self._in_hand.add(name)
        line = self._line(session, session.turn)
        mine = _Message(session, session.turn)
        try:
            with mine.scope:
                await self._burst(line, mine, album, debounce)
                result = await self._in_line(line, mine, session, handle, busy)
                if not mine.superseded:
                    self._note_handled(session, mine)
                return result
            return None
        finally:
            if not mine.superseded:  # else they are in the hands of the one that took them along
                self._in_hand.difference_update(session.name(turn) for turn in mine.turns)

    def _line(self, session: Session, turn: Turn) -> _Line:
        """Return the session's line, by its lives: a link or a merge does not part it."""
        lives = session.lives(turn)
        line = next((self._lines[life] for life in lives if life in self._lines), None) or _Line()
        self._lines[lives[0]] = line
        return line

    def _note_handled(self, session: Session, mine: _Message) -> None:
        """One whose handler failed, or was cancelled, is handled when it is delivered again."""
        self._handled.update(dict.fromkeys(session.name(turn) for turn in mine.turns))
        while len(self._handled) > _HANDLED_KEPT:
            self._handled.popitem(last=False)

    async def _burst(self, line: _Line, mine: _Message, album: str | None, debounce: float) -> None:
        """Waits until nothing follows; whatever follows takes this message along."""
        pause = max(debounce, 0 if album is None else ALBUM_PAUSE)
        if not pause:
            return
        sender = mine.turns[-1].sender
        name = ("sender", sender.id if sender else "") if debounce else ("album", album or "")
        mine.take_along(line.bursts.get(name))
        line.bursts[name] = mine
        try:
            # Somebody who never stops writing is answered, too.
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
        if busy == "parallel":
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
            async with line.lock:
                if mine.superseded:  # between the moment when it was its turn and this one
                    return None
                if line.collecting is mine:
                    line.collecting = None
                # What was answered before it could be cancelled is not answered again.
                left = [one for one in mine.turns[:-1] if not _is_answered(session, one)]
                return await handle(_bound(session, (*left, mine.turns[-1])))
        finally:
            if line.running is mine:
                line.running = None
            if line.collecting is mine:
                line.collecting = None


def _bound(session: S, turns: tuple[Turn, ...]) -> S:
    return session.bind(turns[-1], joined=turns[:-1])


def _is_answered(session: Session, turn: Turn) -> bool:
    return session.bind(turn).already_answered


def check_overlap(busy: str, debounce: float) -> None:
    if busy not in BUSY:
        raise ValueError(f"busy is one of {', '.join(map(repr, BUSY))}, not {busy!r}")
    if not debounce >= 0:
        raise ValueError(f"debounce is in seconds, 0 or more, not {debounce!r}")
