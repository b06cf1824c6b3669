"""A line that is too long to be read is damage like any other, and takes no more memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from storage.test_nanobot import METADATA, write
from storage.tools import (
    KEY,
    OTHER,
    contents,
    damaged,
    listed,
    opened,
    path_of,
    put,
    run,
    user,
)
from turnkeep import SessionKey, SessionStore, TurnTooLargeError
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import _blocks, _chat, _lines, _read, _search

pytestmark = pytest.mark.anyio

LIMIT = 64 * 1024
MEGABYTE = 1024 * 1024

GARBAGE = b"x" * (5 * LIMIT)
TURN = (
    b'{"id":2,"role":"user","timestamp":"2026-01-01T00:00:00Z","source_ids":["s"],"content":"%b"}'
)
LONG = {
    "of garbage": GARBAGE,
    "of a turn": TURN % GARBAGE,
    "of zeros": b"\0" * (5 * LIMIT),
    "of seams": b'}{"' * (2 * LIMIT),
    "that just is too long": b"x" * (LIMIT + 1),
}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are too long sooner."""
    for module in (_blocks, _lines, _read, _search):
        monkeypatch.setattr(module, "LONGEST_LINE", LIMIT)
    for module in (_chat, _lines):
        monkeypatch.setattr(module, "LONGEST_TURN", LIMIT - 1024)


async def three(folder: Path, place: int, line: bytes) -> Path:
    """A file of three turns with this line before one of them, or behind all."""
    async with opened(folder) as storage:
        for text in ("one", "two", "three"):
            await storage.append(KEY, [user(text, source_id=f"s {text}")])
    path = path_of(folder)
    rows = path.read_bytes().splitlines()
    rows.insert(place, line)
    path.write_bytes(b"\n".join([*rows, b""]))
    return path


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("place", [0, 1, 2, 4])
@pytest.mark.parametrize("kind", LONG)
async def test_all_but_the_long_line_is_read_and_the_line_is_kept(
    tmp_path: Path, kind: str, place: int
) -> None:
    line = LONG[kind]
    path = await three(tmp_path, place, line)
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["one", "two", "three"]
        assert await damaged(storage) == 1
        assert await contents(storage, after=1, limit=1, newest=False) == ["two"]
        assert await contents(storage, before=3) == ["one", "two"]
        for text in ("one", "two", "three"):
            found = await storage.find(KEY, f"s {text}")
            assert found is not None
            assert found.content == text
        assert await storage.find(KEY, "s") is None
        assert len((await storage.find_all(["s one", "s three", "s"])).turns) == 2
        assert len((await storage.find_all([f"s {n}" for n in range(20)] + ["s two"])).turns) == 1
        assert [info.turns for info in await listed(storage)] == [3]
        # An id that the line may have had is not given again.
        assert (await put(storage, "four")).turns[0].id == (5 if place == 4 else 4)
        await storage.edit(KEY, 1, Change(content="ONE"))
        assert await contents(storage) == ["ONE", "two", "three", "four"]
        assert line in path.read_bytes().splitlines()
    async with opened(tmp_path) as storage:
        await put(storage, "other", key=OTHER)
        await storage.rename(KEY, OTHER)
        assert await contents(storage, OTHER) == ["ONE", "two", "three", "four", "other"]
        assert await damaged(storage, OTHER) == 1
    assert path_of(tmp_path, OTHER).with_suffix(".damaged").read_bytes() == line + b"\n"


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("kind", LONG)
async def test_a_long_line_that_was_torn_is_set_aside_whole(tmp_path: Path, kind: str) -> None:
    path = await three(tmp_path, 1, b"")
    with path.open("ab") as file:
        file.write(LONG[kind])
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["one", "two", "three"]
        assert await damaged(storage) == 1
        await put(storage, "four")
    aside = path.with_suffix(".damaged")
    assert aside.read_bytes() == LONG[kind] + b"\n"
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["one", "two", "three", "four"]
        assert await damaged(storage) == 1
        with path.open("ab") as file:
            file.write(b"torn again")
        await put(storage, "five")
        assert await contents(storage) == ["one", "two", "three", "four", "five"]
        assert await damaged(storage) == 2
    assert aside.read_bytes() == LONG[kind] + b"\ntorn again\n"


@pytest.mark.usefixtures("short")
async def test_a_long_line_of_a_nanobot_file_is_skipped_and_kept(tmp_path: Path) -> None:
    path = write(tmp_path, "telegram_12345.jsonl", METADATA, {"role": "user", "content": "one"})
    with path.open("ab") as file:
        file.write(GARBAGE + b'\n{"role": "user", "content": "two"}\n{"role": 5}\n')
    chat = SessionKey("telegram", "12345")
    async with opened(tmp_path) as storage:
        assert await contents(storage, chat) == ["one", "two"]
        assert await damaged(storage, chat) == 2
        await put(storage, "three", key=chat)
        assert await contents(storage, chat) == ["one", "two", "three"]
    aside = path_of(tmp_path, chat).with_suffix(".damaged")
    assert aside.read_bytes() == GARBAGE + b'\n{"role": 5}\n'


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    "store",
    [lambda one: one.append("user", GARBAGE.decode()), lambda one: one.edit(1, "y" * LIMIT)],
)
async def test_a_turn_that_no_reader_would_take_is_not_written(
    tmp_path: Path, store: Callable[..., object]
) -> None:
    async with SessionStore(tmp_path, max_turn_bytes=100 * MEGABYTE) as sessions:
        session = sessions.session(KEY)
        await session.append("user", "one")
        with pytest.raises(TurnTooLargeError, match="JSONL file"):
            await store(session)  # type: ignore[misc]
        await session.extend([{"role": "user", "content": "two"}])
        assert [(turn.id, turn.content) async for turn in session.turns()] == [
            (1, "one"),
            (2, "two"),
        ]


@pytest.mark.usefixtures("short")
async def test_an_append_of_which_one_turn_is_too_long_stores_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        with pytest.raises(TurnTooLargeError):
            await storage.append(KEY, [user("two"), user("z" * LIMIT), user("three")])
        assert await contents(storage) == ["one"]
        assert (await put(storage, "two")).turns[0].id == 2


async def test_what_is_done_to_very_many_turns_is_a_line_that_is_read(tmp_path: Path) -> None:
    done = range(1, 3 * _lines.MOST_ABOUT)
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        info = (await storage.read(KEY)).info
    assert info is not None
    line = _lines.encode_metadata(info, "delete", done, earlier=0)
    assert len(line) < 2 * MEGABYTE
    found = _lines.decode_line(line[:-1])
    assert isinstance(found, _lines.MetadataLine)
    assert found.about == [*done[: _lines.MOST_ABOUT]]


VERBS = """
from turnkeep.storage.base import Change

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))

async def main():
    async with opened(folder) as storage:
        await put(storage, "other", key=OTHER)
        before = peak()
        assert await contents(storage) == ["one", "two", "three"]
        assert await storage.find(KEY, "s one")
        assert await storage.find(KEY, "nothing") is None
        assert (await storage.find_all(["s two"])).turns
        assert await contents(storage, after=1, limit=1, newest=False) == ["two"]
        await put(storage, "four")
        await storage.edit(KEY, 1, Change(content="ONE"))
        await storage.sessions()
        await storage.rename(KEY, OTHER)
        assert await contents(storage, OTHER) == ["ONE", "two", "three", "four", "other"]
        print(peak() - before)

anyio.run(main)
"""


@pytest.mark.once
@pytest.mark.parametrize("place", ["first", "in its middle", "torn"])
async def test_no_file_takes_more_memory_than_the_longest_line_a_few_times(
    tmp_path: Path, place: str
) -> None:
    path = await three(tmp_path, 1, b"")
    rows = path.read_bytes().splitlines(keepends=True)
    rows.insert({"first": 0, "in its middle": 2, "torn": len(rows)}[place], b"LONG")
    with path.open("wb") as file:
        for row in rows:
            if row != b"LONG":
                file.write(row)
                continue
            for _ in range(200):
                file.write(b"x" * MEGABYTE)
            file.write(b"" if place == "torn" else b"\n")
    megabytes = int(run(VERBS, tmp_path))
    assert megabytes < 3 * _lines.LONGEST_LINE / MEGABYTE
