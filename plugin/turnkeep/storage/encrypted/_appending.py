"""Appends: each turn is sealed for the place that it is to get, which others may take first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from ..._records.identity import Expected, TurnRef, new_generation
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import DEDUPE_TURNS, Appended, SessionInfo, Snapshot, Storage
from ..rules import is_expected
from ._seals import Seals

__all__ = ["append"]


class _Plan(NamedTuple):
    """The turns to store, and for each given turn its place among these, or a stored turn."""

    sent: list[Turn]
    places: list[int | Turn]
    new: list[bool]


def _planned(
    seals: Seals, turns: Sequence[Turn], known: Mapping[str, Turn], *, dedupe: bool
) -> _Plan:
    """Return what becomes of each turn; `known` are stored turns by their names."""
    plan = _Plan([], [], [])
    names: dict[str, int] = {}
    for turn in turns:
        token = known.get(f"token {turn.token}") if turn.token else None
        found: int | Turn | None = token
        for source in turn.source_ids if dedupe else ():
            for name in seals.ring.names("source", source):
                if found is None:
                    found = known.get(name, names.get(name))
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


async def append(
    inner: Storage,
    seals: Seals,
    key: SessionKey,
    turns: Sequence[Turn],
    *,
    expected: Expected | None,
    dedupe: bool,
    at: TurnRef | None,
) -> Appended | None:
    """Do what `Storage.append` does, again for each other append that came between."""
    # Nothing is written beside another key.
    found, known = await seals.check_end(inner, key), dict[str, Turn]()
    while True:
        # Among turns that get names, the storage itself looks for duplicates.
        plan = _planned(seals, turns, known, dedupe=dedupe and at is None)
        place = at or _next(found.info)
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
            new = _renewed(plan, done)
            return _appended(seals, turns, plan._replace(new=new), done.turns, done.info, sealed)
        if at is not None:
            return None
        found = await inner.read(key, limit=DEDUPE_TURNS)
        if not await _is_as(inner, key, found, expected):
            return None
        known = _names(found.turns, dedupe=dedupe)


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
