"""The arranged end of a session, kept from one window to the next.

Most windows are the previous one plus a message or two. So the arranged turns are kept, and
new turns are added to them. The kept turns are compared with the stored ones each time, so an
edit, or a write of another process, is never missed. A window is the same with a tail and
without.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from operator import is_
from typing import Final

import msgspec

from .._records.info import SessionInfo
from .._records.turn import Turn
from .arrange import Arrangement
from .beginnings import Beginnings
from .behind import Behind
from .choices import Results, Unanswered
from .copies import Copies
from .ledger import Cost, one_message
from .options import WindowOptions
from .sight import begins_in, in_epoch

__all__ = ["Tail", "Tails"]

KEPT_TURNS: Final = 128 * 1024
"""Each costs some 350 bytes, beside the turn itself, which the storage mostly holds too."""

_encode: Final = msgspec.json.Encoder(order="deterministic").encode

_MOST_NEW: Final = 256
"""More turns than that are arranged with all others."""

_TAIL_OVERHEAD: Final = 8
"""The weight of a tail beside its turns, in turns."""


class Tail:
    """The arranged turns of one session."""

    __slots__ = (
        "_arranged_at",
        "_arrangement",
        "_cost",
        "_counting",
        "_epoch",
        "_first_id",
        "_is_kept",
        "_rules",
        "_turns",
        "behind",
        "copies",
        "needed",
        "reaches_beginning",
        "weight",
    )

    def __init__(self) -> None:
        self.weight: int = 0
        self._turns: list[Turn] = []
        self._epoch = 0
        self._first_id: int | None = None
        """The id of the epoch's first turn, or None if that was not read."""
        self._rules: tuple[Unanswered, Results] = ("result", "last")
        self._arrangement = Arrangement()
        self._counting: WindowOptions | None = None
        self._cost: Cost = one_message
        self.copies: Copies = Copies()
        self.behind: Behind = Behind()
        self._arranged_at: tuple[int, int] | None = None
        """The epoch, and the revision of what is arranged, or was compared with it since."""
        self._is_kept = False
        self.reaches_beginning: bool = False
        """What is arranged is all of the epoch up to the last window."""
        self.needed: int = 0
        """The number of turns that the last window had to read."""

    def cost(self, options: WindowOptions) -> Cost:
        """Return the function that counts the tokens of a turn with these options.

        It is the same object for the same count, by which the exchanges know what they cost.
        """
        if self._counting is None or not options.counts_as(self._counting):
            self._counting, self._cost = options, options.cost
        return self._cost

    def shows_from(self, info: SessionInfo) -> int | None:
        """Return the id of the first turn of the epoch that is shown; None if that is not known.

        If there is nothing to show, it is the id of the next turn.
        """
        if not self.reaches_beginning or self._arranged_at != (info.epoch, info.revision):
            return None
        return self._arrangement.ids[0] if self._arrangement.ids else info.last_id + 1

    def is_kept(self, info: SessionInfo) -> bool:
        """Return True if all that the last window needed is still arranged, and unchanged.

        Whatever changes a turn since raises the revision.
        """
        return self._is_kept and self._arranged_at == (info.epoch, info.revision)

    def is_parted(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        """Return True if it is kept up to a turn that is not among these newest ones."""
        return self.is_kept(info) and self._new(turns) is None

    @property
    def kept(self) -> int:
        """The number of turns that are kept also where few were read."""
        return len(self._turns) if self._is_kept else 0

    def keep(self, *, whole: bool) -> None:
        """Keep all that is arranged, also where few of the newest turns are read next time.

        It is for a window that shows few turns and depends on many: one of a bot that speaks by
        itself begins with the latest user turn, or has to know that there is none. Else each such
        window would read all of them.
        """
        self._is_kept = whole

    def arranged(
        self,
        info: SessionInfo,
        turns: Sequence[Turn],
        unanswered: Unanswered,
        results: Results = "last",
        *,
        complete: bool = False,
        whole: bool = False,
    ) -> tuple[Arrangement, int]:
        """Return the arrangement, and the index of the first exchange of `turns` in it.

        `turns` are the newest of the session. `complete` is true if the epoch begins there. With
        `whole`, what is kept counts too, and both are said of it.
        """
        known = self._turns
        rules: tuple[Unanswered, Results] = (unanswered, results)
        first_id = _first_id(info, turns) if complete else None
        new = self._new(turns) if self._epoch == info.epoch and rules == self._rules else None
        kept = new is not None and self.is_kept(info)
        # Up to four times the turns in hand are kept, so a rebuild is rare.
        if not kept and (
            new is None
            or (complete and first_id != self._first_id)
            or len(known) + len(new) > 4 * len(turns)
        ):
            self._arranged_at = info.epoch, info.revision
            self._is_kept, self.reaches_beginning = False, complete
            self._arrangement = Arrangement(unanswered, results, lead=complete)
            self._epoch, self._rules, self._first_id = info.epoch, rules, first_id
            self._turns = known = []
            new = turns
        elif new is not None and len(turns) - len(new) >= len(known):
            self._arranged_at = info.epoch, info.revision
        if new:
            known += new
            self._arrangement.extend(in_epoch(info, new))
        arranged = self._arrangement
        first = bisect_left(arranged.ids, turns[0].id) if turns and not whole else 0
        # The bot's first words are shown only if nothing can be missing before them.
        return arranged, max(first, 1) if arranged.bot_spoke_first and not complete else first

    def _new(self, turns: Sequence[Turn]) -> Sequence[Turn] | None:
        """Return the turns after the known ones, or None if those are no longer stored."""
        known = self._turns
        if not known or not turns:
            return None
        old, last = len(turns), known[-1].id
        lowest = max(0, old - _MOST_NEW)
        while old > lowest and turns[old - 1].id != last:
            old -= 1
        if not lowest < old <= len(known):
            return None
        there, kept = turns[:old], known[-old:]
        if there != kept:
            return None
        if not all(map(is_, there, kept)):
            if not _are_same(there, kept):
                return None
            # They were read again. Next time they are the same objects.
            known[-old:] = there
        return turns[old:]


def _are_same(turns: Sequence[Turn], known: Sequence[Turn]) -> bool:
    """Return True if turns that Python takes for equal ones are the same, also as JSON.

    Python takes True, 1 and 1.0 for the same.
    """
    return all(
        turn is one or not _holds_json(turn) or _encode(turn) == _encode(one)
        for turn, one in zip(turns, known, strict=True)
    )


def _holds_json(turn: Turn) -> bool:
    return bool(turn.extra or turn.tool_calls) or isinstance(turn.content, list)


def _first_id(info: SessionInfo, turns: Sequence[Turn]) -> int | None:
    if begins_in(info, turns):
        turns = [turn for turn in turns if turn.epoch == info.epoch][:1]
    return turns[0].id if turns else None


class Tails:
    """The tails of the sessions whose windows were asked for last."""

    def __init__(self) -> None:
        self._tails: OrderedDict[str, Tail] = OrderedDict()
        self._weight = 0
        self.beginnings: Beginnings = Beginnings()

    def of(self, session: str, turns: int) -> Tail:
        """Return the tail of a session; `turns` is the number of turns read for its window."""
        tail = self._tails.get(session)
        if tail is None:
            tail = self._tails[session] = Tail()
        else:
            self._tails.move_to_end(session)
        weight = max(2 * turns, tail.kept) + _TAIL_OVERHEAD  # the average, see `arranged`
        if weight != tail.weight:
            self._weight += weight - tail.weight
            tail.weight = weight
            while self._weight > KEPT_TURNS and len(self._tails) > 1:
                self._weight -= self._tails.popitem(last=False)[1].weight
        return tail

    def forget(self, session: str) -> None:
        """Drop the turns of a session from memory."""
        self.beginnings.forget(session)
        tail = self._tails.pop(session, None)
        if tail is not None:
            self._weight -= tail.weight
