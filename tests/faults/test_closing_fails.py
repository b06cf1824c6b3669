"""Closing a folder whose file system fails: it says so, ends, and can be done again."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from turnkeep import SessionKey, SessionStore, TurnkeepError
from turnkeep.storage.jsonl import JsonlStorage

pytestmark = pytest.mark.anyio

KEYS = [SessionKey("test", chat) for chat in range(4)]
CALLS = ("close", "open", "fstat", "fsync", "fdatasync", "pwrite", "unlink", "flock")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def free(folder: Path) -> bool:
    """Another one can own the folder."""
    storage = JsonlStorage(folder, lock_timeout=0)
    try:
        await storage.open()
    except TurnkeepError:
        return False
    await storage.aclose()
    return True


async def talked(store: SessionStore) -> dict[SessionKey, list[str]]:
    """A store that has something to do when it closes: a journal, an edit, and a claim."""
    for text in ("one", "two"):
        async with anyio.create_task_group() as tasks:
            for key in KEYS:
                tasks.start_soon(store.session(key).append, "user", text)
    turn = await store.session(KEYS[0]).append("user", "three")
    await store.session(KEYS[0]).edit(turn, "changed")
    return {key: ["one", "two"] + (["changed"] if key == KEYS[0] else []) for key in KEYS}


async def said(store: SessionStore) -> dict[SessionKey, list[str]]:
    return {key: [turn.text async for turn in store.session(key).turns()] for key in KEYS}


async def failing_close(
    folder: Path, name: str, number: int, durability: Any, monkeypatch: pytest.MonkeyPatch
) -> bool:
    """Close while the call of this number fails; False if there was none."""
    before = descriptors()
    store = SessionStore(folder, durability=durability, lock_timeout=0)
    await store.__aenter__()
    expected = await talked(store)
    with monkeypatch.context() as patched:
        hit = fail_at(patched, name, number)
        try:
            await store.aclose()
        except TurnkeepError as error:
            assert str(folder) in str(error) or "session" in str(error), error  # noqa: PT017
            assert "lose" in str(error) or "Check" in str(error), error  # noqa: PT017
    await store.aclose()  # it can be done again
    assert await free(folder)
    async with store:
        assert await said(store) == expected
        await store.session(KEYS[1]).append("user", "after")
    assert not [one for one in threading.enumerate() if one.name.startswith("turnkeep")]
    assert descriptors() == before
    return bool(hit)


def fail_at(patched: pytest.MonkeyPatch, name: str, number: int) -> list[int]:
    place: Any = fcntl if name == "flock" else os
    real: Callable[..., Any] = getattr(place, name)
    left, hit = number, list[int]()

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            hit.append(number)
            if name == "close":
                real(*arguments)  # as on NFS: it says so, and is closed
            raise OSError(5, "Input/output error")
        return real(*arguments, **options)

    patched.setattr(place, name, call)
    return hit


@pytest.mark.parametrize("durability", ["os", "disk"])
@pytest.mark.parametrize("name", CALLS)
async def test_a_closing_in_which_a_call_fails_loses_nothing_and_leaves_the_folder(
    tmp_path: Path, name: str, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 1
    while await failing_close(tmp_path / f"{number}", name, number, durability, monkeypatch):
        number += 1
    assert number < 60


async def test_a_folder_whose_lock_is_kept_says_so_and_opens_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SessionStore(tmp_path, lock_timeout=0)
    await store.session("test:1").append("user", "one")
    with monkeypatch.context() as patched:
        fail_at(patched, "flock", 1)
        with pytest.raises(TurnkeepError, match="its lock could not be released"):
            await store.aclose()
    assert not await free(tmp_path)
    async with store:  # without another try to close it
        await store.session("test:1").append("user", "two")
        assert [turn.text async for turn in store.session("test:1").turns()] == ["one", "two"]
    assert await free(tmp_path)
