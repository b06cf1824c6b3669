"""With durability "disk", nothing is acknowledged that a sync did not write."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import current_thread

import anyio
import pytest

from faults.disk import Disk
from storage.tools import KEY, contents, damaged, opened, path_of, put, user
from turnkeep import SessionKey, StorageError
from turnkeep.storage.jsonl import JsonlStorage, _appender, _journal

pytestmark = pytest.mark.anyio

KEYS = [SessionKey("test", chat) for chat in range(1, 5)]


async def put_all(storage: JsonlStorage, text: str) -> None:
    """Append to several sessions in one batch."""
    async with anyio.create_task_group() as tasks:
        for key in KEYS:
            tasks.start_soon(storage.append, key, [user(text)])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    (tmp_path / "a").mkdir()
    with Disk(tmp_path / "a").noting() as disk:
        yield disk


async def test_a_file_is_synced_before_the_first_journaled_write_builds_on_it(
    tmp_path: Path, disk: Disk
) -> None:
    async with opened(tmp_path / "a") as storage:  # "os": nothing is synced
        await put_all(storage, "unsynced")
    async with opened(tmp_path / "a", durability="disk") as storage:
        await put_all(storage, "one")
        await put_all(storage, "two")
        copy = disk.power_cut(tmp_path / "b")
    async with opened(copy) as storage:
        for key in KEYS:
            assert await contents(storage, key) == ["unsynced", "one", "two"]
            assert await damaged(storage, key) == 0


async def test_one_sync_of_the_file_system_serves_all_files_where_it_keeps_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []

    def sync(folder: Path) -> bool:
        calls.append(folder)
        return True

    monkeypatch.setattr(_appender, "sync_file_system", sync)
    async with opened(tmp_path) as storage:
        await put_all(storage, "unsynced")
    async with opened(tmp_path, durability="disk") as storage:
        for text in ("one", "two"):
            await put_all(storage, text)
    assert calls == [tmp_path / ".turnkeep"]


async def test_a_line_feed_that_a_dead_writer_left_out_is_synced_too(
    tmp_path: Path, disk: Disk
) -> None:
    async with opened(tmp_path / "a", durability="disk") as storage:
        await put(storage, "one")
    path = path_of(tmp_path / "a")
    path.write_bytes(path.read_bytes()[:-1])
    async with opened(tmp_path / "a", durability="disk") as storage:
        await contents(storage)
        assert disk.syncs[-1] == path


async def test_what_the_journal_has_is_put_back_in_the_same_boot_of_the_machine_too(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "a", durability="disk") as storage:
        for text in ("one", "two", "three"):
            await put_all(storage, text)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
    for key in KEYS:  # the file system came back without what was not synced
        path = path_of(tmp_path / "b", key)
        path.write_bytes(path.read_bytes()[:-100])
    async with opened(tmp_path / "b") as storage:
        for key in KEYS:
            assert await contents(storage, key) == ["one", "two", "three"]


async def test_after_a_failed_sync_nothing_is_acknowledged_on_the_word_of_a_second_one(
    tmp_path: Path, disk: Disk
) -> None:
    async with opened(tmp_path / "a", durability="disk") as storage:
        await put_all(storage, "journaled")
        await put_all(storage, "journaled too")
        disk.fails = lambda path: path == path_of(tmp_path / "a")
        with pytest.raises(StorageError, match="test:1"):
            await put(storage, "failed")
        disk.fails = lambda path: False
        await put(storage, "synced")
        copy = disk.power_cut(tmp_path / "b")
    closed = disk.power_cut(tmp_path / "c")
    for folder in (copy, closed):
        async with opened(folder) as storage:
            assert await contents(storage) == ["journaled", "journaled too", "synced"]
            assert await damaged(storage) == 0


async def test_a_file_whose_sync_failed_is_written_again_from_the_journal(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_journal, "SEGMENT_BYTES", 2000)
    async with opened(tmp_path / "a", durability="disk") as storage:
        await put_all(storage, "first")
        await put_all(storage, "second")
        # Segments are left, and their files can't be synced. What is appended is: an append that
        # finds itself alone in its batch syncs its own file.
        disk.fails = lambda path: current_thread().name == "turnkeep-jsonl-sync"
        for number in range(8):
            await put_all(storage, f"{number}")
        disk.fails = lambda path: False
    assert not list((tmp_path / "a" / ".turnkeep").glob("journal-*"))
    async with opened(disk.power_cut(tmp_path / "b")) as storage:
        for key in KEYS:
            assert await contents(storage, key) == ["first", "second", *map(str, range(8))]
            assert await damaged(storage, key) == 0


async def test_a_file_that_can_not_be_written_anew_after_a_failed_sync_takes_no_append(
    tmp_path: Path, disk: Disk
) -> None:
    async with opened(tmp_path / "a", durability="disk") as storage:
        await put(storage, "one")
        disk.fails = lambda path: True
        for _ in range(3):
            with pytest.raises(StorageError):
                await put(storage, "failed")
        assert await contents(storage, KEY) == ["one"]
        disk.fails = lambda path: False
        await put(storage, "two")
    async with opened(disk.power_cut(tmp_path / "b")) as storage:
        assert await contents(storage) == ["one", "two"]
