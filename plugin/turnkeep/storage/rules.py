"""Rules of the protocol that are one computation in every storage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from .._errors import InvalidMetadataError
from .._records.identity import TurnRef, new_generation
from .._records.key import SessionKey
from .._records.turn import Turn
from .base import MAX_METADATA_BYTES, Appended, Change, Claim, Expected, SessionInfo

__all__ = [
    "SingleChanges",
    "applied",
    "begun_info",
    "bounded",
    "by_expiry",
    "have_duplicates",
    "is_expected",
    "is_next",
    "lasting_until",
    "merge_metadata",
    "placed",
    "restored",
    "shifted",
    "taken",
]

_LONGEST: Final = timedelta(days=36_525).total_seconds()
_FAR: Final = 9_899
"""The year from which a lease of the longest may end after Python's last year."""

_FOR_EVER: Final = datetime.max.replace(tzinfo=timezone.utc)


class SingleChanges(ABC):
    """The verbs `edit` and `delete`, as the cases of `change` that they are."""

    @abstractmethod
    async def change(
        self,
        key: SessionKey,
        changes: Mapping[int, Change | None],
        *,
        expected: Expected | None = None,
    ) -> list[Turn]: ...

    async def edit(
        self, key: SessionKey, turn_id: int, change: Change, *, expected: Expected | None = None
    ) -> Turn | None:
        return next(iter(await self.change(key, {turn_id: change}, expected=expected)), None)

    async def delete(
        self, key: SessionKey, ids: Sequence[int], *, expected: Expected | None = None
    ) -> list[Turn]:
        return await self.change(key, dict.fromkeys(ids), expected=expected)


def applied(
    turns: Iterable[Turn], changes: Mapping[int, Change | None]
) -> tuple[list[Turn], dict[int, Turn | None]]:
    """Return what `Storage.change` returns for these turns, and what becomes of those that differ.

    The second is by id, with None for a turn to delete.
    """
    there: list[Turn] = []
    differing: dict[int, Turn | None] = {}
    for turn in turns:
        change = changes[turn.id]
        after = None if change is None else change.apply(turn)
        if after is not turn:
            differing[turn.id] = after
        there.append(after or turn)
    return there, differing


def placed(
    info: SessionInfo,
    turns: Sequence[Turn],
    *,
    named: Callable[[Literal["token", "source"], str], Turn | None],
    put: Callable[[Turn], object],
    refused: bool,
    dedupe: bool,
    at: TurnRef | None = None,
) -> tuple[Appended, int] | None:
    """Return what an append gives for these turns, and the number of new ones.

    `named` finds a stored turn, and `put` stores a new one, which `named` then finds. With
    `refused` the session is not as expected: the result is None, unless all turns are known, one
    of them by its token.
    """
    if at is not None:
        knows = [
            bool(turn.token and named("token", turn.token))
            or (dedupe and any(named("source", one) for one in turn.source_ids))
            for turn in turns
        ]
        misplaced = any(knows) or not is_next(info, at) or (dedupe and have_duplicates(turns))
        if not all(knows) and misplaced:
            return None
    done, added, again = Appended([], []), 0, False
    for turn in turns:
        before = named("token", turn.token) if turn.token else None
        again = again or before is not None
        known = before
        for source_id in turn.source_ids if dedupe else ():
            known = known or named("source", source_id)
        done.new.append(before is not None or known is None)
        if known is None:
            if refused:
                return None
            added += 1
            known = replace(
                turn, id=info.last_id + added, epoch=info.epoch, generation=info.generation
            )
            put(known)
        done.turns.append(known)
    return None if refused and not again else (done, added)


def have_duplicates(turns: Sequence[Turn]) -> bool:
    """Return True if two of these turns share a source id."""
    seen: set[str] = set()
    for turn in turns:
        if not seen.isdisjoint(turn.source_ids):
            return True
        seen.update(turn.source_ids)
    return False


def is_next(info: SessionInfo | None, at: TurnRef | None) -> bool:
    """Return True if the session's next turn is named so, or if no name is given."""
    if at is None or info is None:
        return at is None or at.id == 1
    return (info.generation, info.last_id + 1) == at


def restored(
    there: SessionInfo | None, info: SessionInfo, turns: Sequence[Turn]
) -> tuple[SessionInfo, list[Turn]] | None:
    """Return the record that `Storage.restore` stores, and the turns to add.

    `there` is the session's record. The result is None if it may not be replaced.
    """
    if there is None:
        there = replace(info, turns=0, last_id=0, damaged=0)
    elif (
        there.generation != info.generation
        or there.updated_at > info.updated_at
        or there.last_id > info.last_id
    ):
        return None
    added = [replace(turn, generation=info.generation) for turn in turns if turn.id > there.last_id]
    record = replace(info, turns=there.turns + len(added), damaged=there.damaged)
    return record, added


def taken(
    there: Claim | None,
    key: SessionKey,
    name: str,
    *,
    owner: str,
    payload: dict[str, Any] | None,
    now: datetime,
    expires_at: datetime,
) -> Claim | None:
    """Return the claim that `Storage.claim` stores; None while another owner has it.

    `there` is the stored claim of that name. Its payload stays unless a new one is given.
    """
    if there is not None and there.owner != owner and there.expires_at > now:
        return None
    if payload is None:
        payload = {} if there is None else there.payload
    return Claim(
        key=key,
        name=name,
        owner=owner,
        expires_at=expires_at,
        payload=payload,
        taken_over=there is not None and (there.owner != owner or there.taken_over),
    )


def renewed(there: Claim, expires_at: datetime, payload: Mapping[str, Any] | None) -> Claim:
    """Return a claim of its owner's as `Storage.renew` stores it."""
    given = there.payload if payload is None else dict(payload)
    return replace(there, expires_at=expires_at, payload=given)


def by_expiry(claims: Iterable[Claim]) -> list[Claim]:
    """Return claims in the order of `Storage.claims`: the earliest expiry first."""
    return sorted(claims, key=lambda claim: (claim.expires_at, claim.key, claim.name))


def lasting_until(now: datetime, ttl: float) -> datetime:
    """Return the end of a lease of so many seconds; years from now it is for ever."""
    return now + timedelta(seconds=bounded(ttl)) if now.year < _FAR else _FOR_EVER


def bounded(ttl: float) -> float:
    """Return a lease's seconds, or those of a hundred years if they are more."""
    return min(ttl, _LONGEST)


def begun_info(key: SessionKey, now: datetime, at: TurnRef | None = None) -> SessionInfo:
    """Return the record of a session that begins now, with a turn of this name if one is given."""
    generation = new_generation() if at is None else at.generation
    return SessionInfo(key=key, created_at=now, updated_at=now, generation=generation)


def is_expected(info: SessionInfo | None, expected: Expected | None) -> bool:
    """Return True if a session is as expected; the storage itself looks up the expected turn."""
    if expected is None:
        return True
    return (
        info is not None
        and info.generation == expected.generation
        and expected.epoch in (None, info.epoch)
        and expected.revision in (None, info.revision)
    )


def merge_metadata(
    key: SessionKey, present: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Return `present` with the checked JSON of `changes` applied; check the limit."""
    merged = {name: value for name, value in {**present, **changes}.items() if value is not None}
    size = 1 + max(1, sum(1 + _size(name, value) for name, value in merged.items()))
    if size > MAX_METADATA_BYTES:
        raise InvalidMetadataError(
            f"session {key}: metadata of {size:,} bytes is over its limit of "
            f"{MAX_METADATA_BYTES:,}; keep large values elsewhere and a reference here"
        )
    return merged


def _size(name: str, value: Any) -> int:
    """Return the bytes of an item. Those of an encrypted one are of what it says, within reason."""
    encoded = len(msgspec.json.encode({name: value})) - 2
    match value:
        case {"type": "sealed", "size": int(plain)} if plain > 0:
            return max(plain - 2, encoded // 20)
    return encoded


def shifted(turn: Turn, ids: int, epochs: int, generation: str) -> Turn:
    """Return a turn of a merged session, with its raised id and epoch."""
    return replace(
        turn,
        id=turn.id + ids,
        epoch=turn.epoch + epochs,
        answers=None if turn.answers is None else turn.answers + ids,
        also_answers=tuple(one + ids for one in turn.also_answers),
        generation=generation,
    )
