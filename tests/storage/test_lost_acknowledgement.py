"""A change that was made and could not be synced is not called undone."""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage.tools import KEY, OTHER, contents, opened, path_of, put, user
from turnkeep import SessionStore, StorageError
from turnkeep._errors import LostAcknowledgementError
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage

pytestmark = pytest.mark.anyio

BROKEN = OSError(5, "Input/output error")


@contextmanager
def folders_not_synced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No sync of a sessions' folder succeeds meanwhile; that of its `.turnkeep` does."""
    real = os.fsync

    def fsync(fd: int) -> None:
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        if stat.S_ISDIR(os.fstat(fd).st_mode) and name != ".turnkeep":
            raise BROKEN
        real(fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        yield


@contextmanager
def broken_calls(monkeypatch: pytest.MonkeyPatch, *names: str) -> Iterator[None]:
    """Calls of these functions of `os` fail."""

    def broken(*_: object) -> None:
        raise BROKEN

    with monkeypatch.context() as patched:
        for name in names:
            patched.setattr(os, name, broken)
        yield


@contextmanager
def moved_and_failed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A session's file gets its new name, and the call fails."""
    real = os.replace

    def replace(path: Path, target: Path, *options: Any, **more: Any) -> None:
        real(path, target, *options, **more)
        if str(target).endswith("2.jsonl"):
            raise BROKEN

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", replace)
        yield


@contextmanager
def files_not_synced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Writes into a session's file succeed, and the sync of it fails."""
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink().suffix == ".jsonl":
            raise BROKEN
        real(fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fdatasync)
        yield


VERBS: dict[str, tuple[Callable[[JsonlStorage], Awaitable[Any]], list[str]]] = {
    "edit": (lambda storage: storage.edit(KEY, 2, Change(content="TWO")), ["one", "TWO", "three"]),
    "delete": (lambda storage: storage.delete(KEY, [2]), ["one", "three"]),
    "erase": (lambda storage: storage.clear(KEY, erase=True), []),
    "forget": (lambda storage: storage.forget(KEY), []),
    "rename": (lambda storage: storage.rename(KEY, OTHER), ["one", "two", "three"]),
}


FAILURES = {
    "rename": moved_and_failed,
    "edit": files_not_synced,
    "delete": files_not_synced,
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_change_that_was_not_synced_is_there_and_the_error_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    call, done = VERBS[verb]
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two", "three")
        await storage.read(KEY)
        # A rename fails behind its point of no return.
        failing = FAILURES.get(verb, folders_not_synced)
        with failing(monkeypatch), pytest.raises(LostAcknowledgementError) as lost:
            await call(storage)
        assert "test:1" in str(lost.value)
        assert "could not be synced" in str(lost.value)
        assert "nothing was stored" not in str(lost.value)
        # What is in memory follows the file.
        assert await contents(storage) == done
        before = (await storage.read(KEY)).info
        if verb != "erase":  # it begins one more epoch, unless it says what it expects
            await call(storage)
            assert await contents(storage) == done
            assert (await storage.read(KEY)).info == before
        await put(storage, "four")
        assert await contents(storage) == [*done, "four"]
    async with opened(tmp_path) as storage:
        assert await contents(storage) == [*done, "four"]


async def test_the_latest_exchange_is_taken_away_once_though_its_acknowledgement_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two")
        info, turns, _ = await storage.read(KEY, limit=1)
        assert info is not None
        expected = info.expected(turn=turns[0].id, revision=True)
        with files_not_synced(monkeypatch), pytest.raises(LostAcknowledgementError):
            await storage.delete(KEY, [2], expected=expected)
        assert await storage.delete(KEY, [2], expected=expected) == []
        assert await contents(storage) == ["one"]


@pytest.mark.parametrize("verb", ["edit", "delete", "undo"])
async def test_a_change_that_is_done_again_is_acknowledged_only_when_its_file_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    async with SessionStore(tmp_path / "sessions") as store:
        session = store.session(KEY)
        await session.extend([{"role": "user", "content": text} for text in ("one", "two")])

        async def change() -> object:
            match verb:
                case "edit":
                    return await session.edit(2, "TWO")
                case "delete":
                    return await session.delete(2)
                case _:
                    return await session.undo()

        with files_not_synced(monkeypatch), pytest.raises(LostAcknowledgementError):
            await change()
        synced: list[str] = []
        real = os.fdatasync

        def fdatasync(fd: int) -> None:
            synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
            real(fd)

        monkeypatch.setattr(os, "fdatasync", fdatasync)
        await session.edit(1, "one")
        assert synced == ["1.jsonl"]
        left = [turn.content async for turn in session.turns()]
        assert left == ["one", *(["TWO"] if verb == "edit" else [])]


async def test_an_erasing_reset_expects_what_it_was_decided_on_and_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        info = (await storage.read(KEY)).info
        assert info is not None
        with folders_not_synced(monkeypatch), pytest.raises(LostAcknowledgementError):
            await storage.clear(KEY, erase=True, expected=info.expected())
        assert not await storage.clear(KEY, erase=True, expected=info.expected())
        after = (await storage.read(KEY)).info
        assert after is not None
        assert after.epoch == info.epoch + 1


async def test_a_rename_that_failed_before_it_changed_a_file_has_changed_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        with folders_not_synced(monkeypatch), pytest.raises(StorageError) as failed:
            await storage.rename(KEY, OTHER)
        assert not isinstance(failed.value, LostAcknowledgementError)
        assert "nothing was stored" in str(failed.value)
        assert await contents(storage, OTHER) == []
        assert await contents(storage) == ["one"]


async def test_a_line_that_was_written_and_neither_synced_nor_cut_away_may_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [user("two", token="t")]
    async with opened(tmp_path, durability="disk") as storage:
        await put(storage, "one")
        broken = broken_calls(monkeypatch, "fdatasync", "ftruncate")
        with broken, pytest.raises(LostAcknowledgementError):
            await storage.append(KEY, given)
        assert await contents(storage) == ["one", "two"]
        await storage.append(KEY, given)
        assert await contents(storage) == ["one", "two"]


async def test_a_failed_reset_keeps_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        before = path_of(tmp_path).read_bytes()
        broken = broken_calls(monkeypatch, "replace")
        with broken, pytest.raises(StorageError, match="nothing was"):
            await storage.clear(KEY, erase=True)
        assert path_of(tmp_path).read_bytes() == before
