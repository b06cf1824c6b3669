"""Appends: each turn is sealed for the place that it is to get, which others may take first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from ..._records.identity import Expected, TurnRef, new_generation
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import DEDUPE_TURNS, Appended, SessionInfo, Snapshot, Storage
from ..rules import is_expected
from ._seals import Seals

__all__ = ["Places", "append"]

_LOOK: Final = 16
"""So many turns are read to see what came between; if more did, the next try sees them."""

_FURTHER: Final = 4
"""So many times more turns are read each time that this has not told which are stored."""

_MOST_PLACES: Final = 10_000


class _Plan(NamedTuple):
    """The turns to store, and for each given turn its place among these, or a stored turn."""

    sent: list[Turn]
    places: list[int | Turn]
    new: list[bool]


def _planned(
    seals: Seals,
    turns: Sequence[Turn],
    known: Mapping[str, Turn],
    *,
    dedupe: bool,
    looked: bool,
) -> _Plan:
    """Return what becomes of each turn; `known` are stored turns by their names.

    If nobody has `looked` at the session, a turn with a token may be stored. Then all are sent,
    and the storage itself looks which are duplicates of others in the batch.
    """
    folds = looked or not any(turn.token for turn in turns)
    plan = _Plan([], [], [])
    names: dict[str, int] = {}
    for turn in turns:
        token = known.get(f"token {turn.token}") if turn.token else None
        found: int | Turn | None = token
        for source in turn.source_ids if dedupe else ():
            for name in seals.ring.names("source", source):
                if found is None:
                    found = known.get(name)
                if found is None and folds:
                    found = names.get(name)
        plan.new.append(token is not None or found is None)
        if found is None:
            found = len(plan.sent)
            for source in turn.source_ids:
                names |= dict.fromkeys(seals.ring.names("source", source), found)
            plan.sent.append(turn)
        plan.places.append(found)
    return plan


def _names(turns: Sequence[Turn], *, dedupe: bool) -> dict[str, Turn]:
    """Return stored turns by what an append finds them by, the latest of each."""
    known = {f"token {turn.token}": turn for turn in turns if turn.token}
    if dedupe:
        known |= {source: turn for turn in turns for source in turn.source_ids}
    return known


class Places:
    """The names that the next turns of sessions will get, as far as this process knows.

    An append that knows one needs no look at its session. If it is not the right one any more,
    nothing is stored, and the append looks.
    """

    def __init__(self) -> None:
        self._next: dict[str, TurnRef] = {}

    def get(self, key: SessionKey) -> TurnRef | None:
        """Return the name of the next turn, or None."""
        return self._next.get(key.text)

    def keep(self, key: SessionKey, info: SessionInfo | None) -> None:
        """Remember what comes behind the last turn of this record."""
        if len(self._next) >= _MOST_PLACES:
            self._next.clear()
        self._next[key.text] = _next(info)

    def clear(self) -> None:
        """Forget all of them."""
        self._next.clear()


async def append(
    inner: Storage,
    seals: Seals,
    places: Places,
    key: SessionKey,
    turns: Sequence[Turn],
    *,
    expected: Expected | None,
    dedupe: bool,
    at: TurnRef | None,
) -> Appended | None:
    """Do what `Storage.append` does, again for each other append that came between."""
    found, known, looked = Snapshot(None, []), dict[str, Turn](), at is not None
    look = DEDUPE_TURNS + len(turns)
    place = at or places.get(key)
    if place is None:
        # Nothing is written beside another key.
        found = await seals.check_end(inner, key)
        place = _next(found.info)
    while True:
        # Among turns that get names, the storage itself looks for duplicates.
        plan = _planned(seals, turns, known, dedupe=dedupe and at is None, looked=looked)
        sealed = [
            seals.turn(turn, TurnRef(place.generation, place.id + number))
            for number, turn in enumerate(plan.sent)
        ]
        if turns and not sealed:
            return _appended(seals, turns, plan, [], found.info)
        done = await inner.append(
            key,
            sealed,
            expected=expected,
            dedupe=dedupe,
            at=place if sealed else None,
        )
        if done is not None:
            places.keep(key, done.info)
            new = _renewed(plan, done)
            return _appended(seals, turns, plan._replace(new=new), done.turns, done.info, sealed)
        if at is not None:
            return None
        tried, found = place, await inner.read(key, limit=_LOOK)
        place = _next(found.info)
        if place == tried:
            # Nobody came between: some of the turns are stored, or the session is not as expected.
            found = await inner.read(key, limit=look)
            place = _next(found.info)
            look *= _FURTHER  # the storage may know the token of an older turn
        if found.info is not None:
            seals.all_opened(found.info, found.turns)
        if not await _is_as(inner, key, found, expected):
            return None
        known, looked = _names(found.turns, dedupe=dedupe), True
        if place == tried and dedupe:
            known |= await _older(inner, seals, key, turns, known)


async def _older(
    inner: Storage,
    seals: Seals,
    key: SessionKey,
    turns: Sequence[Turn],
    known: Mapping[str, Turn],
) -> dict[str, Turn]:
    """Return the turns with the source ids that are not known, however old, by their names."""
    names = [
        name
        for turn in turns
        for source in turn.source_ids
        for name in seals.ring.names("source", source)
        if name not in known
    ]
    found = {name: await inner.find(key, name) for name in names}
    return {name: turn for name, turn in found.items() if turn is not None}


def _next(info: SessionInfo | None) -> TurnRef:
    if info is None:
        return TurnRef(new_generation(), 1)
    return TurnRef(info.generation, info.last_id + 1)


async def _is_as(
    inner: Storage, key: SessionKey, found: Snapshot, expected: Expected | None
) -> bool:
    if not is_expected(found.info, expected):
        return False
    if expected is None or expected.turn is None:
        return True
    turn = expected.turn
    return bool((await inner.read(key, after=turn - 1, before=turn + 1)).turns)


def _renewed(plan: _Plan, done: Appended) -> list[bool]:
    """Return which turns are new, as far as the storage tells of those that were sent."""
    told: set[int] = set()
    new: list[bool] = []
    for place, before in zip(plan.places, plan.new, strict=True):
        is_first = isinstance(place, int) and place not in told
        if isinstance(place, int):
            told.add(place)
        new.append(done.new[place] if isinstance(place, int) and is_first else before)
    return new


def _appended(
    seals: Seals,
    turns: Sequence[Turn],
    plan: _Plan,
    stored: Sequence[Turn],
    info: SessionInfo | None,
    sealed: Sequence[Turn] = (),
) -> Appended:
    """Return the outcome with the turns as they were given, or as they are stored."""
    done = Appended([], plan.new, None if info is None else seals.info(info))
    for given, place in zip(turns, plan.places, strict=True):
        turn = stored[place] if isinstance(place, int) else place
        if isinstance(place, int) and turn.content == sealed[place].content:
            plain = plan.sent[place]
            done.turns.append(
                replace(plain, id=turn.id, epoch=turn.epoch, generation=turn.generation)
            )
            continue
        opened = None if info is None else seals.opened(info, turn)
        done.turns.append(given if opened is None else opened)
    return done
