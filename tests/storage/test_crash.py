"""What was acknowledged survives the death of the process; what was to be synced was synced."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import anyio
import pytest

from storage.tools import KEY, contents, lines, messages, opened, path_of, put, run, spawn
from turnkeep import SessionKey
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage

pytestmark = pytest.mark.anyio

WRITER = """
begin, durability = int(sys.argv[2]), sys.argv[3]
async def write(storage, chat):
    key, number = SessionKey("test", chat), begin
    while True:
        appended = await storage.append(key, [user(f"{number} {'x' * (number % 5000)}")])
        os.write(1, b"%d %d %d\\n" % (chat, number, appended.turns[0].id))
        number += 1
async def all_of_them():
    async with opened(folder, durability=durability, lock_timeout=300) as storage:
        async with anyio.create_task_group() as tasks:
            for chat in range(4):
                tasks.start_soon(write, storage, chat)
from turnkeep import SessionKey
main(all_of_them)
"""


@pytest.mark.parametrize("durability", ["os", "disk"])
async def test_every_append_that_was_acknowledged_survives_kill_9_in_order_and_once(
    tmp_path: Path, durability: str
) -> None:
    acknowledged: dict[int, list[tuple[int, int]]] = {chat: [] for chat in range(4)}
    dice = random.Random(durability)
    for round in range(6):
        with spawn(WRITER, tmp_path, round * 100_000, durability) as process:
            assert process.stdout is not None
            said = process.stdout.readline()
            time.sleep(dice.random() * 0.05)
            process.send_signal(signal.SIGKILL)
            said += process.stdout.read()
        for line in said.splitlines(keepends=True):
            if line.endswith("\n"):
                chat, number, turn_id = map(int, line.split())
                acknowledged[chat].append((turn_id, number))
    async with opened(tmp_path) as storage:
        for chat, told in acknowledged.items():
            turns = (await storage.read(SessionKey("test", chat))).turns
            stored = [(turn.id, int(turn.text.split()[0])) for turn in turns]
            assert len(told) > 3
            assert set(told) <= set(stored)
            assert stored == sorted(set(stored))
            # One that was under way when the process died may be there unacknowledged.
            assert len(stored) - len(told) <= 6
            assert len({number for _, number in stored}) == len(stored)


SYNCED = """
async def write():
    async with opened(folder, durability=sys.argv[2]) as storage:
        await put(storage, "one")
        await put(storage, "two")
main(write)
"""


def synced(tmp_path: Path, durability: str) -> list[str]:
    """What a process syncs: each call with the path of its file."""
    log = tmp_path / f"{durability}.log"
    trace = ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", "trace=fsync,fdatasync"]
    run(SYNCED, tmp_path / durability, durability, under=trace)
    return [
        f"{line.split()[1].split('(')[0]} {line.partition('<')[2].partition('>')[0]}"
        for line in log.read_text().splitlines()
        if "sync(" in line
    ]


def test_durability_disk_syncs_the_sessions_own_file_and_every_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    calls = synced(tmp_path, "disk")
    assert calls.count(f"fdatasync {folder}/test/1.jsonl") == 2
    for made in (tmp_path, folder, folder / "test"):
        assert f"fsync {made}" in calls
    assert calls[-1] == f"fdatasync {folder}/test/1.jsonl"


async def test_a_file_that_is_written_anew_is_synced_and_so_is_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(fd: int) -> None:
        name = Path(f"/proc/self/fd/{fd}").readlink()
        calls.append("sync beside" if name.suffix == ".tmp" else f"sync {name}")
        sync(fd)

    def replaced(source: Path, target: Path) -> None:
        calls.append("replace")
        replace(source, target)

    async with opened(tmp_path) as storage:
        await put(storage, "one")
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replaced)
        await storage.clear(KEY, erase=True)
    assert calls == ["sync beside", "replace", f"sync {tmp_path / 'test'}"]


async def test_an_edit_is_noted_and_synced_before_the_file_is_changed_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[tuple[str, list[str]]] = []
    sync = os.fdatasync

    def fdatasync(fd: int) -> None:
        sync(fd)
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        states.append((name, messages(path_of(tmp_path))))

    async with opened(tmp_path) as storage:
        await put(storage, "one")
        inode = path_of(tmp_path).stat().st_ino
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        await storage.edit(KEY, 1, Change(content="ONE"))
        assert states == [("edit", ["one"]), ("1.jsonl", ["ONE"])]
        assert path_of(tmp_path).stat().st_ino == inode


def test_durability_os_syncs_no_append(tmp_path: Path) -> None:
    assert not [call for call in synced(tmp_path, "os") if call.startswith("fdatasync")]


async def test_many_tasks_share_their_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        nonlocal count
        count += 1
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    async with opened(tmp_path, durability="disk") as storage:
        await put(storage, "first")
        async with anyio.create_task_group() as tasks:
            for number in range(64):
                tasks.start_soon(put, storage, f"{number}")
        assert 2 <= count <= 5
    assert len(messages(path_of(tmp_path))) == 65


async def test_an_append_returns_only_when_its_line_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        real(fd)
        sizes.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    async with opened(tmp_path, durability="disk") as storage:
        for number in range(5):
            await put(storage, f"{number}")
            assert sizes[-1] == path_of(tmp_path).stat().st_size
            assert lines(path_of(tmp_path))[-1]["content"] == f"{number}"


async def test_an_append_is_in_the_file_when_it_returns(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        for number in range(5):
            await put(storage, f"{number}")
            assert json.loads(path_of(tmp_path).read_bytes().splitlines()[-1])["id"] == number + 1


async def test_closing_stores_what_is_under_way(tmp_path: Path) -> None:
    storage = JsonlStorage(tmp_path)
    await storage.open()
    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(put, storage, f"{number}")
        await anyio.lowlevel.checkpoint()
        await storage.aclose()
    async with opened(tmp_path) as storage:
        assert len(await contents(storage, KEY)) == 200
