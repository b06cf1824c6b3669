"""The ways by which a storage's test lets the suite look from outside.

A storage can't confirm itself: bytes that it says it erased, or turns that it says it stored,
are looked for where they would be. Each way is a hook, a method that a storage's test class
defines. `make_storage` is the one that it must have.
"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

import pytest

from .._records.key import SessionKey
from ..storage.base import Storage

__all__ = ["FolderHooks", "Hooks"]


class Hooks:
    """A test class of a storage: it makes the storage, and lets the suite look at its place.

    A hook that a test class does not define skips the tests that need it, and the reason of
    the skip names the hook; `pytest -rs` lists them.
    """

    survives: bool = True
    """False for a storage whose sessions end with its object: the next one is that object."""

    backends: tuple[str, ...] = ("asyncio", "trio")

    examples: int = 40
    """So many sequences of verbs are compared with the plain model."""

    def make_storage(self, place: Path) -> Storage:
        """Return a storage that keeps its things in or for this folder, not opened yet."""
        raise NotImplementedError

    async def raw_bytes(self, storage: Storage, place: Path) -> bytes:
        """Return all bytes that the storage holds, as its files or its server have them."""
        raise NotImplementedError

    async def kill(self, storage: Storage, place: Path) -> Path:
        """End the storage without `aclose`, and return the place in which to open another one.

        That is what another process finds after this one died. Where it is files, a copy of
        them is that too. The suite closes the storage at the end of the test.
        """
        raise NotImplementedError

    def second(self, storage: Storage, place: Path) -> Storage:
        """Return another storage over the same place, as another process would have it."""
        raise NotImplementedError

    def failing(self, storage: Storage, place: Path, after: int) -> AbstractContextManager[object]:
        """Let the storage's writes fail while the context lasts, as they do on a full disk.

        The first `after` of them go through. What a write is, such as a statement or a call
        of the operating system, is the storage's own.
        """
        raise NotImplementedError

    def losing(self, storage: Storage, place: Path) -> AbstractContextManager[object]:
        """Let changes be made and their answers be lost while the context lasts."""
        raise NotImplementedError

    def set_clock(self, storage: Storage, place: Path, now: datetime) -> None:
        """Set the storage's clock, and let it stand still there."""
        raise NotImplementedError

    async def damage(self, place: Path, key: SessionKey, turn_id: int) -> None:
        """Make a stored turn unreadable. No storage is open meanwhile."""
        raise NotImplementedError

    async def block(self, place: Path, key: SessionKey) -> None:
        """Make a whole session unreadable, its record included. No storage is open meanwhile."""
        raise NotImplementedError

    async def work(self, storage: Storage, place: Path) -> int:
        """Return how much the storage has done so far: rows, bytes, or instructions.

        The suite counts the calls of Python functions by itself; this adds what it can't see.
        """
        raise NotImplementedError

    def offers(self, hook: str) -> bool:
        """Return whether this test class defines a hook."""
        return getattr(type(self), hook) is not getattr(Hooks, hook)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test on every backend."""
        if "backend" in metafunc.fixturenames:
            metafunc.parametrize("backend", self.backends)


class FolderHooks:
    """The hooks of a storage whose place holds all that it stored, in files."""

    async def raw_bytes(self, storage: Storage, place: Path) -> bytes:
        """Return the bytes of all files."""
        return b"\n".join(path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file())

    async def kill(self, storage: Storage, place: Path) -> Path:
        """Copy the files as they are now, which is what a killed process leaves."""
        copy = place.with_name(f"killed {len(list(place.parent.iterdir()))}")
        shutil.copytree(place, copy)
        return copy
