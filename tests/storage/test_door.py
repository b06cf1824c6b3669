"""A folder that comes from elsewhere: nothing outside of it is read or written."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path

import anyio
import pytest

from storage.tools import KEY, OTHER, contents, fingerprint, opened, path_of, put
from turnkeep import SessionKey, StorageError
from turnkeep.storage.jsonl import _alias, _blocks
from turnkeep.storage.jsonl._disk import read_side_file
from turnkeep.storage.jsonl._journal import HEAD_BYTES, HEADER, MARK
from turnkeep.storage.jsonl._names import is_session_file, session_path

pytestmark = pytest.mark.anyio

DEEP = b"[" * 200_000


def journal(*records: tuple[str, int, bytes]) -> bytes:
    """A journal of another boot of the machine, with these records: name, offset, data."""
    parts = [b"turnkeep journal 1\nanother boot".ljust(HEAD_BYTES, b"\0")]
    for name, offset, data in records:
        raw = os.fsencode(name)
        body = zlib.crc32(data, zlib.crc32(raw))
        header = HEADER.pack(MARK, offset, len(raw), len(data), body, 0)[:-4]
        parts += [header, struct.pack("<I", zlib.crc32(header)), raw, data]
    return b"".join(parts) + bytes(1000)


NAMES = [
    "../x.py",
    "../../x.py",
    "test/../../x.jsonl",
    "../x.jsonl",
    "/tmp/turnkeep-door-x.jsonl",
    "x.jsonl",
    "test/x.py",
    "test/sub/x.jsonl",
    "test/..jsonl",
    ".turnkeep/lock",
    ".turnkeep/x.jsonl",
    "test/X.jsonl",
    "test/x.jsonl\0",
    "test/",
    "",
    "linked/1.jsonl",
    "test/linked.jsonl",
    "test/pipe.jsonl",
    "test/folder.jsonl",
]


@pytest.mark.parametrize("durability", ["os", "disk"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_journal_that_names_anything_but_a_sessions_file_is_refused_and_set_aside(
    tmp_path: Path, name: str, durability: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, outside = tmp_path / "in" / "sessions", tmp_path / "outside"
    outside.mkdir()
    (folder / "test").mkdir(parents=True)
    (folder / ".turnkeep").mkdir()
    (folder / "linked").symlink_to(outside)
    (folder / "test" / "linked.jsonl").symlink_to(outside / "file")
    (folder / "test" / "folder.jsonl").mkdir()
    os.mkfifo(folder / "test" / "pipe.jsonl")
    row = b'{"id":1,"role":"user","timestamp":"2026-01-01T00:00:00Z","content":"hi"}\n'
    (folder / ".turnkeep" / "journal-1").write_bytes(
        journal((name, 0, row), ("test/1.jsonl", 0, row))
    )
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    with caplog.at_level(logging.ERROR, logger="turnkeep"):
        async with opened(folder, durability=durability) as storage:
            assert await contents(storage) == ["hi"]  # what is ours is put back all the same
    after = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    new = {path.relative_to(folder).as_posix() for path in after.keys() - before.keys()}
    assert new == {
        "test/1.jsonl",
        ".turnkeep/lock",
        ".turnkeep/owner",
        ".turnkeep/journal-1.damaged",
    }
    assert list(outside.iterdir()) == []
    assert not Path("/tmp/turnkeep-door-x.jsonl").exists()
    assert "names files that are no sessions" in caplog.text


async def test_a_journal_with_an_impossible_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".turnkeep").mkdir()
    for at, offset in enumerate((2**63, 2**64 - 1, 2**49)):
        (tmp_path / ".turnkeep" / f"journal-{at}").write_bytes(
            journal(("test/1.jsonl", offset, b"x\n"))
        )
    async with opened(tmp_path) as storage:
        assert await contents(storage) == []
    assert not path_of(tmp_path).exists()


@pytest.mark.parametrize("name", ["journal-01", "journal-\N{ARABIC-INDIC DIGIT THREE}"])
async def test_an_odd_name_of_a_journal_stops_nobody(tmp_path: Path, name: str) -> None:
    (tmp_path / ".turnkeep").mkdir()
    (tmp_path / ".turnkeep" / name).write_bytes(journal())
    async with opened(tmp_path) as storage:
        await put(storage, "a")


def test_the_name_of_every_key_is_one_that_a_journal_may_have() -> None:
    chats = ["1", "-100", "a:b", "A", "con", "é" * 90, "x" * 250, "../x", "%", "~", "."]
    for key in [SessionKey(channel, chat) for channel in ["test", *chats] for chat in chats]:
        path = session_path(Path("f"), key)
        assert is_session_file(path.parent.name, path.name), key


@pytest.mark.parametrize(
    "intent",
    [
        DEEP,
        b'{"old":' + DEEP,
        b'{"old":"test:1","new":"../../x:1","joined":[]}',
        b'{"old":"test:1","new":"no colon","joined":true}',
        b'{"old":1,"new":2,"joined":true}',
        b'{"old":"../x","new":"test:1","joined":true}',
        b"[]",
        b"\xff",
    ],
)
async def test_an_intent_names_sessions_by_their_keys_alone_and_stops_nobody(
    tmp_path: Path, intent: bytes
) -> None:
    folder = tmp_path / "in" / "sessions"
    async with opened(folder) as storage:
        await put(storage, "a")
    (folder / ".turnkeep" / "rename.json").write_bytes(intent)
    async with opened(folder) as storage:
        assert await contents(storage) == ["a"]
        assert {path.name for path in tmp_path.iterdir()} == {"in"}
        assert {path.name for path in (tmp_path / "in").iterdir()} == {"sessions"}


@pytest.mark.parametrize(
    "alias",
    [
        *(DEEP, b'{"moved_to":' + DEEP, b'{"moved_to":"../x"}', b"5"),
        b'{"moved_to":"test:2","alias":' + DEEP,
        b'{"moved_to":"test:2","alias":["../x"]}',
    ],
)
@pytest.mark.parametrize("key", [KEY, SessionKey("test", "a name that is cut " * 20)])
async def test_a_deep_or_foreign_alias_is_none(
    tmp_path: Path, alias: bytes, key: SessionKey
) -> None:
    async with opened(tmp_path) as storage:
        await storage.rename(key, OTHER)
    session_path(tmp_path, key).with_suffix(".alias").write_bytes(alias)
    async with opened(tmp_path) as storage:
        if b'"alias"' not in alias or key != KEY:
            assert await storage.aliases() == {}
        if b'"alias"' not in alias:
            assert await contents(storage, key) == []
            await put(storage, "a", key=key)
            assert await contents(storage, key) == ["a"]


async def test_a_chain_of_aliases_is_read_once_and_a_circle_ends(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "a", key=OTHER)
    for at in range(10, 1500):
        alias = session_path(tmp_path, SessionKey("test", at)).with_suffix(".alias")
        alias.write_text(f'{{"moved_to":"test:{at + 1 if at < 1499 else 2}"}}')
    for at, to in ((3, 4), (4, 5), (5, 4)):
        alias = session_path(tmp_path, SessionKey("test", at)).with_suffix(".alias")
        alias.write_text(f'{{"moved_to":"test:{to}"}}')
    reads: list[Path] = []

    def counting(path: Path) -> bytes:
        reads.append(path)
        return read_side_file(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_alias, "read_side_file", counting)
        async with opened(tmp_path) as storage:
            aliases = await storage.aliases()
    assert len(reads) <= 2 * 1493
    assert {aliases.pop(SessionKey("test", at)) for at in range(10, 1500)} == {OTHER}
    assert {key.text for key in aliases} <= {"test:3", "test:4", "test:5"}


HUGE = 2**36  # with holes: it takes no space


@pytest.mark.parametrize(
    "place",
    [
        *(".turnkeep/journal-1", ".turnkeep/claims", ".turnkeep/edit", ".turnkeep/rename.json"),
        *(".turnkeep/owner", "test/3.alias", "test/1.jsonl", "test_7.jsonl"),
    ],
)
async def test_a_file_of_holes_takes_no_memory_and_is_named(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_blocks, "MAX_LINE_BYTES", 2**24)  # sooner there
    folder = tmp_path / "sessions"
    async with opened(folder) as storage:
        await put(storage, "a")
        await put(storage, "b", key=OTHER)
    with (folder / place).open("ab") as file:
        file.truncate(HUGE)
    said: list[str] = []
    with anyio.fail_after(300):
        try:
            async with opened(folder, lock_timeout=0) as storage:
                assert await contents(storage, OTHER) == ["b"]
                assert OTHER in {info.key for info in (await storage.sessions()).sessions}
                await storage.aliases()
                for key in (KEY, SessionKey("test", "7")):
                    try:
                        await storage.read(key)
                    except StorageError as error:
                        said.append(str(error))
        except StorageError as error:
            said.append(str(error))
    assert said == [] or all("move" in text for text in said)
    # Of a note, a journal and an edit nobody reads more than what their records say.
    if place not in (".turnkeep/owner", ".turnkeep/journal-1", ".turnkeep/edit"):
        assert Path(place).name in f"{said}{caplog.text}"


@pytest.mark.parametrize("durability", ["os", "disk"])
async def test_what_another_program_kept_is_read_through_no_link(
    tmp_path: Path, durability: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, outside = tmp_path / "sessions", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / ".workspace").touch()
    secret = outside / "test_7.jsonl"
    secret.write_text('{"_type":"metadata","key":"test:7"}\n{"role":"user","content":"precious"}\n')
    (folder / "test_7.jsonl").symlink_to(secret)
    (folder / ("a" * 32)).symlink_to(outside)
    os.mkfifo(folder / "test_8.jsonl")
    with anyio.fail_after(60):
        async with opened(folder, durability=durability) as storage:
            assert (await storage.sessions()).sessions == []
            assert await contents(storage, SessionKey("test", "7")) == []
            await put(storage, "mine", key=SessionKey("test", "7"))
            assert await contents(storage, SessionKey("test", "7")) == ["mine"]
    assert "test_7.jsonl is no regular file" in caplog.text
    assert "test_8.jsonl is no regular file" in caplog.text
    assert "precious" in secret.read_text()


def make_odd(path: Path, kind: str, outside: Path) -> None:
    path.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(outside)
        case "dangling link":
            path.symlink_to(outside.parent / "nowhere")
        case "looping link":
            path.symlink_to(path)


ODD = ["pipe", "folder", "link", "dangling link", "looping link"]
PLACES = ["1.jsonl", "1.alias", "1.damaged"]


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("place", PLACES)
async def test_what_is_no_file_in_the_place_of_one_hangs_nobody_and_is_named(
    tmp_path: Path, kind: str, place: str
) -> None:
    folder, outside = tmp_path / "sessions", tmp_path / "outside"
    outside.write_bytes(b'{"moved_to": "test:2"}\n')
    async with opened(folder) as storage:
        await put(storage, "a", key=OTHER)
        await storage.append(OTHER, [])
    (folder / "test" / "1.jsonl").touch()
    make_odd(folder / "test" / place, kind, outside)
    if place == "1.alias":
        (folder / "test" / "1.jsonl").unlink()
    before = fingerprint(outside)
    said: list[str] = []
    with anyio.fail_after(20):
        async with opened(folder) as storage:
            for call in (
                lambda: put(storage, "b"),
                lambda: storage.read(KEY),
                lambda: storage.update_metadata(KEY, {"m": 1}),
            ):
                try:
                    await call()
                except StorageError as error:
                    said.append(str(error))
            # The others are not harmed.
            found = await storage.find_all(["s"])
            assert set(found.unread) <= {KEY}
            assert OTHER in {info.key for info in (await storage.sessions()).sessions}
            await put(storage, "c", key=OTHER)
            assert await contents(storage, OTHER) == ["a", "c"]
    for text in said:
        assert f"{place} is no regular file" in text
    assert bool(said) == (place != "1.alias")
    assert fingerprint(outside) == before
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("place", ["lock", "owner", "claims", "journal-1", "rename.json"])
async def test_what_is_no_file_in_the_workplace_hangs_nobody_and_reaches_nothing_outside(
    tmp_path: Path, kind: str, place: str
) -> None:
    folder, outside = tmp_path / "sessions", tmp_path / "outside"
    outside.write_bytes(b"precious")
    (folder / ".turnkeep").mkdir(parents=True)
    make_odd(folder / ".turnkeep" / place, kind, outside)
    said = place
    with anyio.fail_after(20):
        try:
            async with opened(folder, lock_timeout=0) as storage:
                await put(storage, "a")
                await storage.claim(KEY, "work", owner="me", ttl=9)
        except StorageError as error:
            said = str(error)
    assert place in said
    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


async def test_a_workplace_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / ".turnkeep").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match=r"\.turnkeep is no regular"):
        async with opened(tmp_path / "sessions"):
            pass
    assert list((tmp_path / "outside").iterdir()) == []


async def test_a_sessions_file_that_is_a_link_is_named_once_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "sessions"
    async with opened(folder) as storage:
        await storage.append(KEY, [])
        await put(storage, "a", key=OTHER)
    (tmp_path / "outside").write_text("precious")
    path_of(folder).symlink_to(tmp_path / "outside")
    with caplog.at_level(logging.WARNING, logger="turnkeep"):
        async with opened(folder) as storage:
            for _ in range(3):
                assert [info.key for info in (await storage.sessions()).sessions] == [OTHER]
                assert (await storage.find_all(["s"])).unread == [KEY]
    assert len(caplog.records) == 1
    assert "1.jsonl" in caplog.text


async def test_metadata_of_any_size_in_a_foreign_file_is_left_out_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "a")
        await storage.update_metadata(KEY, {"a": "small"})
    path = path_of(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"small", b"x" * 1_000_000))
    async with opened(tmp_path) as storage:
        for _ in range(3):
            info, turns, _ = await storage.read(KEY)
            assert info is not None
            assert (info.metadata, [turn.text for turn in turns]) == ({}, ["a"])
            await storage.sessions()
        await storage.update_metadata(KEY, {"b": 1})
        assert await contents(storage) == ["a"]
    assert [line for line in caplog.messages if "left out" in line] == [
        f"{path}: its metadata is over 8192 bytes, and left out"
    ]
