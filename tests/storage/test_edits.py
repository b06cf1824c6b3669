"""Edits and deletions near the end of a file are made in its place."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from faults.disk import Disk
from storage.test_bounds import counted_reads, io_of
from storage.tools import (
    KEY,
    OTHER,
    contents,
    damaged,
    full_at,
    grep,
    lines,
    messages,
    opened,
    path_of,
    put,
    spawn,
    user,
)
from turnkeep.storage.base import Change, Storage
from turnkeep.storage.jsonl._folder import Folder

pytestmark = pytest.mark.anyio


def bytes_of_turns(folder: Path) -> int:
    data = path_of(folder).read_bytes()
    return sum(len(line) + 1 for line in data.split(b"\n") if b'"_type"' not in line)


async def test_many_edits_leave_a_file_within_twice_what_it_holds(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *[f"{number} {'x' * 60}" for number in range(200)])
        for number in range(150):
            await storage.edit(KEY, 190, Change(content=f"at {number}"))
        assert path_of(tmp_path).stat().st_size < 1.1 * bytes_of_turns(tmp_path)


async def test_edits_between_appends_leave_a_file_within_twice_what_it_holds(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "x" * 300)
        info = (await storage.read(KEY)).info
        assert info is not None
        await storage.consolidate(KEY, 1, "a long summary " * 200, expected=info.expected())
        for number in range(100):
            await put(storage, *["x" * 300] * 3)
            await storage.edit(KEY, 2 + 3 * number, Change(content="y" * 310))
            await storage.edit(KEY, 4 + 3 * number, Change(link=(f"s{number}",)))
        assert path_of(tmp_path).stat().st_size < 2 * bytes_of_turns(tmp_path)
        # Between two metadata lines there are 64 KiB at most.
        since = 0
        for line in path_of(tmp_path).read_bytes().splitlines(keepends=True):
            since = 0 if b'"_type"' in line else since + len(line)
            assert since <= 64 * 1024


async def test_the_cost_of_an_edit_of_the_latest_1000_turns_does_not_depend_on_the_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: dict[str, list[int]] = {}
    for length in (2_000, 40_000):
        async with opened(tmp_path / f"{length}") as storage:
            for start in range(0, length, 1000):
                turns = [user("x" * 100, source_id=f"{start + n}") for n in range(1000)]
                await storage.append(KEY, turns)
            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "edit": lambda: storage.edit(KEY, length, Change(content="edited")),  # noqa: B023
                "old": lambda: storage.edit(KEY, length - 900, Change(content="a")),  # noqa: B023
                "link": lambda: storage.edit(KEY, length - 1, Change(link=("s",))),  # noqa: B023
                "delete": lambda: storage.delete(KEY, [length]),  # noqa: B023
            }
            for name, call in calls.items():
                costs.setdefault(name, []).append(await io_of(call(), monkeypatch))
    for name, (short, long) in costs.items():
        assert long < 1.2 * short + 50_000, (name, short, long)
        assert long < 2_500_000


async def test_the_changes_of_many_turns_are_found_in_one_reading_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await storage.append(KEY, [user("x" * 100, source_id=f"{n}") for n in range(2_000)])
        few = await io_of(storage.change(KEY, {1: Change(content="edited")}), monkeypatch)
        many = {id: Change(content="also") if id % 2 else None for id in range(1, 2_000, 3)}
        assert await io_of(storage.change(KEY, many), monkeypatch) < 2.5 * few
        turns = (await storage.read(KEY)).turns
    assert [turn.id for turn in turns] == [
        id for id in range(1, 2_001) if not (id in many and many[id] is None)
    ]
    assert {turn.id for turn in turns if turn.content == "also"} == {*range(1, 2_000, 6)}


async def test_a_session_stays_at_hand_after_a_change_near_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        for number in range(30):
            await storage.append(KEY, [user(f"{number}", source_id=f"s{number}")])
        with counted_reads(monkeypatch) as reads:
            for turn_id in (30, 28, 29):
                await storage.edit(KEY, turn_id, Change(content="edited", link=(f"t{turn_id}",)))
                await storage.delete(KEY, [turn_id - 6])
                reads.clear()
                await storage.append(KEY, [user("new", source_id=f"n{turn_id}")])
                await contents(storage, limit=20)
                assert reads == []
        # What was linked is known, and what was deleted is not.
        known = await storage.append(KEY, [user("again", source_id="t28")])
        gone = await storage.append(KEY, [user("again", source_id="s21")])
        assert known is not None
        assert gone is not None
        assert (known.new, gone.new) == ([False], [True])
        there = (await storage.read(KEY)).turns
    async with opened(tmp_path) as storage:
        assert (await storage.read(KEY)).turns == there


async def test_without_the_later_of_two_turns_the_earlier_one_is_known(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        for _ in range(2):
            await storage.append(KEY, [user("a", source_id="s")], dedupe=False)
        await storage.delete(KEY, [2])
        appended = await storage.append(KEY, [user("a", source_id="s")])
        assert appended is not None
        assert (appended.new, appended.turns[0].id) == ([False], 1)


# An append that was shortened.


@pytest.mark.parametrize("gone", [[3], [4], [2, 4], [3, 4], [2]])
async def test_what_is_left_of_a_shortened_append_survives_a_torn_end(
    tmp_path: Path, gone: list[int]
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        await storage.append(KEY, [user("two"), user("three"), user("four")])
        await storage.delete(KEY, gone)
        left = await contents(storage)
    path = path_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    async with opened(tmp_path) as storage:
        assert await contents(storage) == left


# Crashes.

Change_ = Callable[[Storage], Awaitable[Any]]
CHANGES: dict[str, Change_] = {
    "grow": lambda storage: storage.edit(KEY, 3, Change(content="much longer than it was " * 9)),
    "shrink": lambda storage: storage.edit(KEY, 3, Change(content="s")),
    "delete": lambda storage: storage.delete(KEY, [3, 5]),
    "link": lambda storage: storage.edit(KEY, 6, Change(link=("linked",))),
    "change": lambda storage: storage.change(KEY, {2: None, 4: Change(content="x")}),
}


async def seen(folder: Path) -> str:
    """All that a new process finds, which goes on to write."""
    async with opened(folder) as storage:
        info, turns, _ = await storage.read(KEY)
        assert info is not None
        assert await damaged(storage) == 0
        assert (await put(storage, "goes on")).turns[0].id == info.last_id + 1
    assert lines(path_of(folder))
    return repr((turns, info.turns, info.last_id, info.revision))


@pytest.mark.parametrize("way", CHANGES)
async def test_a_crash_at_any_write_of_an_edit_leaves_the_old_turns_or_the_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    copies: list[Path] = []

    def snap() -> None:
        copies.append(tmp_path / f"copy {len(copies)}")
        shutil.copytree(tmp_path / "a", copies[-1])

    def snapping(real: Any) -> Any:
        def call(fd: int, *arguments: Any) -> Any:
            snap()
            if real.__name__ == "pwrite":  # the kernel takes only a part of it
                data, at = arguments
                real(fd, data[: len(data) // 2], at)
                snap()
            return real(fd, *arguments)

        return call

    async with opened(tmp_path / "a", durability="disk") as storage:
        await put(storage, *[f"{number} of these" for number in range(1, 7)])
        await storage.edit(KEY, 1, Change(extra={"edited": True}))
        await put(storage, "seven")
        snap()
        with monkeypatch.context() as patched:
            for name in ("pwrite", "ftruncate", "fdatasync"):
                patched.setattr(os, name, snapping(getattr(os, name)))
            await CHANGES[way](storage)
        snap()
    found = [await seen(copy) for copy in copies]
    assert len(found) > 6
    changed = found.index(found[-1])
    assert found == [found[0]] * changed + [found[-1]] * (len(found) - changed)


@pytest.mark.parametrize("way", CHANGES)
async def test_a_power_cut_in_the_middle_of_an_edit_loses_no_acknowledged_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    dice = random.Random(way)
    (tmp_path / "a").mkdir()
    copies: list[Path] = []

    def cut() -> None:
        for _ in range(4):
            copies.append(tmp_path / f"copy {len(copies)}")
            disk.power_cut(copies[-1], dice)

    def cutting(real: Any) -> Any:
        def call(fd: int, *arguments: Any) -> Any:
            cut()
            result = real(fd, *arguments)
            cut()
            return result

        return call

    with Disk(tmp_path / "a").noting() as disk:
        async with opened(tmp_path / "a", durability="disk") as storage:
            await put(storage, *[f"{number} of these" for number in range(1, 7)])
            await storage.edit(KEY, 1, Change(extra={"edited": True}))
            await put(storage, "seven")
            cut()
            with monkeypatch.context() as patched:
                for name in ("pwrite", "ftruncate", "fdatasync"):
                    patched.setattr(os, name, cutting(getattr(os, name)))
                await CHANGES[way](storage)
            del copies[-1]  # this one is behind the last call, and has the edit
            cut()
    found = [await seen(copy) for copy in copies]
    assert {*found} <= {found[0], found[-1]}
    assert found[-1] != found[0]


async def test_what_an_edit_noted_is_gone_once_it_is_deleted(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one", "a secret", "three")
        await storage.edit(KEY, 1, Change(content="ONE"))  # notes all from there on
        await storage.delete(KEY, [2])
        assert not grep(tmp_path, "a secret")
        await storage.edit(KEY, 3, Change(content="another secret"))
        await storage.forget(KEY)
        assert not grep(tmp_path, "another secret")


async def test_an_old_note_of_an_edit_changes_nothing_that_came_after_it(tmp_path: Path) -> None:
    note = tmp_path / ".turnkeep" / "edit"
    kept: list[bytes] = []
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        real(fd)
        if Path(f"/proc/self/fd/{fd}").readlink() == note and note.read_bytes().strip(b"\0"):
            kept.append(note.read_bytes())

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fdatasync", fdatasync)
        async with opened(tmp_path) as storage:
            await put(storage, "one", "two", "three")
            await storage.delete(KEY, [3])
            await put(storage, "four", "five")
    assert len(kept) == 1
    note.write_bytes(kept[0])  # its removal did not reach the disk
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["one", "two", "four", "five"]
    assert not note.read_bytes().strip(b"\0")


@pytest.mark.parametrize("call", ["pwrite", "ftruncate"])
async def test_an_edit_that_fails_in_its_middle_has_changed_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    at = 2 if call == "pwrite" else 1  # the note comes first
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two" * 99, "three")
        await storage.edit(KEY, 2, Change(content="two"))
        await storage.edit(KEY, 2, Change(content="two" * 99))  # to be cut away
        before = path_of(tmp_path).read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(os, call, full_at(call, at))
            with pytest.raises(Exception, match="nothing was stored"):
                await storage.delete(KEY, [2])
        assert path_of(tmp_path).read_bytes() == before
        assert await contents(storage) == ["one", "two" * 99, "three"]
        await storage.delete(KEY, [2])
        assert await contents(storage) == ["one", "three"]


EDITOR = """
from turnkeep.storage.base import Change
async def edit():
    async with opened(folder) as storage:
        await storage.append(KEY, [user(f"0 {'x' * n}") for n in range(200)])
        print("ready", flush=True)
        for number in range(1, 40):
            change = Change(content=f"{number} {'x' * (number % 900)}")
            await storage.change(KEY, dict.fromkeys(range(101, 201), change))
main(edit)
"""


async def test_a_reader_in_another_process_sees_no_half_of_an_edit(tmp_path: Path) -> None:
    with spawn(EDITOR, tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        async with opened(tmp_path, read_only=True) as storage:
            while process.poll() is None:
                info, turns, _ = await storage.read(KEY, limit=100)
                assert info is not None
                assert len(turns) == 100
                assert len({turn.text.split()[0] for turn in turns}) == 1
                assert info.damaged == 0
    assert process.returncode == 0


async def test_all_changes_of_one_call_are_one_rewrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *[f"{number}" for number in range(1, 301)])
        calls: list[object] = []
        real = Folder.rewrite

        def rewrite(*arguments: Any) -> int | None:
            calls.append(arguments)
            return real(*arguments)

        monkeypatch.setattr(Folder, "rewrite", rewrite)
        changes: dict[int, Change | None] = dict.fromkeys(range(1, 300, 2))
        changes |= dict.fromkeys(range(2, 300, 2), Change(content="quoted"))
        assert len(await storage.change(KEY, changes)) == 299
        assert len(calls) == 1
        await put(storage, "other", key=OTHER)
    assert messages(path_of(tmp_path)) == ["quoted"] * 149 + ["300"]
