"""A file of holes says that it is gigabytes long: nobody reads it whole, and it is named."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from storage.test_journal import KEYS, after_a_power_cut, journals, put_all
from storage.tools import KEY, OTHER, contents, opened, path_of, put, user
from turnkeep import SessionKey
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import _blocks, _journal, _replay, _rewrite
from turnkeep.storage.jsonl._journal import HEAD_BYTES, HEADER, LONGEST_RECORD, MARK

pytestmark = pytest.mark.anyio

GIGABYTE = 2**30
MEGABYTE = 2**20
NAME = b"test/1.jsonl"
SAVED = b'{"id":2,"role":"user","timestamp":"2026-01-01T00:00:00Z","content":"saved"}\n'


def checksum_of_holes(size: int, value: int) -> int:
    piece = bytes(MEGABYTE)
    for start in range(0, size, MEGABYTE):
        value = zlib.crc32(piece[: size - start], value)
    return value


def write_journal(path: Path, records: Iterable[tuple[bytes, int, bytes | int]]) -> None:
    """A journal with right checksums; a number in place of a record's bytes is so many of holes."""
    with path.open("wb") as file:
        file.write(b"turnkeep journal 1\n".ljust(HEAD_BYTES, b"\0"))
        for name, offset, data in records:
            body = zlib.crc32(name)
            if isinstance(data, bytes):
                size, body = len(data), zlib.crc32(data, body)
            else:
                size = data
                # No one reads what is too long, so that no one can tell.
                body = 0 if size > LONGEST_RECORD else checksum_of_holes(size, body)
            head = HEADER.pack(MARK, offset, len(name), size, body, 0)[:-4]
            file.write(head + struct.pack("<I", zlib.crc32(head)) + name)
            if isinstance(data, bytes):
                file.write(data)
            else:
                file.truncate(file.tell() + size)
                file.seek(0, os.SEEK_END)


def write_note(path: Path, *, size: int, begin: int, data: bytes | int, name: int = 0) -> None:
    """A note of an edit, as `write_journal`; `name` is the length that it says its name has."""
    written = data if isinstance(data, bytes) else b""
    told = len(data) if isinstance(data, bytes) else data
    body = zlib.crc32(written, zlib.crc32(NAME))
    head = b"turnkeep edit 1\n"
    head += struct.pack("<QQIIII", size, begin, name or len(NAME), told, 0, body)
    with path.open("wb") as file:
        file.write(head + struct.pack("<I", zlib.crc32(head)) + NAME + written)
        if told > len(written) or name:
            file.truncate(file.tell() + told + name)


@contextmanager
def flat_memory(most: int = 128 * MEGABYTE) -> Generator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most


async def three(folder: Path) -> Path:
    """Two sessions, and the folder's corner of its own."""
    async with opened(folder) as storage:
        await put(storage, "a", "b", "c")
        await put(storage, "other", key=OTHER)
    return folder / ".turnkeep"


async def goes_on(folder: Path, other: list[str], **options: str) -> None:
    """Everything is there, and everything can be done."""
    with flat_memory():
        async with opened(folder, lock_timeout=0, **options) as storage:
            assert await contents(storage) == ["a", "b", "c"]
            assert await contents(storage, OTHER) == other
            await put(storage, "d")
            await storage.edit(KEY, 1, Change(content="A"))
            assert await contents(storage) == ["A", "b", "c", "d"]
    async with opened(folder) as storage:
        assert await contents(storage) == ["A", "b", "c", "d"]


RECORDS: dict[str, list[tuple[bytes, int, bytes | int]]] = {
    "one of gigabytes": [(NAME, 0, 3 * GIGABYTE)],
    "many that may be so long": [(NAME, n * 30 * MEGABYTE, 30 * MEGABYTE) for n in range(6)],
    "far behind the end": [(NAME, 2**40, 30 * MEGABYTE)],
    "of nobody's file": [(b"test/9.jsonl", 5, 30 * MEGABYTE), (b"../x", 0, 3 * GIGABYTE)],
    "a short one": [(NAME, 0, 10)],
}


@pytest.mark.parametrize("durability", ["os", "disk"])
@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
async def test_a_journals_record_of_holes_is_set_aside_and_the_others_are_put_back(
    tmp_path: Path,
    records: list[tuple[bytes, int, bytes | int]],
    durability: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    workplace = await three(tmp_path)
    end = path_of(tmp_path, OTHER).stat().st_size
    saved: tuple[bytes, int, bytes | int] = (b"test/2.jsonl", end, SAVED)
    write_journal(workplace / "journal-1", [*records, saved])
    await goes_on(tmp_path, ["other", "saved"], durability=durability)
    aside = workplace / "journal-1.damaged"
    assert aside.stat().st_blocks * 512 < MEGABYTE  # the holes are holes still
    assert f"set aside in {aside.name}" in caplog.text
    assert not [*(tmp_path / "test").glob("*.damaged")]


async def test_what_was_put_back_is_erased_in_a_journal_that_is_set_aside(tmp_path: Path) -> None:
    workplace = await three(tmp_path)
    end = path_of(tmp_path, OTHER).stat().st_size
    write_journal(workplace / "journal-1", [(b"test/2.jsonl", end, SAVED), (NAME, 0, 10)])
    async with opened(tmp_path) as storage:
        assert await contents(storage, OTHER) == ["other", "saved"]
        await storage.forget(OTHER)
    assert b"saved" not in (workplace / "journal-1.damaged").read_bytes()


async def test_what_is_set_aside_takes_the_place_of_nothing(tmp_path: Path) -> None:
    workplace = await three(tmp_path)
    for kind in ("first", "second", "third"):
        name = f"../{kind}".encode()
        write_journal(workplace / "journal-1", [(name, 0, 10)])
        write_note(workplace / "edit", size=1, begin=1, data=GIGABYTE)
        async with opened(tmp_path):
            pass
    names = {path.name for path in workplace.glob("*.damaged")}
    assert names == {f"{of}{n}.damaged" for of in ("edit", "journal-1") for n in ("", "-2", "-3")}
    kept = b"".join(path.read_bytes() for path in workplace.glob("journal*.damaged"))
    assert all(b"../" + kind in kept for kind in (b"first", b"second", b"third"))


NOTES: dict[str, Callable[[Path, int], None]] = {
    "of gigabytes": lambda note, size: write_note(note, size=size, begin=10, data=3 * GIGABYTE),
    "with a name of gigabytes": lambda note, size: write_note(
        note, size=size, begin=10, data=b"", name=2**32 - 1
    ),
    "far behind the end": lambda note, size: write_note(note, size=size, begin=10**6, data=b"x\n"),
    "at 2**63": lambda note, size: write_note(note, size=size, begin=2**63, data=b"x\n"),
    "at 2**64": lambda note, _: write_note(note, size=2**64 - 1, begin=2**64 - 1, data=b"x\n"),
}


@pytest.mark.parametrize("write", NOTES.values(), ids=NOTES)
async def test_a_note_of_an_edit_that_nobody_can_have_made_changes_nothing_and_is_named(
    tmp_path: Path, write: Callable[[Path, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    workplace = await three(tmp_path)
    write(workplace / "edit", path_of(tmp_path).stat().st_size)
    await goes_on(tmp_path, ["other"])
    assert "set aside in edit.damaged" in caplog.text or "an edit is lost" in caplog.text


async def test_gigabytes_behind_an_edit_are_no_bytes_that_it_left_over(tmp_path: Path) -> None:
    workplace = await three(tmp_path)
    path = path_of(tmp_path)
    data = path.read_bytes()
    os.truncate(path, 2**40)
    write_note(workplace / "edit", size=2**40, begin=0, data=data)
    with flat_memory():
        async with opened(tmp_path) as storage:
            assert await contents(storage, OTHER) == ["other"]
    assert path.stat().st_size == 2**40


async def test_claims_before_a_hole_hold_and_the_file_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_blocks, "MAX_LINE_BYTES", 2**26)  # sooner there
    workplace = await three(tmp_path)
    async with opened(tmp_path) as storage:
        await storage.claim(KEY, "work", owner="me", ttl=600, payload={"a": 1})
    os.truncate(workplace / "claims", 2**40)
    with flat_memory():
        async with opened(tmp_path) as storage:
            assert [claim.name for claim in await storage.claims()] == ["work"]
            await storage.claim(OTHER, "more", owner="me", ttl=600)
    assert (workplace / "claims.damaged").stat().st_size == 2**40
    assert "claims.damaged" in caplog.text
    async with opened(tmp_path) as storage:
        assert {claim.name for claim in await storage.claims()} == {"work", "more"}


async def test_a_file_of_damage_with_holes_is_counted_and_moved_without_them(
    tmp_path: Path,
) -> None:
    await three(tmp_path)
    beside = path_of(tmp_path).with_suffix(".damaged")
    with beside.open("wb") as file:
        file.write(b"first\n")
        file.seek(2**40)
        file.write(b"last\n")
    with anyio.fail_after(300):
        async with opened(tmp_path) as storage:
            info = (await storage.read(KEY, limit=0)).info
            assert info is not None
            assert info.damaged == 2
            await storage.rename(KEY, SessionKey("test", "new"))
            assert await contents(storage, SessionKey("test", "new")) == ["a", "b", "c"]


# What we write fits into what we read.


async def test_a_batch_longer_than_a_record_is_put_into_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (_journal, _replay):
        monkeypatch.setattr(module, "LONGEST_RECORD", 500, raising=False)
    texts = [f"{number} {'x' * 150}" for number in range(20)]
    async with opened(tmp_path / "a", durability="disk") as storage:
        await put_all(storage, "-")
        async with anyio.create_task_group() as tasks:
            for key in KEYS[:2]:
                tasks.start_soon(storage.append, key, [user(text) for text in texts])
        after_a_power_cut(tmp_path / "a", tmp_path / "b")
    (segment,) = journals(tmp_path / "b")
    with segment.open("rb") as file:
        sizes = [record.size for record in _replay.records(file.fileno(), segment)]
    assert len(sizes) > 20
    assert max(sizes) <= 500
    for key in KEYS[:2]:
        path = path_of(tmp_path / "b", key)
        os.truncate(path, path.read_bytes().index(b"\n", 700) + 1)
    async with opened(tmp_path / "b") as storage:
        for key in KEYS[:2]:
            assert (await contents(storage, key))[-20:] == texts


async def test_an_edit_longer_than_a_note_is_made_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_rewrite, "LONGEST_EDIT", 2000)
    await three(tmp_path)
    path = path_of(tmp_path)
    before = path.stat().st_ino
    async with opened(tmp_path) as storage:
        await storage.edit(KEY, 2, Change(content="b" * 3000))
        assert path.stat().st_ino != before
        await storage.edit(KEY, 2, Change(content="b"))
        await put(storage, "d")
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["a", "b", "c", "d"]
