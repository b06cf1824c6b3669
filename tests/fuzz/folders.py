"""Folders from elsewhere: a real one, with any of its files changed."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import anyio
from hypothesis import strategies as st

from turnkeep import SessionKey, TurnkeepError
from turnkeep._records.making import new_turn
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage
from turnkeep.storage.jsonl._journal import HEAD_BYTES, HEADER, MARK

__all__ = ["folders", "opens_safely"]

KEY: Final = SessionKey("test", "1")
OTHER: Final = SessionKey("test", "2")
OUTSIDE: Final = b"nobody's business"
NAMES: Final = (
    *("test/1.jsonl", "test/2.jsonl", "test/3.alias", "test/1.damaged", "1.jsonl", "test_1.jsonl"),
    *(".turnkeep/journal-1", ".turnkeep/claims", ".turnkeep/owner", ".turnkeep/lock"),
    *(".turnkeep/rename.json", ".turnkeep/edit.json"),
)
ODD: Final = (
    *(b"{", b"}", b'"', b"\n", b"\0", b"[" * 3000, b"null", b"../outside", b"/", b'{"_type":'),
    *(b'"metadata"', b'"id":', b"9" * 30, b'"role":"user"', b"\xff", b"1e999", b'"op":"edit"'),
)


async def _live(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder that is in use, so that its journal has records."""
    storage = JsonlStorage(folder, durability="disk")
    await storage.open()
    try:
        for text in ("one", "two", "three"):
            await storage.append(KEY, [new_turn("user", text, source_id=text)])
        await storage.append(OTHER, [new_turn("user", "other")])
        await storage.edit(KEY, 1, Change(content="one, and more than it was"))
        await storage.delete(KEY, [2])
        await storage.claim(KEY, "work", owner="me", ttl=60, payload={"a": 1})
        await storage.rename(SessionKey("test", "3"), OTHER)
        await storage.append(KEY, [new_turn("user", "last")])
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    finally:
        await storage.aclose()


@cache
def real() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as place:
        return anyio.run(_live, Path(place) / "folder")


NUMBERS: Final = st.one_of(
    st.integers(0, 2000), st.sampled_from([2**31, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1])
)
FILES: Final = st.sampled_from([b"test/1.jsonl", b"test/2.jsonl", b"test/9.jsonl", b"../x", b""])
LINES: Final = st.sampled_from(
    [
        *(b"", b"\0", b"\n", b"x" * 100, bytes(5000), b'{"_type":"metadata"}\n'),
        b'{"id":9,"role":"user","timestamp":"2026-01-01T00:00:00Z","content":"x"}\n',
    ]
)


def _signed(head: bytes) -> bytes:
    return head + struct.pack("<I", zlib.crc32(head))


@st.composite
def forged(draw: Callable[[Any], Any]) -> tuple[str, bytes]:
    """Give a journal, or the note of an edit, with right checksums over anything."""
    if draw(st.booleans()):
        data = b"turnkeep journal 1\n".ljust(HEAD_BYTES, b"\0")
        for _ in range(draw(st.integers(1, 3))):
            name, body = draw(FILES), draw(LINES)
            told = draw(st.sampled_from([len(body), 2**32 - 1]))
            fields = draw(NUMBERS) % 2**64, len(name), told, zlib.crc32(body, zlib.crc32(name))
            data += _signed(HEADER.pack(MARK, *fields, 0)[:-4]) + name + body
        return ".turnkeep/journal-1", data
    name, body = draw(FILES), draw(LINES)
    told = draw(st.sampled_from([len(body), 2**32 - 1]))
    left_over = draw(NUMBERS) % 2**32
    lengths = len(name), told, left_over, zlib.crc32(body, zlib.crc32(name))
    head = struct.pack("<QQIIII", draw(NUMBERS), draw(NUMBERS), *lengths)
    return ".turnkeep/edit", _signed(b"turnkeep edit 1\n" + head) + name + body


@st.composite
def folders(draw: Callable[[Any], Any]) -> dict[str, bytes]:
    """Give the files of a folder, some changed, missing, swapped, or made up."""
    files = dict(real())
    if draw(st.booleans()):
        files.update([draw(forged())])
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(sorted({*files, *NAMES})))
        data = files.get(name, b"")
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["put", "cut", "flip", "odd", "swap", "gone", "new", "twice"])):
            case "put":
                data = data[:at] + draw(st.binary(max_size=40)) + data[at:]
            case "cut":
                data = data[:at] + data[at + draw(st.integers(1, 200)) :]
            case "flip":
                data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
            case "odd":
                data = data[:at] + draw(st.sampled_from(ODD)) + data[at:]
            case "swap":
                data = files.get(draw(st.sampled_from(sorted(files))) if files else "", b"")
            case "gone":
                files.pop(name, None)
                continue
            case "new":
                data = draw(st.binary(max_size=200))
            case _:
                data = data + data[at:]
        files[name] = data
    return files


def opens_safely(files: dict[str, bytes]) -> None:
    """Open a folder of these files and use it; nothing but our errors, and nothing outside."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        folder = root / "in" / "folder"
        (root / "outside").write_bytes(OUTSIDE)
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        anyio.run(_use, folder)
        outside = sorted(path.name for path in root.rglob("*") if folder not in path.parents)
        assert outside == ["folder", "in", "outside"], outside
        assert (root / "outside").read_bytes() == OUTSIDE
        assert not [path for path in folder.rglob("*") if path.suffix in (".py", ".so")]


async def _use(folder: Path) -> None:
    with anyio.fail_after(60):
        try:
            async with _opened(folder) as storage:
                await _all_verbs(storage)
        except TurnkeepError:
            return
        async with _opened(folder) as storage:
            for key in (KEY, OTHER):
                ids = [turn.id for turn in (await storage.read(key)).turns]
                assert ids == sorted({*ids})


class _opened:  # noqa: N801 - used as a function
    def __init__(self, folder: Path) -> None:
        self._storage = JsonlStorage(folder, lock_timeout=0)

    async def __aenter__(self) -> JsonlStorage:
        await self._storage.open()
        return self._storage

    async def __aexit__(self, *_: object) -> None:
        await self._storage.aclose()


async def _all_verbs(storage: JsonlStorage) -> None:
    listed = (await storage.sessions()).sessions
    await storage.find_all(["one"])
    await storage.claims()
    for key in (KEY, OTHER, *(info.key for info in listed[:5])):
        try:
            _, turns, _ = await storage.read(key)
            await storage.find(key, "one")
            appended = await storage.append(key, [new_turn("user", "goes on")])
            assert appended is not None
            again = (await storage.read(key, limit=1)).turns
            assert [turn.text for turn in again] == ["goes on"]
            if turns:
                await storage.edit(key, turns[0].id, Change(content="changed"))
                await storage.delete(key, [turns[-1].id])
            await storage.update_metadata(key, {"m": 1})
            await storage.clear(key)
        except TurnkeepError:
            continue
