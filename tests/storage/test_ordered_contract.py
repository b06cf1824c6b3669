"""A storage over ordered pairs keeps the contract, whatever the pairs are kept in."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pytest
from anyio import CancelScope, Lock, to_thread

from turnkeep import SessionKey, StorageError
from turnkeep.storage.base import Capabilities, Storage
from turnkeep.storage.ordered import OrderedStorage, Pairs, _claims, _session, _sessions, _storage
from turnkeep.storage.ordered._pairs import path
from turnkeep.testing import StorageContract

T = TypeVar("T")


class SortedPairs:
    """Pairs in a dict and a sorted list of its keys, whose changes can be taken back."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self.undo: list[tuple[bytes, bytes | None]] = []
        self.fails_after: int | None = None

    def put(self, key: bytes, value: bytes) -> None:
        if self.fails_after is not None:
            self.fails_after -= 1
            if self.fails_after < 0:
                raise StorageError("no space is left: make room")
        self.undo.append((key, self.values.get(key)))
        self.set(key, value)

    def delete(self, key: bytes) -> None:
        self.undo.append((key, self.values.get(key)))
        self.set(key, None)

    def set(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            if self.values.pop(key, None) is not None:
                del self.keys[bisect_left(self.keys, key)]
            return
        if key not in self.values:
            insort(self.keys, key)
        self.values[key] = value

    def scan(
        self, first: bytes, end: bytes, limit: int | None, *, reverse: bool
    ) -> list[tuple[bytes, bytes]]:
        keys = self.keys[bisect_left(self.keys, first) : bisect_left(self.keys, end)]
        return [(key, self.values[key]) for key in (keys[::-1] if reverse else keys)[:limit]]


class SortedStorage(OrderedStorage):
    capabilities = Capabilities(shared=True)

    def __init__(self, pairs: SortedPairs) -> None:
        self.pairs = pairs
        self.order = Lock()

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        pass

    async def transact(self, work: Callable[[Pairs], T]) -> T:
        async with self.order:
            with CancelScope(shield=True):
                done = await to_thread.run_sync(self.whole_or_not_at_all, work)
            return done  # noqa: RET504  # to mypy, a cancel scope may swallow an exception

    def whole_or_not_at_all(self, work: Callable[[Pairs], T]) -> T:
        self.pairs.undo = []
        try:
            return work(self.pairs)
        except BaseException:
            for key, value in reversed(self.pairs.undo):
                self.pairs.set(key, value)
            raise


class TestOrdered(StorageContract):
    @pytest.fixture(autouse=True)
    def prepared(self) -> Iterator[None]:
        self.places: dict[Path, SortedPairs] = {}
        with pytest.MonkeyPatch.context() as self.patch:
            yield

    def make_storage(self, place: Path) -> Storage:
        return SortedStorage(self.places.setdefault(place, SortedPairs()))

    def second(self, storage: Storage, place: Path) -> Storage:
        return storage

    async def raw_bytes(self, storage: Storage, place: Path) -> bytes:
        values = self.places[place].values
        return b"\n".join([*values, *values.values()])

    async def kill(self, storage: Storage, place: Path) -> Path:
        assert isinstance(storage, SortedStorage)
        after = place.with_name(f"{place.name}+")
        async with storage.order:
            self.places[after] = SortedPairs()
            for key, value in self.places[place].values.items():
                self.places[after].set(key, value)
        return after

    @contextmanager
    def failing(self, storage: Storage, place: Path, after: int) -> Iterator[None]:
        self.places[place].fails_after = after
        try:
            yield
        finally:
            self.places[place].fails_after = None

    def set_clock(self, storage: Storage, place: Path, now: datetime) -> None:
        for module in (_claims, _session, _sessions, _storage):
            self.patch.setattr(module, "utc_now", lambda: now)

    async def damage(self, place: Path, key: SessionKey, turn_id: int) -> None:
        self.places[place].set(path("turn", key.text, turn_id), b'{"role":')

    async def block(self, place: Path, key: SessionKey) -> None:
        self.places[place].set(path("info", key.text), b"\xff")

    async def work(self, storage: Storage, place: Path) -> int:
        return 0
