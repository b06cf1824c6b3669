"""An encrypted storage keeps the contract, whatever is below it.

Over servers it runs on one Python, on asyncio; in the nightly profile on trio too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage import test_jsonl_contract as jsonl
from storage import test_postgresql_contract as postgresql
from storage import test_redis_contract as redis
from storage import test_sqlite_contract as sqlite
from storage.placed import PlacedContract
from turnkeep.encryption import EncryptedStorage, KeyRing
from turnkeep.storage.base import Storage
from turnkeep.storage.encrypted._ring import Sealed as Seal
from turnkeep.testing import Hooks, StorageContract


class RememberingRing(KeyRing):
    """Remembers what it sealed, so that the suite can tell what is in the files."""

    def __init__(self, *keys: str) -> None:
        super().__init__(*keys)
        self.sealed: dict[str, bytes] = {}

    def seal(self, value: Any, *arguments: Any, **options: Any) -> Seal:
        sealed = super().seal(value, *arguments, **options)
        self.sealed[sealed.data] = msgspec.json.encode(value)
        return sealed

    def names(self, kind: str, name: str) -> list[str]:
        found = super().names(kind, name)
        self.sealed |= dict.fromkeys(found, name.encode(errors="surrogatepass"))
        return found

    def revealed(self, raw: bytes) -> bytes:
        """Return what somebody with the keys can tell of these bytes."""
        plain = [plain for data, plain in self.sealed.items() if data.encode() in raw]
        assert not any(b"kept-" in one and one in raw for one in plain), "plaintext is stored"
        return b"\n".join([raw, *plain])


KEYS = RememberingRing(KeyRing.new_key(), KeyRing.new_key())


def inner(storage: Storage) -> Storage:
    """Return the storage below."""
    assert isinstance(storage, EncryptedStorage)
    return storage._inner


class Sealed(Hooks):
    """The hooks of a storage, for an encrypted one around it."""

    def make_storage(self, place: Path) -> Storage:
        return EncryptedStorage(super().make_storage(place), KEYS)

    async def raw_bytes(self, storage: Storage, place: Path) -> bytes:
        return KEYS.revealed(await super().raw_bytes(storage, place))


class SealedOnDisk(Sealed):
    """Those of a storage that can be killed and fail, too."""

    async def kill(self, storage: Storage, place: Path) -> Path:
        return await super().kill(inner(storage), place)

    @contextmanager
    def failing(self, storage: Storage, place: Path, after: int) -> Iterator[None]:
        with super().failing(inner(storage), place, after):
            yield


class TestEncryptedMemory(Sealed, PlacedContract):
    pass


class TestEncryptedJsonl(SealedOnDisk, jsonl.TestJsonl):
    def second(self, storage: Storage, place: Path) -> Storage:
        return EncryptedStorage(super().second(inner(storage), place), KEYS)


class TestEncryptedSqlite(SealedOnDisk, sqlite.TestSqlite):
    async def work(self, storage: Storage, place: Path) -> int:
        return await super().work(inner(storage), place)


@pytest.mark.once
class TestEncryptedRedis(SealedOnDisk, redis.OnRedis, StorageContract):
    backends = postgresql.BACKENDS
    examples = 15

    @contextmanager
    def losing(self, storage: Storage, place: Path) -> Iterator[None]:
        with super().losing(inner(storage), place):
            yield

    def set_clock(self, storage: Storage, place: Path, now: datetime) -> None:
        super().set_clock(inner(storage), place, now)


@pytest.mark.once
class TestEncryptedPostgresql(postgresql.TestPostgresql):
    def make_storage(self, place: Path) -> Storage:
        return EncryptedStorage(super().make_storage(place), KEYS)
