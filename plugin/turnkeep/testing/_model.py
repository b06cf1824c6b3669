"""Any sequence of verbs, compared with a plain model: the memory storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeAlias

import anyio
from hypothesis import HealthCheck, given, note, settings
from msgspec.structs import replace

from .._errors import InvalidMetadataError
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from ..storage.base import (
    Appended,
    Claim,
    Expected,
    Found,
    Page,
    Snapshot,
    Storage,
    TurnRef,
)
from ..storage.memory import MemoryStorage
from ._steps import KEYS, NEVER, Step, verbs

__all__ = ["SetClock", "check_against_model", "differences"]

SetClock: TypeAlias = Callable[[Storage, datetime], None]

BEGIN = datetime(2031, 5, 1, tzinfo=timezone.utc)


class _Player:
    """Plays steps on one storage."""

    def __init__(self, make: Callable[[], Storage], set_clock: SetClock | None) -> None:
        self._make = make
        self._set_clock = set_clock
        self._now = BEGIN
        self._storage = make()
        self._first: dict[SessionKey, Expected] = {}
        self._generations: dict[str, str] = {"": ""}

    async def open(self) -> None:
        await self._storage.open()
        self._wait(0)

    async def aclose(self) -> None:
        await self._storage.aclose()

    def _wait(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        if self._set_clock is not None:
            self._set_clock(self._storage, self._now)

    async def play(self, name: str, arguments: dict[str, Any]) -> object:
        """Return the step's result, without what differs from storage to storage."""
        if name == "reopen":
            await self.aclose()
            self._storage = self._make()
            await self.open()
            return None
        if name == "wait":
            self._wait(**arguments)
            return None
        if "expected" in arguments:
            expected = await self._expected(arguments["key"], arguments["expected"])
            arguments = {**arguments, "expected": expected}
        if "at" in arguments:
            arguments = {**arguments, "at": await self._at(arguments["key"], arguments["at"])}
        if name == "restore":
            arguments = await self._restored(**arguments)
        try:
            return self._plain(await getattr(self._storage, name)(**arguments))
        except InvalidMetadataError:
            return InvalidMetadataError

    async def state(self) -> object:
        """Return all there is of every session."""
        sessions = [self._plain(await self._storage.read(key)) for key in KEYS]
        return sessions, self._plain(await self._storage.claims())

    async def _expected(self, key: SessionKey, wanted: tuple[str, int] | None) -> Expected | None:
        """Return what a step expects of its session: what it is now, or what it was at first."""
        info = (await self._storage.read(key, limit=0)).info
        now = Expected("never") if info is None else info.expected()
        first = self._first.setdefault(key, now)
        if wanted is None:
            return None
        kind, turn = wanted
        match kind:
            case "first":
                return first
            case "revision" if info is not None:
                return info.expected(revision=True)
            case "turn" if info is not None:
                return info.expected(turn=turn)
        return now

    async def _at(self, key: SessionKey, wanted: str | None) -> TurnRef | None:
        """Return the name that the next turn of a session gets, or another one."""
        if wanted is None:
            return None
        info = (await self._storage.read(key, limit=0)).info
        at = TurnRef("named", 1) if info is None else TurnRef(info.generation, info.last_id + 1)
        return at if wanted == "next" else at._replace(id=at.id + 1)

    async def _restored(
        self, key: SessionKey, turns: Sequence[Turn], gap: int, state: str
    ) -> dict[str, Any]:
        """Return what `restore` is given: turns behind those of the session, and a record."""
        info = (await self._storage.read(key, limit=0)).info
        if info is None or info.key != key:
            info = SessionInfo(key=key, created_at=NEVER, updated_at=NEVER, generation="restored")
        first = info.last_id + gap
        stored = [
            replace(turn, id=id, epoch=1 + id % 2, generation=info.generation)
            for id, turn in enumerate(turns, first)
            if id > 0
        ]
        last_id = max([info.last_id, *(turn.id for turn in stored)])
        info = replace(
            info,
            metadata={"r": gap},
            last_id=last_id,
            epoch=max(2, info.epoch),
            last_consolidated=min(gap, last_id),  # no record points behind its last turn
            summary="restored" if gap else None,
            revision=info.revision + 1,
        )
        if state == "earlier":
            info = replace(info, updated_at=info.updated_at - timedelta(days=1))
        if state == "another":
            info = replace(info, generation="another")
        return {"info": info, "turns": stored}

    def _generation(self, generation: str) -> str:
        """Return the same name for the n-th generation of every storage."""
        return self._generations.setdefault(generation, f"{len(self._generations)}")

    def _plain(self, result: Any) -> Any:
        """Return a result with its generations named alike, and without its times."""
        match result:
            case Turn():
                return replace(result, generation=self._generation(result.generation))
            case SessionInfo():
                return replace(
                    result,
                    created_at=NEVER,
                    updated_at=NEVER,
                    generation=self._generation(result.generation),
                    origins=tuple(
                        origin._replace(generation=self._generation(origin.generation))
                        for origin in result.origins
                    ),
                )
            case Claim():
                return result if self._set_clock else replace(result, expires_at=NEVER)
            case [Claim(), *_]:
                claims = [self._plain(claim) for claim in result]
                # Without a clock that stands still, the order is a matter of microseconds.
                return claims if self._set_clock else sorted(claims, key=repr)
            case Snapshot() | Appended() | Page():
                return tuple(self._plain(part) for part in result)
            case Found(turns, unread):
                return sorted((self._plain(one) for one in turns), key=repr), unread
            case list() | tuple():
                return [self._plain(part) for part in result]
        return result


async def differences(
    make: Callable[[], Storage], steps: Sequence[Step], set_clock: SetClock | None = None
) -> list[str]:
    """Say where a storage does something else than the model; empty if nowhere.

    `make` gives the storage; it is called again after a `reopen`, and what it gives then
    must find what was stored. `set_clock` is given a storage and a time; without it no time
    passes between the steps.
    """
    now = BEGIN

    def stand(storage: Storage, at: datetime) -> None:
        nonlocal now
        now = at

    memory = MemoryStorage(clock=lambda: now) if set_clock else MemoryStorage()
    real = _Player(make, set_clock)
    model = _Player(lambda: memory, stand if set_clock else None)
    await real.open()
    await model.open()
    try:
        for place, (name, arguments) in enumerate(steps):
            said = await real.play(name, arguments), await model.play(name, arguments)
            if said[0] != said[1]:
                return [f"step {place}, {name}{arguments}: {said[0]!r} instead of {said[1]!r}"]
            left = await real.state(), await model.state()
            if left[0] != left[1]:
                return [f"after step {place}, {name}{arguments}: {left[0]!r}, not {left[1]!r}"]
    finally:
        await real.aclose()
    return []


def check_against_model(
    make_storage: Callable[[Path], Storage],
    new_folder: Callable[[], Path],
    *,
    survives: bool = True,
    backend: str = "asyncio",
    examples: int = 40,
    set_clock: Callable[[Storage, Path, datetime], None] | None = None,
) -> None:
    """Fail with the shortest sequence of verbs in which a storage differs from the model.

    Each sequence has a folder of its own from `new_folder`. With `survives` the storage is
    made again in between, in the same folder, and must find what was stored.
    """

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
        ],
    )
    @given(verbs())
    def check(steps: list[Step]) -> None:
        folder = new_folder()
        only = None if survives else make_storage(folder)

        def stand(storage: Storage, now: datetime) -> None:
            if set_clock is not None:
                set_clock(storage, folder, now)

        found = anyio.run(
            differences,
            lambda: only or make_storage(folder),
            steps,
            stand if set_clock else None,
            backend=backend,
        )
        note("\n".join(found))
        assert not found, found[0]

    check()
