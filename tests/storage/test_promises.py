"""Sentences of the JSONL storage that only a crash, a race or a look at the bytes would show."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import anyio
import pytest

from storage.test_door import journal
from storage.test_journal import journals, put_all
from storage.tools import (
    KEY,
    OTHER,
    contents,
    full_at,
    grep,
    messages,
    opened,
    path_of,
    put,
    user,
    watched,
)
from turnkeep import LostAcknowledgementError, SessionKey, StorageError
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl._folder import Folder

pytestmark = pytest.mark.anyio

KEYS = [SessionKey("test", chat) for chat in range(1, 5)]


# Privacy.


@pytest.mark.parametrize("name", ["pwrite", "fdatasync"])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_an_edit_that_fails_leaves_no_copy_of_what_is_deleted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one", *[f"a secret {number}" for number in range(40)], "last")
        with monkeypatch.context() as patched:
            patched.setattr(os, name, full_at(name, at))
            error: StorageError | None = None
            try:
                await storage.edit(KEY, 1, Change(content="ONE"))
            except StorageError as raised:
                error = raised
        if not isinstance(error, LostAcknowledgementError):  # then it is still to be finished
            assert not grep(tmp_path / ".turnkeep", "a secret")
        await storage.delete(KEY, range(2, 42))
        assert not grep(tmp_path, "a secret")
        assert (await contents(storage))[-1] == "last"


async def test_what_is_erased_from_the_journal_is_synced_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, durability="disk") as storage:
        for text in ("one", "two"):
            await put_all(storage, text, KEYS)
        calls = watched(monkeypatch, "pwrite", "fdatasync")
        await storage.forget(KEYS[0])
        of_journal = [call for call, name in calls if name == "journal-1"]
        assert of_journal[0] == "pwrite"
        assert of_journal[-1] == "fdatasync"


async def test_the_removal_of_a_journal_is_synced_before_the_store_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, durability="disk") as storage:
        for text in ("one", "two"):
            await put_all(storage, text, KEYS)
        calls = watched(monkeypatch, "unlink", "fsync")
    assert ("unlink", "journal-1") in calls
    assert ("fsync", ".turnkeep") in calls[calls.index(("unlink", "journal-1")) :]


async def test_a_forget_is_synced_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        calls = watched(monkeypatch, "unlink", "fsync")
        await storage.forget(KEY)
        assert calls == [("unlink", "1.jsonl"), ("fsync", "test")]


# Lost data.


async def test_two_renames_at_once_each_arrive_whole(tmp_path: Path) -> None:
    new = [SessionKey("test", f"new {number}") for number in range(4)]
    async with opened(tmp_path) as storage:
        for key in KEYS:
            await put(storage, *[f"{number} in {key}" for number in range(20)], key=key)
        async with anyio.create_task_group() as tasks:
            for old, to in zip(KEYS, new, strict=True):
                tasks.start_soon(storage.rename, old, to)
        for old, to in zip(KEYS, new, strict=True):
            expected = [f"{number} in {old}" for number in range(20)]
            assert await contents(storage, to) == expected
            assert await contents(storage, old) == expected


async def test_when_a_rewritten_file_is_synced_all_its_bytes_are_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)
        real(fd)

    async with opened(tmp_path) as storage:
        await put(storage, "one", "two")
        await put(storage, "three", key=OTHER)
        monkeypatch.setattr(os, "fsync", fsync)
        await storage.rename(KEY, OTHER)
        assert path_of(tmp_path, OTHER).stat().st_size in synced
        await storage.clear(OTHER, erase=True)
        assert path_of(tmp_path, OTHER).stat().st_size in synced[-2:]


async def test_what_is_set_aside_is_synced_before_it_is_cut_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two")
    path = path_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    calls = watched(monkeypatch, "fsync", "ftruncate")
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["one"]
    at = calls.index(("fsync", "1.damaged"))
    assert ("ftruncate", "1.jsonl") in calls[at:]
    assert ("ftruncate", "1.jsonl") not in calls[:at]


async def test_a_set_aside_that_fails_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two")
    path, aside = path_of(tmp_path), path_of(tmp_path).with_suffix(".damaged")
    aside.write_bytes(b"before\n")
    torn = path.read_bytes()[:-20]
    path.write_bytes(torn)
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if len(data) > 40:
            return real(fd, data[:40])
        raise OSError(28, "No space left on device")

    async with opened(tmp_path) as storage:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", write)
            assert await contents(storage) == ["one"]
        assert aside.read_bytes() == b"before\n"
        assert path.read_bytes() == torn
        await put(storage, "three")
    assert aside.read_bytes() == b"before\n" + torn.split(b"\n")[-1] + b"\n"


async def test_replay_writes_no_hole(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
    path = path_of(tmp_path)
    before = path.read_bytes()
    line = b'{"id":9,"role":"user","timestamp":"2026-01-01T00:00:00Z","content":"far"}\n'
    (tmp_path / ".turnkeep" / "journal-1").write_bytes(
        journal(("test/1.jsonl", len(before) + 500, line))
    )
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["one"]
    assert path.read_bytes() == before
    assert path.with_suffix(".damaged").read_bytes() == line


# Twice, or under another id.


async def test_a_duplicate_among_the_latest_1000_is_known_after_a_restart_and_a_window(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as storage:
        await storage.append(KEY, [user(f"{n}", source_id=f"s{n}") for n in range(1500)])
    async with opened(tmp_path) as storage:
        await storage.read(KEY, limit=20)
        for number in (505, 1499):
            appended = await storage.append(KEY, [user("again", source_id=f"s{number}")])
            assert appended is not None
            assert (appended.new, appended.turns[0].id) == ([False], number + 1)


async def test_what_begins_during_a_rename_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real = Folder.rename

    def rename(*arguments: Any) -> None:
        real(*arguments)
        order.append("renamed")

    async def append(key: SessionKey) -> None:
        await storage.append(key, [user(f"to {key}")])
        order.append("appended")

    monkeypatch.setattr(Folder, "rename", rename)
    async with opened(tmp_path) as storage:
        await put(storage, "old")
        await put(storage, "new", key=OTHER)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(storage.rename, KEY, OTHER)
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(append, KEY)
            tasks.start_soon(append, OTHER)
        assert order == ["renamed", "appended", "appended"]
        assert (await contents(storage))[:2] == ["old", "new"]
        assert {*(await contents(storage))[2:]} == {f"to {KEY}", f"to {OTHER}"}
    assert len(messages(path_of(tmp_path, OTHER))) == 4


def test_a_note_of_an_edit_that_names_anything_but_a_sessions_file_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "sessions"
    (folder / ".turnkeep").mkdir(parents=True)
    (tmp_path / "x.jsonl").write_bytes(b"precious")
    name, data = b"../x.jsonl", b"overwritten"
    head = b"turnkeep edit 1\n" + struct.pack(
        "<QQIIII", 8, 0, len(name), len(data), 0, zlib.crc32(data, zlib.crc32(name))
    )
    note = folder / ".turnkeep" / "edit"
    note.write_bytes(head + struct.pack("<I", zlib.crc32(head)) + name + data)

    async def look() -> None:
        async with opened(folder) as storage:
            await put(storage, "one")

    anyio.run(look)
    assert (tmp_path / "x.jsonl").read_bytes() == b"precious"
    assert "no session's file" in caplog.text
    assert not journals(folder)
