"""The storage on a real server keeps the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from profiles import number_of
from turnkeep import SessionKey, StorageError
from turnkeep.storage.base import Capabilities, Storage
from turnkeep.storage.redis import RedisStorage, _rename, from_url
from turnkeep.storage.redis._errors import lost
from turnkeep.storage.redis._exchange import Command
from turnkeep.storage.redis._scripts import Scripts
from turnkeep.storage.redis._servers import shard_of
from turnkeep.testing import StorageContract
from turnkeep.testing._erasing import ErasingContract
from turnkeep.testing._hooks import Hooks

from .valkey import client, cluster, fresh_url, values


class OnRedis(Hooks):
    """The hooks: each place is a prefix on the shared server, or on another one."""

    at: str | None = None

    @pytest.fixture(autouse=True)
    def prepared(self) -> Iterator[None]:
        self.urls: dict[Path, str] = {}
        with pytest.MonkeyPatch.context() as patch:
            # What a killed process left open is given up soon.
            patch.setattr(_rename, "_LEASE", "100000")
            yield

    def url(self, place: Path) -> str:
        return self.urls.setdefault(place, fresh_url(self.at))

    def make_storage(self, place: Path) -> Storage:
        return from_url(self.url(place))

    def second(self, storage: Storage, place: Path) -> Storage:
        return self.make_storage(place)

    async def raw_bytes(self, storage: Storage, place: Path) -> bytes:
        return values(self.url(place))

    async def kill(self, storage: Storage, place: Path) -> Path:
        def nothing(run: Callable[..., None], commands: Sequence[Command]) -> None:
            for command in commands:
                command.error = StorageError("this process is dead")

        replace_run(storage, nothing)
        return place

    @contextmanager
    def failing(self, storage: Storage, place: Path, after: int) -> Iterator[None]:
        left = after

        def fail(run: Callable[..., None], commands: Sequence[Command]) -> None:
            nonlocal left
            for command in commands:
                if command.changes and left <= 0:
                    command.error = StorageError("the server's memory is full")
                    continue
                left -= command.changes
                run([command])

        with replaced_run(storage, fail):
            yield

    @contextmanager
    def losing(self, storage: Storage, place: Path) -> Iterator[None]:
        def lose(run: Callable[..., None], commands: Sequence[Command]) -> None:
            run(commands)
            for command in commands:
                if command.changes:
                    command.error = lost("the test")

        with replaced_run(storage, lose):
            yield

    def set_clock(self, storage: Storage, place: Path, now: datetime) -> None:
        assert isinstance(storage, RedisStorage)
        seconds = int(now.timestamp())
        storage._exchange.scripts = Scripts(f"{{{seconds}, {now.microsecond}}}")

    async def damage(self, place: Path, key: SessionKey, turn_id: int) -> None:
        with client(self.url(place)) as redis:
            turns = self.key_of(place, "turns", key)
            redis.zremrangebyscore(turns, turn_id, turn_id)
            redis.zadd(turns, {f'{{"id":{turn_id},"epoch":1,"role":': turn_id})

    async def block(self, place: Path, key: SessionKey) -> None:
        with client(self.url(place)) as redis:
            redis.set(self.key_of(place, "info", key), "somebody else's")

    def key_of(self, place: Path, kind: str, key: SessionKey) -> str:
        prefix = self.url(place).partition("prefix=")[2]
        return f"{prefix}:{{{shard_of(key.text)}}}:{kind}:{key.text}"

    async def work(self, storage: Storage, place: Path) -> int:
        with client(self.url(place)) as redis:
            stats = cast("dict[str, Any]", redis.info("commandstats"))
        return sum(one["calls"] for one in stats.values())


def replace_run(
    storage: Storage, run: Callable[[Callable[..., None], Sequence[Command]], None]
) -> None:
    """Let other code stand before the pipelines of a storage."""
    assert isinstance(storage, RedisStorage)
    there = storage._exchange.run
    vars(storage._exchange)["run"] = lambda commands: run(there, commands)


@contextmanager
def replaced_run(
    storage: Storage, run: Callable[[Callable[..., None], Sequence[Command]], None]
) -> Iterator[None]:
    assert isinstance(storage, RedisStorage)
    there = storage._exchange.run
    replace_run(storage, run)
    try:
        yield
    finally:
        vars(storage._exchange)["run"] = there


class TestRedis(OnRedis, StorageContract):
    pass


class ErasingRedis(RedisStorage):
    """It erases from the server's memory, if not from its log of commands."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(shared=True, remote=True, erases=True)


class TestErasedFromMemory(OnRedis, ErasingContract):
    backends = ("asyncio",)

    def make_storage(self, place: Path) -> Storage:
        return ErasingRedis(from_url(self.url(place))._place)


@pytest.mark.once
class TestRedisCluster(OnRedis, StorageContract):
    """The servers of the sessions and of their aliases differ, and each script is for one."""

    backends = ("asyncio",)
    examples = number_of(15, proof=True)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def nodes(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with cluster(tmp_path_factory.mktemp("cluster")) as cls.at:
            yield
