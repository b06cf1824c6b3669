"""A crash in a rename leaves the old state or the new one."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from storage.test_bounds import io_of
from storage.tools import KEY, OTHER, contents, files, listed, opened, path_of, put, spawn
from turnkeep import SessionKey, StorageError
from turnkeep._records.making import new_turn
from turnkeep.storage.jsonl import JsonlStorage

pytestmark = pytest.mark.anyio

BOTH = ["old 1", "old 2", "new 1", "new 2"]
STEPS = (
    *("replace", "rename", "unlink", "remove", "fsync", "fdatasync", "open"),
    *("write", "pwrite", "ftruncate", "mkdir"),
)

KILLED_AT = """
import os, signal, threading
at = int(sys.argv[2])
count = 0
def dying(real):
    def call(*a, **k):
        global count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*a, **k)
    return call
async def rename():
    async with opened(folder) as storage:
        for name in ("replace", "rename", "unlink", "remove", "fsync", "open", "write"):
            setattr(os, name, dying(getattr(os, name)))
        await storage.rename(KEY, OTHER)
        os._exit(7)
"""


async def prepare(folder: Path, *, join: bool, damaged: bool = True) -> None:
    async with opened(folder) as storage:
        await put(storage, "old 1", "old 2")
        if damaged:
            with path_of(folder).open("ab") as file:
                file.write(b"#damaged\n")
        if join:
            await storage.append(OTHER, [new_turn("user", "new 1")])
            await storage.append(OTHER, [new_turn("assistant", "new 2", answers=1)])


async def state(storage: JsonlStorage, *, damaged: bool = True) -> str:
    """Which of the two states there is; fails if it is neither."""
    info = (await storage.read(KEY)).info
    if info is None or info.key == OTHER:
        assert await contents(storage, OTHER) in (BOTH, BOTH[:2])
        assert [info.key for info in await listed(storage)] == [OTHER]
        (_, _, *behind) = (await storage.read(OTHER)).turns
        assert [turn.answers for turn in behind] in ([], [None, 4])
        renamed = (await storage.read(OTHER)).info
        assert renamed is not None
        assert renamed.damaged == damaged
        return "new"
    assert await contents(storage) == ["old 1", "old 2"]
    assert await contents(storage, OTHER) in (["new 1", "new 2"], [])
    assert info.damaged == damaged
    return "old"


class Interrupted(BaseException):
    """Stands for the death of the process at one step."""


def failing(real: Callable[..., Any], counter: list[int], at: int, error: BaseException) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        counter[0] += 1
        if counter[0] == at:
            raise error
        return real(*arguments, **options)

    return call


@pytest.mark.parametrize(("join", "damaged"), [(False, False), (False, True), (True, True)])
async def test_a_rename_that_was_killed_at_any_call_is_finished_or_was_not_begun(
    tmp_path: Path, join: bool, damaged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    for at in range(1, 200):
        folder = tmp_path / f"{at}"
        await prepare(folder, join=join, damaged=damaged)
        storage = JsonlStorage(folder)
        await storage.open()
        counter = [0]
        with monkeypatch.context() as patched:
            for name in STEPS:
                call = failing(getattr(os, name), counter, at, Interrupted())
                patched.setattr(os, name, call)
            try:
                await storage.rename(KEY, OTHER)
            except Interrupted:
                pass
            else:
                break
        await storage.aclose()
        async with opened(folder) as storage:
            seen.append(await state(storage, damaged=damaged))
            assert not [path for path in files(folder / ".turnkeep") if path.suffix == ".tmp"]
            assert not (folder / ".turnkeep" / "rename.json").exists()
            await storage.rename(KEY, OTHER)
            assert await state(storage, damaged=damaged) == "new"
            await put(storage, "goes on")
            assert (await contents(storage, OTHER))[-1] == "goes on"
        await storage.aclose()
    assert set(seen) == {"old", "new"}
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize("at", [4, 9, 14, 19, 24, 28, 32])
async def test_a_rename_whose_process_was_killed_is_finished_or_was_not_begun(
    tmp_path: Path, at: int
) -> None:
    await prepare(tmp_path, join=True)
    with spawn(KILLED_AT + "main(rename)", tmp_path, at) as process:
        assert process.wait(30) in (-signal.SIGKILL, 7)
    async with opened(tmp_path) as storage:
        await state(storage)
        await storage.rename(KEY, OTHER)
        assert await state(storage) == "new"


@pytest.mark.parametrize(("join", "damaged"), [(False, False), (False, True), (True, True)])
async def test_a_rename_that_fails_raises_and_leaves_both_sessions_usable(
    tmp_path: Path, join: bool, damaged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(1, 200):
        folder = tmp_path / f"{at}"
        await prepare(folder, join=join, damaged=damaged)
        async with opened(folder) as storage:
            counter = [0]
            with monkeypatch.context() as patched:
                for name in STEPS:
                    call = failing(getattr(os, name), counter, at, OSError(28, "No space left"))
                    patched.setattr(os, name, call)
                try:
                    await storage.rename(KEY, OTHER)
                except StorageError as error:
                    said = str(error)
                else:
                    said = "test:"
                    if counter[0] < at:
                        return
            assert "test:" in said
            now = await state(storage, damaged=damaged)
            await put(storage, "goes on")
            assert (await contents(storage))[-1] == "goes on"
        async with opened(folder) as storage:
            # A rename that failed is not done behind the caller's back later.
            info = (await storage.read(KEY)).info
            assert info is not None
            assert (info.key == OTHER) == (now == "new")
            assert (await contents(storage))[-1] == "goes on"
    raise AssertionError("the rename never came to its end")


async def test_an_unreadable_intent_is_kept_aside_and_does_not_stop_the_folder(
    tmp_path: Path,
) -> None:
    await prepare(tmp_path, join=True)
    (tmp_path / ".turnkeep" / "rename.json").write_bytes(b"\0\0")
    async with opened(tmp_path) as storage:
        assert await state(storage) == "old"
    assert not (tmp_path / ".turnkeep" / "rename.json").exists()


async def test_an_unreadable_alias_is_ignored(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await storage.rename(KEY, OTHER)
    for bad in (b"\0", b"{}", b"[]", b'{"moved_to": 5}', b'{"moved_to": "no colon"}', b"\xff"):
        path_of(tmp_path).with_suffix(".alias").write_bytes(bad)
        async with opened(tmp_path) as storage:
            assert await storage.read(KEY) == (None, [], True)


async def test_aliases_that_lead_in_a_circle_are_named_in_an_error(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await storage.rename(KEY, OTHER)
    path_of(tmp_path, OTHER).with_suffix(".alias").write_text('{"moved_to": "test:1"}')
    async with opened(tmp_path) as storage:
        with pytest.raises(StorageError, match="circle"):
            await storage.read(KEY)


async def test_what_is_called_after_a_rename_comes_after_it_though_that_waits_for_another(
    tmp_path: Path,
) -> None:
    third, fourth = SessionKey("test", "3"), SessionKey("test", "4")
    async with opened(tmp_path) as storage:
        for key in (KEY, OTHER, third, fourth):
            await storage.append(key, [new_turn("user", f"{n}") for n in range(1000)])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(storage.rename, third, fourth)
            tasks.start_soon(storage.rename, KEY, OTHER)
            await anyio.lowlevel.checkpoint()
            late = await put(storage, "late", key=OTHER)
            assert late.turns[0].id == 2001
            # No deadlock with what takes an alias away meanwhile.
            tasks.start_soon(storage.forget, KEY)
            tasks.start_soon(storage.rename, OTHER, fourth)
            tasks.start_soon(storage.unlink, third)
        assert await contents(storage, KEY) == []


async def test_a_rename_to_a_free_key_costs_no_more_for_a_long_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: list[int] = []
    for length in (1_000, 20_000):
        async with opened(tmp_path / f"{length}") as storage:
            for _ in range(0, length, 1000):
                await storage.append(KEY, [new_turn("user", "x" * 100)] * 1000)
            costs.append(await io_of(storage.rename(KEY, OTHER), monkeypatch))
            assert (await storage.append(KEY, [new_turn("user", "last")])) is not None
            info = (await storage.read(OTHER, limit=0)).info
            assert info is not None
            assert (info.key, info.turns) == (OTHER, length + 1)
        assert not path_of(tmp_path / f"{length}").exists()
    short, long = costs
    assert long < 1.2 * short + 20_000


@pytest.mark.parametrize("length", [3, 300])
async def test_a_session_that_moved_is_listed_by_its_new_key_at_the_time_of_the_move(
    tmp_path: Path, length: int
) -> None:
    there, other = SessionKey("test", "a" * length), SessionKey("test", "b" * length)
    async with opened(tmp_path) as storage:
        await storage.append(there, [new_turn("user", "Hi", source_id="1")])
        await storage.append(KEY, [new_turn("user", "later")])
        await storage.rename(there, other)
        assert [info.key for info in await listed(storage)] == [other, KEY]
        await storage.rename(other, there)
        assert [info.key for info in await listed(storage)] == [there, KEY]
        again = await storage.append(other, [new_turn("user", "again", source_id="1")])
        assert again is not None
        assert again.new == [False]
    async with opened(tmp_path) as storage:
        assert [info.key for info in await listed(storage)] == [there, KEY]
        assert await storage.aliases() == {other: there}


async def test_a_session_moves_to_a_folder_on_another_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await prepare(tmp_path, join=False, damaged=False)
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        if Path(source) == path_of(tmp_path):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    async with opened(tmp_path) as storage:
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", replace)
            await storage.rename(KEY, OTHER)
        assert await state(storage, damaged=False) == "new"
        assert not path_of(tmp_path).exists()
