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
        "_arrangement",
        "_cost",
        "_counting",
        "_empty",
        "_epoch",
        "_first_id",
        "_rules",
        "_turns",
        "behind",
        "copies",
        "needed",
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
        self._empty: tuple[int, int, int] | None = None
        """The epoch, the revision, and the id up to which there is nothing to show in it."""
        self.needed: int = 0
        """The number of turns that the last window had to read."""

    def cost(self, options: WindowOptions) -> Cost:
        """Return the function that counts the tokens of a turn with these options.

        It is the same object for the same count, by which the exchanges know what they cost.
        """
        if self._counting is None or not options.counts_as(self._counting):
            self._counting, self._cost = options, options.cost
        return self._cost

    def note_empty(self, info: SessionInfo) -> None:
        """Remember that a look at the whole epoch found nothing to show."""
        self._empty = info.epoch, info.revision, info.last_id
        self._arrangement, self._turns = Arrangement(*self._rules), []

    def past_empty(
        self, info: SessionInfo, turns: Sequence[Turn], *, complete: bool
    ) -> tuple[Sequence[Turn], bool]:
        """Return the turns, and whether the epoch has none to show before them.

        Where nothing was to be shown of it before, its turns up to there are left out: whatever
        has changed since has raised the revision.
        """
        if complete or self._empty is None or not turns:
            return turns, complete
        epoch, revision, last = self._empty
        if (epoch, revision) != (info.epoch, info.revision) or turns[0].id > last + 1:
            return turns, complete
        return [turn for turn in turns if turn.id > last], True

    def arranged(
        self,
        info: SessionInfo,
        turns: Sequence[Turn],
        unanswered: Unanswered,
        results: Results = "last",
        *,
        complete: bool = False,
    ) -> tuple[Arrangement, int]:
        """Return the arrangement, and the index of the first exchange of `turns` in it.

        `turns` are the newest of the session. `complete` is true if the epoch begins there.
        """
        known = self._turns
        rules: tuple[Unanswered, Results] = (unanswered, results)
        first_id = _first_id(info, turns) if complete else None
        new = self._new(turns) if self._epoch == info.epoch and rules == self._rules else None
        # Up to four times the turns in hand are kept, so a rebuild is rare.
        if (
            new is None
            or (complete and first_id != self._first_id)
            or len(known) + len(new) > 4 * len(turns)
        ):
            self._arrangement = Arrangement(unanswered, results, lead=complete)
            self._epoch, self._rules, self._first_id = info.epoch, rules, first_id
            self._turns = known = []
            new = turns
        if new:
            known += new
            self._arrangement.extend(in_epoch(info, new))
        arranged = self._arrangement
        first = bisect_left(arranged.ids, turns[0].id) if turns else 0
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

    def of(self, session: str, turns: int) -> Tail:
        """Return the tail of a session; `turns` is the number of turns read for its window."""
        tail = self._tails.get(session)
        if tail is None:
            tail = self._tails[session] = Tail()
        else:
            self._tails.move_to_end(session)
        weight = 2 * turns + _TAIL_OVERHEAD  # the average, see `arranged`
        if weight != tail.weight:
            self._weight += weight - tail.weight
            tail.weight = weight
            while self._weight > KEPT_TURNS and len(self._tails) > 1:
                self._weight -= self._tails.popitem(last=False)[1].weight
        return tail

    def forget(self, session: str) -> None:
        """Drop the turns of a session from memory."""
        tail = self._tails.pop(session, None)
        if tail is not None:
            self._weight -= tail.weight
