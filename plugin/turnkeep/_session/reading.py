"""Functions that read a session's end, only as far back as an answer needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from .._records.identity import TurnRef
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from .._window.arrange import View, is_said_by_user
from .._window.behind import FAR
from .._window.build import Window, build_window
from .._window.options import WindowOptions
from .._window.parted import first_answers, parted_questions, with_questions
from .._window.sight import as_of
from ..storage.base import Snapshot
from .desk import Desk
from .draft import Draft, placed

__all__ = [
    "LatestExchange",
    "Sessions",
    "Sight",
    "Turns",
    "beside_questions",
    "locate",
    "read_latest_exchange",
    "read_window",
    "window_alone",
]

PAGE_TURNS: Final = 500
_NEWEST_TURNS: Final = 50
"""A storage has so many of a session's newest turns at hand, if it is in use."""

_PAGE_SESSIONS: Final = 1000


class Sight(NamedTuple):
    """The part of the stored turns that a window shows.

    - `up_to`: the window leaves out everything after this turn.
    - `to_answer`: that turn is the message in hand, so the window leaves out its answers.
    - `turns`: that message, and the messages that are answered with it.
    - `latest`: without a message in hand, the one that a reply answers.
    """

    up_to: TurnRef | None = None
    to_answer: bool = False
    turns: tuple[Turn, ...] = ()
    latest: Turn | None = None

    @classmethod
    def of(cls, message: Turn, joined: Sequence[Turn]) -> Sight:
        """Return the sight of a reply to this message."""
        return cls(message.ref, True, (*joined, message))

    def view(self, info: SessionInfo) -> View:
        """Return the same by the session's current ids; nothing is in sight of another life."""
        if self.up_to is None:
            return View()
        place = info.place(self.up_to) if self.up_to.generation else self.up_to.id
        as_of = 0 if place is None else place
        return View(as_of=as_of, before_answer=as_of if self.to_answer else None)

    def is_past(self, info: SessionInfo, view: View) -> bool:
        """Return True if a merge has made an earlier epoch of what is in sight."""
        if self.up_to is None or not view.as_of:
            return False
        return info.asked_in(view.as_of) != info.epoch

    @property
    def asked(self) -> tuple[Turn, ...]:
        """The messages that are answered, as far as they are known."""
        return self.turns if self.latest is None else (self.latest,)

    def is_cleared(self, info: SessionInfo) -> bool:
        """Return True if the message in hand is of an epoch that a `clear` has ended since."""
        if not self.asked:
            return False
        message = self.asked[-1]
        is_read = message.generation == info.generation
        life = (info.ref(message.id) if is_read else message.ref).generation
        if life == info.generation:
            return message.epoch < info.epoch
        return any(one.generation == life and one.goes_on < info.epoch for one in info.origins)

    def shift(self, view: View) -> int:
        """Return how far a merge has raised the ids since."""
        return 0 if self.up_to is None or not view.as_of else view.as_of - self.up_to.id


async def read_window(
    desk: Desk,
    key: SessionKey,
    options: WindowOptions,
    sight: Sight,
    draft: Draft,
) -> Window:
    """Return the window over a session's end, with a reply's turns so far."""
    limit = near = options.first_read
    while True:
        info, turns, complete = await desk.read(key, limit=limit)
        view, tail = View(), None
        far = simple = False
        if info is not None:
            if sight.is_cleared(info):
                return await _read_alone(desk, key, options, sight, draft)
            view = sight.view(info)
            behind = info.last_id - (view.as_of or info.last_id)
            far = behind >= FAR and not info.origins
            if far and not complete and limit < behind + near:
                limit = behind + near
                continue
            if far:
                seen = desk.tails.of(info.generation, len(turns)).behind
                turns, is_all = seen.sight(turns, view.as_of or 0, near)
                complete = complete and is_all
            past = bool(info.origins) and sight.is_past(info, view)
            simple = options.shows_all and not (far or info.origins or info.last_consolidated)
            if simple:
                turns, complete = desk.tails.beginnings.past(info, turns, complete=complete)
            if past:
                found = await _read_past(desk, info, view, limit)
                info, turns, complete = found.info or info, found.turns, found.complete
            if draft.turns:
                # The collected turns answer the message in hand. Its other answers are hidden.
                before = view.before_answer
                turns = [turn for turn in turns if before is None or turn.answers != before]
                view = View(as_of=view.as_of)
                is_whole = not (info.origins or info.last_consolidated)  # no question is parted
                if is_whole and view.as_of and turns and turns[0].id <= view.as_of:
                    turns, view, tail = as_of(turns, view), View(), draft.tail
                turns += draft.placed(info, sight.shift(view))
            elif not past:
                tail = desk.tails.of(info.generation, len(turns))
                if not (complete or far or tail.is_kept(info)) and limit < tail.needed:
                    # The last window needed more than a first read.
                    limit = tail.needed
                    continue
            if (info.origins or info.last_consolidated) and not past:
                turns = await beside_questions(desk, info, turns, complete=complete)
        window = build_window(info, turns, options, view, complete=complete, tail=tail)
        if window is not None:
            if tail is not None and info is not None and window.turns and not far:
                # With room for the turns to come.
                tail.needed = min(limit, (info.last_id - window.seen) * 5 // 4)
            if simple and tail is not None and info is not None and tail is not draft.tail:
                desk.tails.beginnings.note(info, tail.shows_from(info))
            return window
        near, limit = 2 * near, 2 * limit


async def _read_past(desk: Desk, info: SessionInfo, view: View, limit: int) -> Snapshot:
    """Return the turns in sight of an epoch that a merge has made an earlier one."""
    assert view.as_of is not None
    past = await desk.read(info.key, before=view.as_of + 1, limit=limit)
    info = msgspec.structs.replace(
        info,
        epoch=info.asked_in(view.as_of),
        summary=None,
        last_consolidated=0,
    )
    return Snapshot(info, past.turns, past.complete)


async def _read_alone(
    desk: Desk, key: SessionKey, options: WindowOptions, sight: Sight, draft: Draft
) -> Window:
    """Return the window over the messages in hand alone, as far as they are still stored."""
    found = [(await locate(desk, key, turn))[1] for turn in sight.asked]
    hand = [turn for turn in found if turn is not None]
    return window_alone(key, hand, options, draft.turns) if hand else Window(None, ())


def window_alone(
    key: SessionKey, turns: Sequence[Turn], options: WindowOptions, collected: Sequence[Turn]
) -> Window:
    """Return the window over these stored turns alone, for a session that can't be read."""
    last = turns[-1]
    info = SessionInfo(
        key=key,
        created_at=last.time,
        updated_at=last.time,
        last_id=last.id,
        epoch=last.epoch,
        generation=last.generation,
    )
    seen = [*turns, *placed(collected, info, 0)]
    window = build_window(info, seen, options, View(as_of=last.id), complete=True)
    assert window is not None  # nothing more could be read
    return window


async def beside_questions(
    desk: Desk, info: SessionInfo, turns: Sequence[Turn], *, complete: bool
) -> Sequence[Turn]:
    """Return the turns, with the questions that a merge or a consolidation has parted from them."""
    parted = parted_questions(info, turns, complete=complete)
    if not parted:
        return turns
    return with_questions(info, turns, await _questions(desk, info, turns, parted))


async def _questions(
    desk: Desk, info: SessionInfo, turns: Sequence[Turn], parted: Iterable[int]
) -> dict[int, Turn]:
    """Return those of the questions that are still stored, by their ids."""
    at_hand = {turn.id: turn for turn in turns}
    questions: dict[int, Turn] = {}
    for id in parted:
        turn = at_hand.get(id)
        if turn is None:
            turn = await turn_at(desk, info.key, id)
        is_shown = turn is not None and is_said_by_user(turn) and not turn.hidden
        if turn and is_shown and turn.epoch == info.asked_in(id):
            questions[id] = turn
    return questions


async def turn_at(desk: Desk, key: SessionKey, id: int) -> Turn | None:
    """Return the turn with this id, or None."""
    found = (await desk.read(key, after=id - 1, before=id + 1)).turns
    return found[0] if found else None


async def locate(desk: Desk, key: SessionKey, turn: Turn) -> tuple[SessionInfo | None, Turn | None]:
    """Return the record, and the turn as it is stored now or None if it is gone."""
    place: int | None = turn.id
    info, turns, _ = await desk.read(key, after=turn.id - 1, before=turn.id + 1)
    if info is not None and info.generation != turn.generation and turn.generation:
        place = info.place(turn.ref)
        if place is not None and place != turn.id:
            info, turns, _ = await desk.read(key, after=place - 1, before=place + 1)
    return info, None if place is None or not turns else turns[0]


class LatestExchange(NamedTuple):
    """A session's record, its latest user turn, and the turns behind that one which answer it."""

    info: SessionInfo
    user: Turn | None = None
    answers: Sequence[Turn] = ()


async def read_latest_exchange(desk: Desk, key: SessionKey) -> LatestExchange | None:
    """Return the latest exchange of the current epoch; None without a session."""
    limit = 16
    while True:
        info, turns, complete = await desk.read(key, limit=limit)
        if info is None:
            return None
        current = [turn for turn in turns if turn.epoch == info.epoch]
        users = [turn for turn in current if is_said_by_user(turn) and not turn.hidden]
        if users or complete or len(current) < len(turns):
            break
        limit *= 4
    place, newest = (users[-1].id, users[-1]) if users else (0, None)
    parted = parted_questions(info, current, complete=True)
    questions = await _questions(desk, info, current, parted) if parted else {}
    for id, first in first_answers(info, current, questions).items():
        if first > place or newest is None:
            place, newest = first, questions[id]
    if newest is None:
        return LatestExchange(info)
    answers = [
        turn
        for turn in current
        if turn.answers_one_of((newest.id,))
        or (turn.answers is None and turn.id > place and not turn.hidden)
    ]
    return LatestExchange(info, newest, answers)


class Turns(AsyncIterator[Turn]):
    """An iterator that reads page by page. Unlike a generator, it never needs closing."""

    def __init__(
        self,
        desk: Desk,
        key: SessionKey,
        epoch: int | Literal["all"] | None,
        after: int,
        last: int | None = None,
        *,
        variants: bool = True,
    ) -> None:
        self._desk = desk
        self._key = key
        self._epoch = epoch
        self._after = after
        self._last = last
        self._variants = variants
        self._page: Iterator[Turn] = iter(())
        self._ended = False

    async def __anext__(self) -> Turn:
        while True:
            for turn in self._page:
                if self._epoch in ("all", turn.epoch) and (self._variants or not turn.is_replaced):
                    return turn
            if self._ended:
                raise StopAsyncIteration
            await self._turn_over()

    async def _turn_over(self) -> None:
        if self._epoch is None and self._last is None and await self._is_at_end():
            return
        after, last = self._after, self._last
        limit, newest = (PAGE_TURNS, False) if last is None else (last, True)
        page = await self._desk.read(self._key, after=after, limit=limit, newest=newest)
        if page.info is not None and self._epoch is None:
            self._epoch = page.info.epoch
        self._page = iter(page.turns)
        self._ended = last is not None or page.complete or not page.turns
        if not page.turns:
            return
        newest_read, epoch = page.turns[-1], self._epoch
        self._after = newest_read.id
        if isinstance(epoch, int) and not self._ended and page.info is not None:
            self._ended = newest_read.epoch > epoch
            if newest_read.epoch < epoch:
                self._after = await self._before(epoch, newest_read.id, page.info.last_id)

    async def _is_at_end(self) -> bool:
        """Turn to the current epoch; return True if all of it is among the newest turns."""
        limit = min(PAGE_TURNS, _NEWEST_TURNS)
        info, turns, complete = await self._desk.read(self._key, after=self._after, limit=limit)
        if info is None:
            self._ended = True
            return True
        self._epoch = info.epoch
        if complete or turns[0].epoch < info.epoch:
            self._page, self._ended = iter(turns), True
            return True
        if info.epoch > 1:
            self._after = await self._before(info.epoch, self._after, turns[0].id)
        return False

    async def _before(self, epoch: int, low: int, high: int) -> int:
        """Return the id of a turn not long before this epoch, which begins between these ids.

        Epochs ascend with ids, so a few turns tell where to go on, however long the others are.
        """
        while high - low > PAGE_TURNS:
            middle = (low + high) // 2
            found = (await self._desk.read(self._key, after=middle, limit=1, newest=False)).turns
            if found and found[0].epoch < epoch:
                low = found[0].id
            else:
                high = middle
        return low


class Sessions(AsyncIterator[SessionInfo]):
    """An iterator over all sessions by key, each once, even if it is written to meanwhile.

    Their records may lack the metadata.
    """

    def __init__(self, desk: Desk, prefix: str) -> None:
        self._desk = desk
        self._prefix = prefix
        self._page: Iterator[SessionInfo] = iter(())
        self._last: SessionInfo | None = None
        self._ended = False

    async def __anext__(self) -> SessionInfo:
        while True:
            for info in self._page:
                return info
            if self._ended:
                raise StopAsyncIteration
            await self._turn_over()

    async def _turn_over(self) -> None:
        async with self._desk.use() as storage:
            page = await storage.sessions(
                prefix=self._prefix,
                limit=_PAGE_SESSIONS,
                after=self._last,
                order="key",
                metadata=False,
            )
        self._page = iter(page.sessions)
        self._ended = page.complete or not page.sessions
        self._last = page.sessions[-1] if page.sessions else None
