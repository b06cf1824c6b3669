"""What stands in a session's file."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from storage.tools import KEY, OTHER, as_nanobot, files, lines, opened, path_of, put, user
from turnkeep._records.making import new_turn
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl._lines import METADATA_EVERY

pytestmark = pytest.mark.anyio


def longest_way_without_metadata(path: Path) -> int:
    """The most bytes of more than one line between two metadata lines."""
    longest, since, count = 0, 0, 0
    for line in path.read_bytes().splitlines(keepends=True):
        if json.loads(line).get("_type") == "metadata":
            since = count = 0
            continue
        since, count = since + len(line), count + 1
        longest = max(longest, since if count > 1 else 0)
    return longest


async def test_a_metadata_line_is_first_and_then_comes_one_message_a_line(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await storage.append(KEY, [user("hi\nthere", source_id="9", sender="7")])
        await storage.append(KEY, [new_turn("assistant", "hello", answers=1)])
    first, one, two = lines(path_of(tmp_path))
    assert (first["_type"], first["op"], first["key"]) == ("metadata", "begin", "test:1")
    assert {"created_at", "updated_at", "metadata", "last_consolidated"} <= set(first)
    assert (one["id"], one["role"], one["content"]) == (1, "user", "hi\nthere")
    assert (one["source_ids"], one["sender"]) == (["9"], {"id": "7"})
    assert (two["id"], two["role"], two["answers"]) == (2, "assistant", 1)
    assert one["timestamp"].endswith("Z")


async def test_every_line_that_is_no_message_is_a_whole_metadata_line(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        for _ in range(3):
            await put(storage, *["x" * 9000] * 12)
        await storage.edit(KEY, 3, Change(content="y"))
        await storage.delete(KEY, [5])
        await storage.update_metadata(KEY, {"m": 1})
        info = (await storage.read(KEY)).info
        assert info is not None
        await storage.consolidate(KEY, 4, "so far", expected=info.expected())
        await storage.clear(KEY)
    every = set(lines(path_of(tmp_path))[0])
    found = [line for line in lines(path_of(tmp_path)) if "_type" in line]
    assert [line["op"] for line in found] == [
        "begin", *["checkpoint"] * 5, "delete", "metadata", "consolidate", "clear",
    ]  # fmt: skip
    for line in found:
        assert every <= set(line)
        assert line["_type"] == "metadata"


async def test_a_metadata_line_comes_at_least_every_64_kib_or_line(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        for size in [10, 100, 1000, 60_000, 70_000, 200_000, 5] * 20:
            await put(storage, "x" * size)
        await put(storage, *["y" * 20_000] * 20)
        await put(storage, *["z" * 3_000] * 60, key=OTHER)
        assert longest_way_without_metadata(path_of(tmp_path)) <= METADATA_EVERY
        await storage.rename(KEY, OTHER)
    assert longest_way_without_metadata(path_of(tmp_path, OTHER)) <= METADATA_EVERY


async def test_an_edit_that_makes_a_turn_longer_keeps_metadata_close(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *["x" * 1000] * 100)
        await storage.edit(KEY, 20, Change(content="y" * 50_000))
        await storage.edit(KEY, 60, Change(content="y" * 500_000))
        await storage.edit(KEY, 61, Change(content="y" * 500))
    assert longest_way_without_metadata(path_of(tmp_path)) <= METADATA_EVERY


@pytest.mark.parametrize("then", ["nothing", "edit", "delete", "clear", "erase", "again"])
async def test_nanobots_reader_opens_our_file(tmp_path: Path, then: str) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two", "three")
        await storage.update_metadata(KEY, {"m": [1]})
        match then:
            case "edit":
                await storage.edit(KEY, 2, Change(content="TWO"))
            case "delete":
                await storage.delete(KEY, [2])
            case "clear":
                await storage.clear(KEY)
            case "erase":
                await storage.clear(KEY, erase=True)
            case "again":
                await storage.forget(KEY)
                await put(storage, "anew")
        expected = [turn.content for turn in (await storage.read(KEY)).turns]
    metadata, rows = as_nanobot(path_of(tmp_path))
    assert [row["content"] for row in rows] == expected
    assert [row["role"] for row in rows] == ["user"] * len(expected)
    assert metadata["key"] == "test:1"
    assert metadata["metadata"] == ({} if then == "again" else {"m": [1]})


async def test_nobody_else_may_read_what_was_said(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "sessions"
    before = os.umask(0)
    try:
        async with opened(folder) as storage:
            await put(storage, "one", "two")
            await put(storage, "three", key=OTHER)
            await storage.edit(KEY, 1, Change(content="ONE"))
            with path_of(folder).open("ab") as file:
                file.write(b"{torn")
            await storage.clear(KEY, erase=True)
        with path_of(folder).open("ab") as file:
            file.write(b"{torn")
        async with opened(folder) as storage:
            await put(storage, "four")
            await storage.rename(OTHER, KEY)
    finally:
        os.umask(before)
    assert {path.suffix for path in files(folder)} >= {".jsonl", ".alias", ".damaged"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(folder)} == {0o600}
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


async def test_only_session_files_end_in_jsonl(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        await storage.rename(KEY, OTHER)
    assert [path for path in files(tmp_path) if path.suffix == ".jsonl"] == [
        path_of(tmp_path, OTHER)
    ]


async def test_an_append_writes_no_more_in_a_long_session_than_in_a_short_one(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        await put(storage, *["x" * 100] * 5000, key=OTHER)
        grown = []
        for key in (KEY, OTHER):
            before = path_of(tmp_path, key).stat()
            await put(storage, "the same text", key=key)
            after = path_of(tmp_path, key).stat()
            grown.append(after.st_size - before.st_size)
            assert after.st_ino == before.st_ino
    assert abs(grown[0] - grown[1]) < 10


@pytest.mark.parametrize(("written", "meant"), [(999, 3), (-5, 0), (2, 2)])
async def test_a_pointer_out_of_range_heals_to_the_last_turn_of_its_line_and_stays(
    tmp_path: Path, written: int, meant: int
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "a", "b", "c")
        await storage.update_metadata(KEY, {"m": 1})
    path = path_of(tmp_path)
    *before, last = path.read_bytes().splitlines(keepends=True)
    line = json.loads(last) | {"last_consolidated": written}
    path.write_bytes(b"".join(before) + json.dumps(line).encode() + b"\n")
    async with opened(tmp_path) as storage:
        await put(storage, "d")
        info = (await storage.read(KEY)).info
        assert info is not None
        assert info.last_consolidated == meant
