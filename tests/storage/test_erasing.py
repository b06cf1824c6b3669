"""What edit, delete, clear with erase, and forget take away is nowhere under the folder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from storage.tools import KEY, OTHER, files, grep, opened, path_of, put, user
from turnkeep import SessionKey
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage

pytestmark = pytest.mark.anyio

SECRET = "a secret word"

WAYS: dict[str, Callable[[JsonlStorage, int], Awaitable[Any]]] = {
    "edit": lambda storage, at: storage.edit(KEY, at, Change(content="-", extra={})),
    "a longer edit": lambda storage, at: storage.edit(KEY, at, Change(content="-" * 99, extra={})),
    "delete": lambda storage, at: storage.delete(KEY, [at]),
    "clear": lambda storage, at: storage.clear(KEY, erase=True),
    "forget": lambda storage, at: storage.forget(KEY),
}


@pytest.mark.parametrize("at", [1, 50, 100])
@pytest.mark.parametrize("way", WAYS)
async def test_no_byte_of_it_is_left(tmp_path: Path, way: str, at: int) -> None:
    async with opened(tmp_path) as storage:
        turns = [user(f"turn {n}") for n in range(1, 101)]
        turns[at - 1] = user(SECRET, extra={"also": SECRET})
        await storage.append(KEY, turns)
        await put(storage, "other", key=OTHER)
        assert grep(tmp_path, SECRET) == [path_of(tmp_path)]
        await WAYS[way](storage, at)
        assert not grep(tmp_path, SECRET)
    assert not grep(tmp_path, SECRET)
    async with opened(tmp_path) as storage:
        turns = list((await storage.read(KEY)).turns)
    texts = [turn.content for turn in turns if turn.id != at]
    kept = [f"turn {n}" for n in range(1, 101) if n != at]
    assert texts == ([] if way in ("clear", "forget") else kept)


@pytest.mark.parametrize("way", ["clear", "forget"])
async def test_what_was_set_aside_goes_with_the_session(tmp_path: Path, way: str) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        with path_of(tmp_path).open("ab") as file:
            file.write(f"{SECRET} in the middle\n".encode())
            file.write(SECRET.encode())
    async with opened(tmp_path) as storage:
        await put(storage, "two")
        assert len(grep(tmp_path, SECRET)) == 2
        await WAYS[way](storage, 1)
        assert not grep(tmp_path, SECRET)


async def test_what_was_set_aside_is_forgotten_under_the_new_name_too(tmp_path: Path) -> None:
    for key in (KEY, OTHER):
        async with opened(tmp_path) as storage:
            await put(storage, "one", key=key)
        with path_of(tmp_path, key).open("ab") as file:
            file.write(f"#{SECRET} in the middle\n#{SECRET}".encode())
    async with opened(tmp_path) as storage:
        await storage.rename(KEY, OTHER)
        info = (await storage.read(OTHER)).info
        assert info is not None
        assert info.damaged == 4
        assert grep(tmp_path, SECRET) == [path_of(tmp_path, OTHER).with_suffix(".damaged")]
        await storage.forget(OTHER)
        assert not grep(tmp_path, SECRET)


async def test_what_a_crash_left_of_a_rewrite_goes_when_the_folder_is_opened(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path):
        pass
    for name in ("4711-7f.tmp", "joined.session", "joined.damaged"):
        (tmp_path / ".turnkeep" / name).write_text(SECRET)
    async with opened(tmp_path):
        assert not grep(tmp_path, SECRET)


async def test_forget_leaves_no_file_and_no_name_of_the_session(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        key = SessionKey("test", "a-telling-name")
        await put(storage, "one", key=key)
        await storage.forget(key)
        assert not [path for path in files(tmp_path) if "telling" in path.name]
        assert not grep(tmp_path, "telling")


async def test_a_turn_that_was_taken_away_is_not_in_memory_either(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await storage.append(KEY, [user(SECRET, source_id="s"), user("two")])
        await storage.delete(KEY, [1])
        assert await storage.find(KEY, "s") is None
        for limit in (None, 1, 5):
            turns = (await storage.read(KEY, limit=limit)).turns
            assert [turn.content for turn in turns] == ["two"]
