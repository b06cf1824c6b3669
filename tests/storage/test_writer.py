"""The writing thread outlives what fails in it, and nobody waits for one that is no more."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import anyio
import pytest

from storage.test_door import journal
from storage.tools import KEY, contents, messages, opened, path_of, put, user
from turnkeep import SessionKey, StorageError
from turnkeep.storage.jsonl import _appender, _replay, _search
from turnkeep.storage.jsonl._disk import reading
from turnkeep.storage.jsonl._writer import Writer

pytestmark = [
    pytest.mark.anyio,
    # The writer thread of one test dies on purpose, and pytest may tell of it in the next one.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.mark.parametrize("durability", ["os", "disk"])
async def test_a_file_whose_closing_fails_ends_neither_the_thread_nor_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    monkeypatch.setattr(_appender, "MAX_OPEN_FILES", 2)
    real = os.close

    def close(fd: int) -> None:
        real(fd)
        raise OSError(5, "Input/output error")

    keys = [SessionKey("test", n) for n in range(6)]
    with anyio.fail_after(20):
        async with opened(tmp_path, durability=durability) as storage:
            for key in keys:
                await put(storage, "a", key=key)
            with monkeypatch.context() as patched:
                patched.setattr(_appender, "close_file", _closing(close))
                for key in keys:
                    await put(storage, "b", key=key)
            await put(storage, "c", key=keys[0])
    for key in keys[1:]:
        assert messages(path_of(tmp_path, key)) == ["a", "b"]


def _closing(close: Any) -> Any:
    from turnkeep.storage.jsonl import _disk

    def close_file(fd: int) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "close", close)
            _disk.close_file(fd)

    return close_file


async def test_what_goes_wrong_in_a_batch_is_raised_by_those_in_it_and_the_thread_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "a")
        with monkeypatch.context() as patched, anyio.fail_after(20):
            patched.setattr(storage._writer._appender, "write", _raising(MemoryError()))
            for call in (
                lambda: put(storage, "lost"),
                lambda: storage.claim(KEY, "work", owner="me", ttl=9),
            ):
                with pytest.raises(StorageError, match="test:1"):
                    await call()
        assert await contents(storage) == ["a"]
        await put(storage, "b")
        assert await storage.claims() == []
    assert messages(path_of(tmp_path)) == ["a", "b"]


def _raising(error: BaseException) -> Any:
    def raising(*_: object) -> None:
        raise error

    return raising


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_those_that_wait_for_a_thread_that_died_get_an_error_and_the_next_have_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Writer._call_back
    left = 1

    def call_back(self: Writer, batch: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            batch.finished = False
            raise SystemError("the interpreter is in trouble")
        real(self, batch)

    async with opened(tmp_path) as storage:
        await put(storage, "a")
        with monkeypatch.context() as patched, anyio.fail_after(20):
            patched.setattr(Writer, "_call_back", call_back)
            with pytest.raises(StorageError, match="thread has ended"):
                await put(storage, "b")
        with anyio.fail_after(20):
            await put(storage, "c")
            assert (await contents(storage))[-1] == "c"


async def test_a_file_that_is_cut_short_while_it_is_looked_through_just_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_search, "BLOCK", 4096)
    real = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        data = real(fd, size, offset)
        if size == 4096:
            os.truncate(path_of(tmp_path), 2000)
        return data

    async with opened(tmp_path) as storage:
        for n in range(300):
            await storage.append(KEY, [user("x" * 100, source_id=n)])
        with monkeypatch.context() as patched:
            patched.setattr(os, "pread", pread)
            assert await storage.find(KEY, "nobody") is None
            assert (await storage.find_all(["nobody"])).turns == []
        await put(storage, "goes on")
        assert (await contents(storage))[-1] == "goes on"


@pytest.mark.parametrize("block", [64, 100, 333, 4096])
@pytest.mark.parametrize("many", [1, 20])
async def test_a_source_id_is_found_wherever_the_blocks_of_a_file_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, many: int
) -> None:
    monkeypatch.setattr(_search, "BLOCK", block)
    ids = ["id", "ìd \N{GRINNING FACE}", '"quoted"', "x" * 300]
    async with opened(tmp_path) as storage:
        for n in range(150):
            text = ids[n % 4] if n % 3 else "x" * (n % 40)
            await storage.append(KEY, [user(text, source_id=[f"{n}", ids[n % 4]])], dedupe=False)
        sought = [*ids, *(f"none {n}" for n in range(many))]
        found = await storage.find_all(sought)
        assert [turn.id for _, turn in found.turns] == list(range(1, 151))
        for number, one in enumerate(ids):
            turn = await storage.find(KEY, one)
            assert turn is not None
            assert turn.id == max(n for n in range(150) if n % 4 == number) + 1
        early = await storage.find(KEY, "0")
        assert early is not None
        assert early.id == 1


async def test_find_all_shows_no_part_of_an_append(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await storage.append(KEY, [user("a", source_id="s")])
        whole = path_of(tmp_path).stat().st_size
        await storage.append(KEY, [user("b", source_id="s 2"), user("c", source_id="s 3")])
        data = path_of(tmp_path).read_bytes()
    path_of(tmp_path).write_bytes(data[: data.index(b"\n", whole) + 1])
    async with opened(tmp_path, read_only=True) as storage:
        found = await storage.find_all(["s", "s 2", "s 3"])
        assert [turn.content for _, turn in found.turns] == ["a"]


async def test_a_journal_of_many_records_is_replayed_without_copying_the_rest_for_each(
    tmp_path: Path,
) -> None:
    (tmp_path / ".turnkeep").mkdir()
    row = b'{"id":%d,"role":"user","timestamp":"2026-01-01T00:00:00Z","content":"x"}\n'
    records, offset = [], 0
    for n in range(1, 20_001):
        line = row % n
        records.append(("test/1.jsonl", offset, line))
        offset += len(line)
    data = journal(*records)
    assert len(data) > 2_000_000
    segment = tmp_path / ".turnkeep" / "journal-1"
    segment.write_bytes(data)
    tracemalloc.start()
    try:
        with reading(segment) as fd:
            assert sum(1 for _ in _replay.records(fd, segment)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    async with opened(tmp_path) as storage:
        assert len((await storage.read(KEY)).turns) == 20_000
