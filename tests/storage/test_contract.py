"""Every storage keeps the contract."""

from __future__ import annotations

from pathlib import Path

from turnkeep.storage.base import Storage
from turnkeep.storage.jsonl import JsonlStorage
from turnkeep.storage.memory import MemoryStorage
from turnkeep.testing import StorageContract


class TestMemory(StorageContract):
    survives = False

    def make_storage(self, tmp_path: Path) -> Storage:
        return MemoryStorage()


class TestJsonl(StorageContract):
    def make_storage(self, tmp_path: Path) -> Storage:
        return JsonlStorage(tmp_path / "sessions")


class TestJsonlOnDisk(StorageContract):
    def make_storage(self, tmp_path: Path) -> Storage:
        return JsonlStorage(tmp_path / "sessions", durability="disk")
