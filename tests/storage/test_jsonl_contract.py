"""The JSONL storage keeps the contract, with either durability."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from turnkeep import SessionKey
from turnkeep.storage.base import Storage
from turnkeep.storage.jsonl import JsonlStorage, _clock
from turnkeep.storage.jsonl._names import session_path
from turnkeep.testing import FolderHooks, StorageContract

WRITES = ("write", "pwrite", "replace", "unlink", "fsync", "fdatasync", "mkdir", "ftruncate")


class TestJsonl(FolderHooks, StorageContract):
    durability: Any = "os"

    def make_storage(self, place: Path) -> Storage:
        return JsonlStorage(place, durability=self.durability)

    def second(self, storage: Storage, place: Path) -> Storage:
        return JsonlStorage(place, lock_timeout=0)

    @pytest.fixture(autouse=True)
    def patched(self) -> Iterator[None]:
        """Let a test set the clock."""
        with pytest.MonkeyPatch.context() as self.patch:
            yield

    def set_clock(self, storage: Storage, place: Path, now: datetime) -> None:
        self.patch.setattr(_clock, "now", lambda: now)

    async def kill(self, storage: Storage, place: Path) -> Path:
        # A copy of half a rename is no state that a crash leaves; see test_rename.py for those.
        assert isinstance(storage, JsonlStorage)
        copy = place.with_name(f"killed {len(list(place.parent.iterdir()))}")
        async with storage._renaming:
            shutil.copytree(place, copy)
        return copy

    @contextmanager
    def failing(self, storage: Storage, place: Path, after: int) -> Iterator[None]:
        left = after

        def failing(real: Any, *, is_open: bool = False) -> Any:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                if is_open and not arguments[1] & (os.O_CREAT | os.O_TRUNC):
                    return real(*arguments, **options)
                left -= 1
                if left < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return real(*arguments, **options)

            return call

        with pytest.MonkeyPatch.context() as patched:
            for name in WRITES:
                patched.setattr(os, name, failing(getattr(os, name)))
            patched.setattr(os, "open", failing(os.open, is_open=True))
            yield

    async def damage(self, place: Path, key: SessionKey, turn_id: int) -> None:
        path = session_path(place, key)
        lines = path.read_bytes().split(b"\n")
        (at,) = [n for n, line in enumerate(lines) if f'"id":{turn_id},'.encode() in line[:40]]
        lines[at] = b"#" * len(lines[at])
        path.write_bytes(b"\n".join(lines))

    async def block(self, place: Path, key: SessionKey) -> None:
        path = session_path(place, key)
        path.unlink()
        path.mkdir()

    async def work(self, storage: Storage, place: Path) -> int:
        counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return (int(counts["rchar"]) + int(counts["wchar"])) // 100


class TestJsonlOnDisk(TestJsonl):
    durability = "disk"
    backends = ("asyncio",)  # the thread that writes knows no event loop
