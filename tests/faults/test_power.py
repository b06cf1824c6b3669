"""Power cuts on real file systems: a loop-mounted ext4 and XFS, shut down beneath the writer.

Each is tried on a JSONL folder and on a SQLite file.

It takes root, loop devices, and `mkfs`. Where they are missing the tests are skipped, and say so;
`tests/storage/test_doubt.py` and `test_edits.py` cut the power of a disk that is simulated.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from faults.conftest import Tally
from faults.kinds import KINDS, at
from storage.tools import spawn
from turnkeep import SessionKey

pytestmark = pytest.mark.anyio

SHUTDOWN = 0x8004587D
WITHOUT_THE_LOG = struct.pack("I", 2)
CHATS = 6
BEFORE = ("a killed process", "an os run", "nothing")
"""The writers to the folder, unsynced, before the process whose power is cut."""

WRITER = """
from faults.kinds import at
from turnkeep import SessionKey
from turnkeep.storage.base import Change
async def write(storage, chat):
    key, number = SessionKey("test", chat), int(sys.argv[3])
    while True:
        text = f"{number} {'x' * (number * 37 % 3000)}"
        appended = await storage.append(key, [user(text, token=f"{number}")])
        os.write(1, b"%d %d\\n" % (chat, number))
        if chat == 0 and number % 5 == 0:
            await storage.edit(key, appended.turns[0].id, Change(content=f"{number} edited"))
        number += 1
async def all_of_them():
    async with at(sys.argv[4], folder, sys.argv[2]) as storage:
        async with anyio.create_task_group() as tasks:
            for chat in range(6):
                tasks.start_soon(write, storage, chat)
main(all_of_them)
"""


class Machine:
    """A file system of its own, whose power can be cut."""

    def __init__(self, kind: str, place: Path) -> None:
        self._image, self._kind = place / "image", kind
        self.mounted = place / "mounted"
        self.mounted.mkdir()
        size = 320 if kind == "xfs" else 48
        with self._image.open("wb") as file:
            file.truncate(size * 1024 * 1024)
        force = "-f" if kind == "xfs" else "-F"
        subprocess.run([f"mkfs.{kind}", "-q", force, self._image], check=True)

    def mount(self) -> None:
        options = ["-o", "loop"]
        subprocess.run(["mount", *options, self._image, self.mounted], check=True)

    def cut(self) -> None:
        """Stop the file system at once: nothing that is not on the disk gets there any more."""
        fd = os.open(self.mounted, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, WITHOUT_THE_LOG)
        finally:
            os.close(fd)

    def unmount(self) -> None:
        for _ in range(50):
            done = subprocess.run(["umount", self.mounted], capture_output=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.1)
        subprocess.run(["umount", self.mounted], check=True)


@contextmanager
def machine(kind: str, place: Path) -> Generator[Machine]:
    """Give a mounted file system, or skip the test where there can't be one."""
    if os.geteuid() != 0 or shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"a power cut on {kind} takes root and mkfs.{kind}")
    made = Machine(kind, place)
    try:
        made.mount()
    except subprocess.CalledProcessError:
        pytest.skip(f"a power cut on {kind} takes a loop device")
    try:
        yield made
    finally:
        subprocess.run(["umount", "-l", made.mounted], capture_output=True, check=False)


def acknowledged(
    kind: str,
    folder: Path,
    durability: str,
    first: int,
    seconds: float,
    cut: Callable[[], None] | None,
) -> str:
    """Return what a writer acknowledged until the power was cut, or until it was killed."""
    with spawn(WRITER, folder, durability, first, kind) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        time.sleep(seconds)
        if cut is not None:
            # It says nothing any more: a sync that is under way when ext4 is shut down may
            # return as if it had succeeded, which no machine without power does.
            process.send_signal(signal.SIGSTOP)
            cut()
        process.kill()
        said += process.stdout.read()
    return said


def numbers(said: str) -> dict[int, list[int]]:
    told: dict[int, list[int]] = {chat: [] for chat in range(CHATS)}
    for line in said.splitlines(keepends=True):
        if line.endswith("\n"):
            chat, number = map(int, line.split())
            told[chat].append(number)
    return told


async def stored(kind: str, folder: Path) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    async with at(kind, folder) as storage:
        for chat in range(CHATS):
            turns = (await storage.read(SessionKey("test", chat))).turns
            found[chat] = [int(turn.text.split()[0]) for turn in turns]
            assert [turn.id for turn in turns] == sorted({turn.id for turn in turns})
            await storage.append(SessionKey("test", chat), [])
    return found


@pytest.mark.parametrize("storage", KINDS)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
async def test_a_power_cut_loses_nothing_that_was_acknowledged_with_durability_disk(
    tmp_path: Path, kind: str, storage: str, tally: Tally
) -> None:
    for trial in tally.times(2):
        before = BEFORE[trial % len(BEFORE)]
        place = tmp_path / f"{trial}"
        place.mkdir()
        with machine(kind, place) as made:
            folder = made.mounted / "sessions"
            told: dict[int, list[int]] = {chat: [] for chat in range(CHATS)}
            if before != "nothing":
                durability = "os" if before == "an os run" else "disk"
                said = acknowledged(storage, folder, durability, 1, 0.1, None)
                if durability == "disk":
                    told = numbers(said)
            moment = 0.02 + tally.dice.random() * 0.3
            said = acknowledged(storage, folder, "disk", 1_000_000, moment, made.cut)
            for chat, more in numbers(said).items():
                told[chat] += more
            await anyio.to_thread.run_sync(made.unmount)
            made.mount()
            found = await stored(storage, folder)
            lost = {chat: [*{*told[chat]}.difference(found[chat])] for chat in told}
            assert not any(lost.values()), lost
            for chat, there in found.items():
                assert there == sorted(set(there))
                # One may have been under way at each death.
                assert len(there) - len(told[chat]) <= 2 or before == "an os run"
            tally.count(f"power cuts of {storage} on {kind} after {before}")
            tally.count(f"turns that were acknowledged by {storage}", sum(map(len, told.values())))
            await anyio.to_thread.run_sync(made.unmount)
        shutil.rmtree(place)


@pytest.mark.parametrize("storage", KINDS)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
async def test_after_a_power_cut_what_durability_os_has_left_opens_and_is_in_order(
    tmp_path: Path, kind: str, storage: str, tally: Tally
) -> None:
    for trial in tally.times(1):
        place = tmp_path / f"{trial}"
        place.mkdir()
        with machine(kind, place) as made:
            folder = made.mounted / "sessions"
            acknowledged(storage, folder, "os", 1, 0.05 + tally.dice.random() * 0.2, made.cut)
            await anyio.to_thread.run_sync(made.unmount)
            made.mount()
            for there in (await stored(storage, folder)).values():
                assert there == sorted(set(there))
            tally.count(f"power cuts of {storage} on {kind}")
            await anyio.to_thread.run_sync(made.unmount)
        shutil.rmtree(place)
