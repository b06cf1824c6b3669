"""Any sequence of verbs, and what a plain model says to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, TypeAlias

import anyio
import msgspec
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from .._errors import InvalidMetadataError
from .._records.info import EpochId, SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn, new_turn
from ..storage.base import Appended, Change, Snapshot, Storage
from ..storage.memory import MemoryStorage

Step: TypeAlias = tuple[str, dict[str, Any]]
"""The name of a verb and its arguments; an `epoch` is said by which one it is."""

KEYS: Final = (SessionKey("a", "1"), SessionKey("a", "2"), SessionKey("b", "x:y", user="Z"))
NEVER: Final = datetime(2000, 1, 1, tzinfo=timezone.utc)

_keys = st.sampled_from(KEYS)
_ids = st.integers(0, 12)
_sources = st.sampled_from(["s", "t", "u", '"v"\n'])
_texts = st.text(max_size=20).map(lambda text: text.replace("\0", ""))
_epochs = st.sampled_from([None, "current", "current", "first"])


@st.composite
def _turns(draw: st.DrawFn) -> Turn:
    text = draw(_texts) * draw(st.sampled_from([1, 1, 1, 2000]))
    sources = draw(st.lists(_sources, max_size=2, unique=True))
    answers = draw(st.none() | _ids)
    also = tuple(draw(st.lists(_ids, max_size=2)))
    return new_turn("user", text, source_id=sources, time=NEVER, answers=answers, also_answers=also)


_changes = st.builds(
    Change,
    content=st.just(msgspec.UNSET) | _texts,
    extra=st.just(msgspec.UNSET) | st.dictionaries(_texts, st.integers(0, 9), max_size=2),
    link=st.lists(_sources, max_size=2).map(tuple),
)

_arguments: Final[dict[str, dict[str, st.SearchStrategy[Any]]]] = {
    "append": {
        "key": _keys,
        "turns": st.lists(_turns(), max_size=4),
        "dedupe": st.sampled_from([True, True, True, False]),
        "epoch": _epochs,
    },
    "read": {
        "key": _keys,
        "after": _ids,
        "before": st.none() | _ids,
        "limit": st.none() | st.integers(0, 5),
        "newest": st.booleans(),
    },
    "find": {"key": _keys, "source_id": _sources},
    "edit": {"key": _keys, "turn_id": _ids, "change": _changes},
    "delete": {"key": _keys, "ids": st.lists(_ids, max_size=3)},
    "clear": {"key": _keys, "erase": st.booleans()},
    "consolidate": {
        "key": _keys,
        "last_consolidated": _ids,
        "summary": _texts,
        "epoch": st.sampled_from(["current", "current", "first"]),
    },
    "update_metadata": {
        "key": _keys,
        "changes": st.dictionaries(
            st.sampled_from("mno"), st.none() | st.integers(0, 9) | st.just("x" * 5000), max_size=2
        ),
    },
    "sessions": {"prefix": st.sampled_from(["", "a", "a:", "b:x%3Ay:user:Z", "none"])},
    "rename": {"old": _keys, "new": _keys},
    "forget": {"key": _keys},
    "reopen": {},
}


def verbs(*, most: int = 30) -> st.SearchStrategy[list[Step]]:
    """Sequences of verbs on three sessions; `reopen` closes the storage and makes another."""
    names = st.sampled_from(["append"] * 6 + list(_arguments))
    step = names.flatmap(
        lambda name: st.tuples(st.just(name), st.fixed_dictionaries(_arguments[name]))
    )
    return st.lists(step, max_size=most)


class _Player:
    """Plays steps on one storage."""

    def __init__(self, make: Callable[[], Storage]) -> None:
        self._make = make
        self._storage = make()
        self._first: dict[SessionKey, EpochId] = {}

    async def open(self) -> None:
        await self._storage.open()

    async def aclose(self) -> None:
        await self._storage.aclose()

    async def play(self, name: str, arguments: dict[str, Any]) -> object:
        """The step's result, without what is a matter of time."""
        if name == "reopen":
            await self._storage.aclose()
            self._storage = self._make()
            await self._storage.open()
            return None
        if "epoch" in arguments:
            arguments = {**arguments, "epoch": await self._epoch(**arguments)}
        try:
            result = await getattr(self._storage, name)(**arguments)
        except InvalidMetadataError:
            return InvalidMetadataError
        if name == "sessions":
            return sorted(map(_timeless, result), key=lambda info: info.key)
        return _plain(result)

    async def state(self) -> object:
        """All there is of every session."""
        return [_plain(await self._storage.read(key)) for key in KEYS]

    async def _epoch(self, *, key: SessionKey, epoch: str | None, **_: object) -> EpochId | None:
        info = (await self._storage.read(key, limit=0)).info
        current = (NEVER, 1) if info is None else info.epoch_id
        first = self._first.setdefault(key, current)
        return {None: None, "current": current, "first": first}[epoch]


def _timeless(info: SessionInfo) -> SessionInfo:
    return msgspec.structs.replace(info, created_at=NEVER, updated_at=NEVER)


def _plain(result: object) -> object:
    match result:
        case Snapshot(info, turns):
            return (None if info is None else _timeless(info)), list(turns)
        case Appended(turns, new):
            return turns, new
    return result


async def differences(make: Callable[[], Storage], steps: Sequence[Step]) -> list[str]:
    """Where a storage does something else than the model, said in words; empty if nowhere.

    `make` gives the storage; it is called again after a `reopen`, and what it gives then
    must find what was stored.
    """
    memory = MemoryStorage()
    real, model = _Player(make), _Player(lambda: memory)
    await real.open()
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
) -> None:
    """Fails with the shortest sequence of verbs in which a storage differs from the model.

    Each sequence has a folder of its own from `new_folder`. With `survives` the storage is
    made anew in between, in the same folder, and must find what was stored.
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
        found = anyio.run(differences, lambda: only or make_storage(folder), steps, backend=backend)
        note("\n".join(found))
        assert not found, found[0]

    check()
