"""Someone changes a session's file while it is open: what comes later is not lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from patience import PATIENCE
from storage.tools import KEY, OTHER, contents, lines, messages, opened, path_of, put, user
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl._folder import Folder

pytestmark = pytest.mark.anyio

ROW = '{"id":%d,"role":"user","timestamp":"2026-01-01T00:00:00Z","content":"by hand"}\n'


def edited_in_place(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"two"', b'"TWO and more"'))


def edited_by_a_rename(path: Path) -> None:
    beside = path.with_suffix(".new")
    beside.write_bytes(path.read_bytes().replace(b'"two"', b'"TWO and more"'))
    beside.replace(path)


def added_to(path: Path) -> None:
    with path.open("a") as file:
        file.write(ROW % 90)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def deleted(path: Path) -> None:
    path.unlink()


def moved_away(path: Path) -> None:
    path.replace(path.with_suffix(".moved"))


def its_folder_deleted(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


CHANGES: dict[Callable[[Path], None], list[str]] = {
    edited_in_place: ["one", "TWO and more", "three"],
    edited_by_a_rename: ["one", "TWO and more", "three"],
    added_to: ["one", "two", "three", "by hand"],
    cut_short: ["one", "two"],
    emptied: [],
    deleted: [],
    moved_away: [],
    its_folder_deleted: [],
}


@pytest.mark.parametrize("change", CHANGES)
async def test_appends_after_the_change_are_in_the_file_that_is_there(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = path_of(tmp_path)
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two", "three")
        change(path)
        appended = await put(storage, "four")
        assert messages(path) == [*CHANGES[change], "four"]
        assert lines(path)[-1]["id"] == appended.turns[0].id
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(storage.append, KEY, [user(f"{number}")])
        assert messages(path) == [*CHANGES[change], "four", *(f"{n}" for n in range(20))]
        assert await contents(storage) == messages(path)
    ids = [line["id"] for line in lines(path) if "id" in line]
    assert ids == sorted(set(ids))
    async with opened(tmp_path) as storage:
        assert await contents(storage) == messages(path)


@pytest.mark.parametrize("change", [edited_in_place, edited_by_a_rename, added_to, cut_short])
async def test_an_edit_after_the_change_keeps_it(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = path_of(tmp_path)
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two", "three")
        change(path)
        await storage.edit(KEY, 1, Change(content="ONE"))
        assert messages(path) == ["ONE", *CHANGES[change][1:]]
        assert await contents(storage) == messages(path)


@pytest.mark.parametrize("change", CHANGES)
async def test_metadata_written_after_the_change_is_kept(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = path_of(tmp_path)
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two", "three")
        change(path)
        await storage.update_metadata(KEY, {"m": 1})
        await put(storage, "four")
    assert [line["metadata"] for line in lines(path) if "_type" in line][-1] == {"m": 1}
    assert messages(path) == [*CHANGES[change], "four"]


@pytest.mark.parametrize("change", CHANGES)
async def test_reading_far_back_after_the_change_raises_nothing(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *[f"{n}" for n in range(500)], "two", "three")
        change(path_of(tmp_path))
        await contents(storage, limit=5, newest=False)
        assert await storage.find(KEY, "nothing") is None
        await put(storage, "last")
        assert (await contents(storage))[-1] == "last"


async def test_a_file_that_someone_else_writes_to_all_the_time_loses_no_append(
    tmp_path: Path,
) -> None:
    path = path_of(tmp_path)
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        for number in range(50):
            if number % 3 == 0:
                with path.open("a") as file:
                    file.write(json.dumps({"_type": "provider_state", "n": number}) + "\n")
            await put(storage, f"{number}")
        assert await contents(storage) == ["one", *(f"{n}" for n in range(50))]
    assert messages(path) == ["one", *(f"{n}" for n in range(50))]


async def test_a_session_is_renamed_with_what_someone_else_wrote_to_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two", "three")
        added_to(path_of(tmp_path))
        await storage.rename(KEY, OTHER)
        assert await contents(storage, OTHER) == ["one", "two", "three", "by hand"]


async def test_a_line_that_is_added_between_reading_and_rewriting_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Folder.load
    left = 1

    def load(*arguments: Any) -> Any:
        nonlocal left
        found = real(*arguments)
        if left:
            left -= 1
            added_to(path_of(tmp_path))
        return found

    async with opened(tmp_path) as storage:
        await put(storage, "one", "two", "three")
    async with opened(tmp_path) as storage:
        monkeypatch.setattr(Folder, "load", load)
        await storage.edit(KEY, 1, Change(content="ONE"))
    assert messages(path_of(tmp_path)) == ["ONE", "two", "three", "by hand"]


# What changes nothing of the size.

TIMES: dict[str, Callable[[int], int]] = {
    "back": lambda written: written - 10**12,
    "0": lambda written: written * 0,
    "before 1970": lambda written: -written,
    "in the future": lambda written: written + 10**15,
    "behind all years": lambda written: 2**62 + written * 0,
    "a nanosecond later": lambda written: written + 1,
}


def edited_to_the_same_size(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"two"', b'"TWO"'))


def touched(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize("durability", ["os", "disk"])
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("change", [edited_to_the_same_size, touched])
async def test_a_change_of_the_same_size_is_seen_by_its_time_whichever_that_is(
    tmp_path: Path, change: Callable[[Path], None], time: str, restarted: bool, durability: Any
) -> None:
    path = path_of(tmp_path)
    two = "TWO" if change is edited_to_the_same_size else "two"
    async with opened(tmp_path, durability=durability) as storage:
        await put(storage, "one", "two", "three")
        await put(storage, "other", key=OTHER)
        if restarted:
            await storage.aclose()
            await storage.open()
            await contents(storage)
        written = path.stat().st_mtime_ns
        change(path)
        os.utime(path, ns=(0, TIMES[time](written)))
        with anyio.fail_after(PATIENCE):
            await storage.edit(KEY, 1, Change(content="ONE"))
            assert await contents(storage) == ["ONE", two, "three"]
            os.utime(path, ns=(0, TIMES[time](written)))
            await put(storage, "four")
            assert await contents(storage) == ["ONE", two, "three", "four"]
            os.utime(path, ns=(0, TIMES[time](written)))
            listed = (await storage.sessions()).sessions
    assert {info.key for info in listed} == {KEY, OTHER}
    assert messages(path) == ["ONE", two, "three", "four"]
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["ONE", two, "three", "four"]
