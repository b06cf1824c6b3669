"""What things cost: bytes read, files held open, memory kept."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from storage.tools import KEY, contents, listed, opened, path_of, put, user
from turnkeep import SessionKey
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage, _chats
from turnkeep.storage.jsonl._appender import MAX_OPEN_FILES
from turnkeep.storage.jsonl._lines import encode_metadata, encode_turn

pytestmark = pytest.mark.anyio


@contextmanager
def counted_reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of all that is read meanwhile."""
    sizes: list[int] = []
    real = os.pread

    def pread(fd: int, size: int, offset: int) -> bytes:
        data = real(fd, size, offset)
        sizes.append(len(data))
        return data

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", pread)
        yield sizes


async def io_of(call: Awaitable[object], monkeypatch: pytest.MonkeyPatch) -> int:
    """The bytes that a call reads and writes."""
    written: list[int] = []
    real = os.pwrite

    def pwrite(fd: int, data: bytes, at: int) -> int:
        written.append(len(data))
        return real(fd, data, at)

    with counted_reads(monkeypatch) as read:
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", pwrite)
            await call
        return sum(read) + sum(written)


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of 100,000 turns, written by the storage's own functions."""
    folder = tmp_path_factory.mktemp("long")

    async def begin() -> None:
        async with opened(folder) as storage:
            await put(storage, "1")
            info = (await storage.read(KEY)).info
            assert info is not None
            with path_of(folder).open("ab") as file:
                for number in range(2, 100_001):
                    file.write(encode_turn(msgspec.structs.replace(user(f"{number}"), id=number)))
                    if number % 500 == 0:
                        there = msgspec.structs.replace(info, turns=number, last_id=number)
                        file.write(encode_metadata(there, "checkpoint", earlier=0))

    anyio.run(begin)
    assert path_of(folder).stat().st_size > 8_000_000
    return folder


async def test_opening_a_long_session_costs_its_window(
    long_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_reads(monkeypatch) as sizes:
        async with opened(long_file, read_only=True) as storage:
            assert (await contents(storage, limit=500))[-1] == "100000"
            assert sum(sizes) < 400_000
            sizes.clear()
            assert (await listed(storage))[0].turns == 100_000
            assert sum(sizes) < 300_000


@pytest.mark.parametrize("texts", [["a"], ["x" * 1000] * 100])
async def test_the_end_of_a_file_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *texts)
    async with opened(tmp_path) as storage:
        with counted_reads(monkeypatch) as sizes:
            assert await contents(storage, limit=1) == texts[-1:]
            # A record and 64 turns may reach over the first block that is read.
            assert sum(sizes) <= 2 * 64 * 1024 + 2
            assert len(sizes) == 1 + (len(texts) > 1)


async def test_a_page_in_the_middle_of_a_long_session_costs_the_page(
    long_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_reads(monkeypatch) as sizes:
        async with opened(long_file, read_only=True) as storage:
            page = await contents(storage, after=49_999, limit=10, newest=False)
            assert page == [f"{n}" for n in range(50_000, 50_010)]
            assert (await contents(storage, before=30_000, limit=10))[-1] == "29999"
            assert sum(sizes) < 1_000_000


async def test_the_first_append_to_a_long_session_reads_what_it_compares_with(
    long_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_reads(monkeypatch) as sizes:
        async with opened(long_file) as storage:
            appended = await storage.append(KEY, [user("x", source_id="s")])
            assert appended is not None
            turn_id = appended.turns[0].id
            assert turn_id > 100_000
            assert sum(sizes) < 400_000
            for number in range(_chats.SEARCHES):
                sizes.clear()
                await storage.append(KEY, [user("y", source_id=number)])
                assert sum(sizes) < 400_000
            sizes.clear()
            for number in range(100, 120):
                await storage.append(KEY, [user("y", source_id=number)])
            assert sum(sizes) == 0


async def test_files_held_open_are_bounded_however_many_sessions_there_are(
    tmp_path: Path,
) -> None:
    gc.collect()  # what another test left open may be closed at any time
    before = len(list(Path("/proc/self/fd").iterdir()))
    async with opened(tmp_path) as storage:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for number in range(1000):
                    key = SessionKey("test", number)
                    tasks.start_soon(storage.append, key, [user("x")])
            assert len(list(Path("/proc/self/fd").iterdir())) <= before + MAX_OPEN_FILES + 10
        await storage.edit(SessionKey("test", 999), 1, Change(content="y"))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


async def test_memory_kept_is_bounded_however_many_sessions_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_chats, "MAX_KEPT_BYTES", 1_000_000)
    async with opened(tmp_path) as storage:
        await put(storage, "x")
        tracemalloc.start()
        try:
            for number in range(300):
                key = SessionKey("test", number)
                await storage.append(key, [user(f"{number} {n}" + "x" * 5000) for n in range(4)])
                await storage.update_metadata(key, {"m": "x" * 5000})
            assert tracemalloc.get_traced_memory()[0] < 3_000_000
        finally:
            tracemalloc.stop()
        for number in (0, 150, 299):
            texts = await contents(storage, SessionKey("test", number))
            assert [text.split("x")[0] for text in texts[-4:]] == [
                f"{number} {n}" for n in range(4)
            ]


async def test_a_window_that_was_read_is_at_hand_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *[f"{n}" for n in range(2000)])
        await contents(storage, limit=500)
        with counted_reads(monkeypatch) as sizes:
            await put(storage, "new")
            assert (await contents(storage, limit=500))[-1] == "new"
            assert sizes == []


async def test_sessions_are_let_go_only_when_nobody_is_at_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_chats, "MAX_KEPT_BYTES", 1)
    order: dict[int, list[str]] = {number: [] for number in range(5)}

    async def append(storage: JsonlStorage, number: int, text: str) -> None:
        order[number].append(text)
        await put(storage, text, key=SessionKey("test", number))

    async with opened(tmp_path) as storage:
        async with anyio.create_task_group() as tasks:
            for turn in range(40):
                for number in order:
                    tasks.start_soon(append, storage, number, f"{turn}")
                    tasks.start_soon(storage.find, SessionKey("test", number), "s")
                await anyio.lowlevel.checkpoint()
        for number, texts in order.items():
            assert await contents(storage, SessionKey("test", number)) == texts
