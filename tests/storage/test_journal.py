"""With durability "disk", appends to many sessions share one sync, and survive the machine."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles import many
from storage.tools import contents, damaged, grep, lines, messages, opened, path_of, spawn, user
from turnkeep import SessionKey, StorageError
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage, _journal
from turnkeep.storage.jsonl._journal import HEAD_BYTES

pytestmark = pytest.mark.anyio

SECRET = "a secret word"
KEYS = [SessionKey("test", chat) for chat in range(1, 5)]


async def put_all(storage: JsonlStorage, text: str, keys: list[SessionKey] = KEYS) -> None:
    """Appends to several sessions in one batch."""
    async with anyio.create_task_group() as tasks:
        for key in keys:
            tasks.start_soon(storage.append, key, [user(f"{text} in {key}")])


Synced: TypeAlias = dict[str, int]


@pytest.fixture(name="synced")
def synced_sizes(monkeypatch: pytest.MonkeyPatch) -> Synced:
    """How much of each file was synced by itself, which no power cut takes away."""
    return watch_syncs(monkeypatch)


def watch_syncs(monkeypatch: pytest.MonkeyPatch) -> Synced:
    sizes: Synced = {}
    for name in ("fdatasync", "fsync"):
        real = getattr(os, name)

        def sync(fd: int, real: Callable[[int], None] = real) -> None:
            real(fd)
            sizes[Path(f"/proc/self/fd/{fd}").readlink().name] = os.fstat(fd).st_size

        monkeypatch.setattr(os, name, sync)
    return sizes


def journals(folder: Path) -> list[Path]:
    return sorted((folder / ".turnkeep").glob("journal-*"))


def after_a_power_cut(folder: Path, copy: Path) -> None:
    """A copy of the folder as a later boot of the machine finds it, before anything is lost."""
    while True:
        try:
            shutil.copytree(folder, copy)
            break
        except shutil.Error:  # a segment was removed meanwhile, its files synced: look again
            shutil.rmtree(copy)
    for segment in journals(copy):
        with segment.open("r+b") as file:
            file.write(b"\0" * HEAD_BYTES)


def names_synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the name of each file that is synced from now on."""
    synced: list[str] = []
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return synced


async def test_a_batch_for_many_sessions_is_synced_once_and_is_in_their_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, durability="disk") as storage:
        await put_all(storage, "one")
        synced = names_synced(monkeypatch)
        await put_all(storage, "two")
        assert synced == ["journal-1"]
        for key in KEYS:
            assert messages(path_of(tmp_path, key)) == [f"one in {key}", f"two in {key}"]


async def test_closing_syncs_the_files_and_leaves_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, durability="disk") as storage:
        await put_all(storage, "one")
        await put_all(storage, "two")  # of these none is alone in its batch
        assert journals(tmp_path)
        synced = names_synced(monkeypatch)
    assert set(synced) == {path_of(tmp_path, key).name for key in KEYS}
    assert not journals(tmp_path)


LOSSES = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(("cut", "zeros", "gone")), st.floats(0, 1)),
    max_size=4,
)


@many(60, proof=True)
@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=4), min_size=1), LOSSES)
def test_what_was_acknowledged_is_there_whatever_the_files_lost(
    batches: list[list[int]], losses: list[Any]
) -> None:
    async def scenario(folder: Path) -> None:
        said: dict[int, list[str]] = {chat: [] for chat in range(4)}
        async with opened(folder / "a", durability="disk") as storage:
            for number, chats in enumerate(batches):
                asked = set(chats)
                if len(asked) < 2:  # alone it is synced in its own file
                    asked |= {(chats[0] + 1) % 4}
                async with anyio.create_task_group() as tasks:
                    for chat in asked:
                        text = f"{number} {'x' * (number * 37 % 900)}"
                        tasks.start_soon(storage.append, KEYS[chat], [user(text)])
                        said[chat].append(text)
            after_a_power_cut(folder / "a", folder / "b")
        for chat, kind, share in losses:
            path = path_of(folder / "b", KEYS[chat])
            if path.exists():
                lose(path, kind, share, synced)
        async with opened(folder / "b") as storage:
            assert not journals(folder / "b")
            for chat, texts in said.items():
                assert await contents(storage, KEYS[chat]) == texts
                if texts:
                    assert await damaged(storage, KEYS[chat]) == 0

    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        synced = watch_syncs(patched)
        anyio.run(scenario, Path(folder))


def lose(path: Path, kind: str, share: float, synced: Synced) -> None:
    """What a file system may do to writes that were not synced."""
    size = path.stat().st_size
    kept = synced.get(path.name, 0)
    at = max(int(size * share), kept)
    if kind == "gone" and kept:
        kind = "cut"
    if kind == "gone":
        path.unlink()
    elif kind == "cut":
        os.truncate(path, at)
    else:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"\0" * (size - at))


@pytest.mark.parametrize("damage", range(0, 2600, 41))
async def test_a_torn_journal_gives_what_is_whole_and_stops_nobody(
    tmp_path: Path, damage: int
) -> None:
    async with opened(tmp_path / "a", durability="disk") as storage:
        for number in range(3):
            await put_all(storage, f"{number}")
        after_a_power_cut(tmp_path / "a", tmp_path / "b")
    (segment,) = journals(tmp_path / "b")
    with segment.open("r+b") as file:
        file.seek(HEAD_BYTES + damage)
        file.write(b"?" * 20)
    async with opened(tmp_path / "b") as storage:
        for key in KEYS:  # they lost nothing
            assert await contents(storage, key) == [f"{number} in {key}" for number in range(3)]
            assert await damaged(storage, key) == 0


WAYS: dict[str, Callable[[JsonlStorage], Awaitable[Any]]] = {
    "edit": lambda storage: storage.edit(KEYS[0], 3, Change(content="edited")),
    "delete": lambda storage: storage.delete(KEYS[0], [3]),
    "clear": lambda storage: storage.clear(KEYS[0], erase=True),
    "forget": lambda storage: storage.forget(KEYS[0]),
}
LEFT = {
    "edit": [f"- in {KEYS[0]}", "one", "edited", "three"],
    "delete": [f"- in {KEYS[0]}", "one", "three"],
    "clear": [],
    "forget": [],
}


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_erased_is_not_in_the_journal_and_does_not_come_back(
    tmp_path: Path, way: str, synced: Synced
) -> None:
    async with opened(tmp_path / "a", durability="disk") as storage:
        await put_all(storage, "-", KEYS[:3])
        for text in ("one", SECRET, "three"):
            async with anyio.create_task_group() as tasks:
                for key in KEYS[:3]:
                    said = text if key == KEYS[0] else "-"
                    tasks.start_soon(storage.append, key, [user(said)])
        segment = journals(tmp_path / "a")[0]
        assert SECRET.encode() in segment.read_bytes()
        await WAYS[way](storage)
        assert not grep(tmp_path / "a", SECRET)
        after_a_power_cut(tmp_path / "a", tmp_path / "b")
        # The others' are still there, and an erased record does not end the journal.
        lose(path_of(tmp_path / "b", KEYS[1]), "cut", 0.3, synced)
        lose(path_of(tmp_path / "b", KEYS[2]), "zeros", 0.5, synced)
    async with opened(tmp_path / "b") as storage:
        assert await contents(storage, KEYS[0]) == LEFT[way]
        for key in KEYS[1:3]:
            assert await contents(storage, key) == [f"- in {key}", "-", "-", "-"]


async def test_a_renamed_session_is_not_brought_back_under_its_old_name(tmp_path: Path) -> None:
    new = SessionKey("test", "new")
    async with opened(tmp_path / "a", durability="disk") as storage:
        await put_all(storage, "one")
        await storage.rename(KEYS[0], new)
        after_a_power_cut(tmp_path / "a", tmp_path / "b")
    async with opened(tmp_path / "b") as storage:
        assert not path_of(tmp_path / "b", KEYS[0]).exists()
        assert await contents(storage, KEYS[0]) == [f"one in {KEYS[0]}"]


async def test_what_somebody_else_changed_is_left_and_the_journals_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path / "a", durability="disk") as storage:
        for text in ("one", "two"):
            await put_all(storage, text)
        after_a_power_cut(tmp_path / "a", tmp_path / "b")
    path = path_of(tmp_path / "b", KEYS[0])
    # The first to come may have been alone in its batch, and then is not in the journal.
    changed = path.read_bytes().replace(b'"two in', b'"TWO in')
    path.write_bytes(changed)
    async with opened(tmp_path / "b") as storage:
        assert path.read_bytes() == changed
        assert await contents(storage, KEYS[0]) == [f"one in {KEYS[0]}", f"TWO in {KEYS[0]}"]
        assert "changed from outside" in caplog.text
        assert b'"two in' in path.with_suffix(".damaged").read_bytes()


async def test_what_somebody_took_out_of_a_file_leaves_the_journal_with_the_next_append(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, durability="disk") as storage:
        await put_all(storage, "one")
        await put_all(storage, SECRET)
        path = path_of(tmp_path, KEYS[0])
        kept = [line for line in path.read_bytes().splitlines(True) if SECRET.encode() not in line]
        path.write_bytes(b"".join(kept))
        await storage.append(KEYS[0], [user("three")])
        assert await contents(storage, KEYS[0]) == [f"one in {KEYS[0]}", "three"]
        (segment,) = journals(tmp_path)
        assert f"{SECRET} in {KEYS[0]}".encode() not in segment.read_bytes()
        assert f"{SECRET} in {KEYS[1]}".encode() in segment.read_bytes()


async def test_what_can_not_be_erased_from_the_journal_stays_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    async with opened(tmp_path, durability="disk") as storage:
        await put_all(storage, "one")
        await put_all(storage, "two")
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", refuse)
            with pytest.raises(StorageError, match=str(KEYS[0])):
                await storage.delete(KEYS[0], [2])
        assert len(await contents(storage, KEYS[0])) == 2
        await storage.delete(KEYS[0], [2])
        assert not grep(tmp_path, f"two in {KEYS[0]}")


async def test_segments_follow_each_other_and_are_removed_once_their_files_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: Synced
) -> None:
    monkeypatch.setattr(_journal, "SEGMENT_BYTES", 4000)
    monkeypatch.setattr(_journal, "GROWN_BYTES", 1000)
    async with opened(tmp_path / "a", durability="disk") as storage:
        for number in range(60):
            await put_all(storage, f"{number}")
        after_a_power_cut(tmp_path / "a", tmp_path / "b")
    names = {path.name for path in journals(tmp_path / "b")}
    assert "journal-1" not in names
    assert max(int(name[8:]) for name in names) > 5
    for key in KEYS:
        lose(path_of(tmp_path / "b", key), "cut", 0.9, synced)
    async with opened(tmp_path / "b") as storage:
        for key in KEYS:
            assert await contents(storage, key) == [f"{number} in {key}" for number in range(60)]


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["pwrite", "fdatasync"])
async def test_a_batch_that_the_journal_did_not_take_is_raised_and_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, synced: Synced
) -> None:
    failed: list[SessionKey] = []

    async def append(storage: JsonlStorage, key: SessionKey) -> None:
        try:
            await storage.append(key, [user("two")])
        except StorageError:
            failed.append(key)

    def refuse(*_: object) -> None:
        raise FULL

    async with opened(tmp_path / "a", durability="disk") as storage:
        await put_all(storage, "one")
        with monkeypatch.context() as patched:
            patched.setattr(os, name, refuse)
            async with anyio.create_task_group() as tasks:
                for key in KEYS:
                    tasks.start_soon(append, storage, key)
        assert sorted(failed) == sorted(KEYS)
        await put_all(storage, "three")
        after_a_power_cut(tmp_path / "a", tmp_path / "b")
    for key in KEYS:
        lose(path_of(tmp_path / "b", key), "gone", 0, synced)
    for folder in ("a", "b"):
        async with opened(tmp_path / folder) as storage:
            for key in KEYS:
                assert await contents(storage, key) == [f"one in {key}", f"three in {key}"]


async def test_files_that_could_not_be_synced_stay_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    async with opened(tmp_path, durability="disk") as storage:
        await put_all(storage, "one")
        await put_all(storage, "two")
        monkeypatch.setattr(os, "fdatasync", refuse)
    assert "the journal keeps what was appended" in caplog.text
    assert journals(tmp_path)
    monkeypatch.undo()
    async with opened(tmp_path) as storage:
        assert not journals(tmp_path)
        assert await contents(storage, KEYS[0]) == [f"one in {KEYS[0]}", f"two in {KEYS[0]}"]


WRITER = """
from turnkeep import SessionKey
async def write():
    async with opened(folder, durability="disk") as storage:
        number = 0
        while True:
            async with anyio.create_task_group() as tasks:
                for chat in range(5):
                    tasks.start_soon(storage.append, SessionKey("test", chat), [user(str(number))])
            os.write(1, b"%d\\n" % number)
            number += 1
main(write)
"""


async def test_a_process_that_is_killed_loses_nothing_and_its_journal_is_cleared(
    tmp_path: Path,
) -> None:
    with spawn(WRITER, tmp_path) as process:
        assert process.stdout is not None
        for _ in range(50):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
    told = 50 + rest.count("\n")
    assert journals(tmp_path)
    async with opened(tmp_path) as storage:
        assert not journals(tmp_path)
        for chat in range(5):
            texts = await contents(storage, SessionKey("test", chat))
            assert texts[:told] == [str(number) for number in range(told)]
            assert len(texts) <= told + 1
    for chat in range(5):
        assert lines(path_of(tmp_path, SessionKey("test", chat)))
