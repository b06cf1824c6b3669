"""URLs of SQLite files, and files that can't be used: each error names the remedy."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import apsw
import pytest

from turnkeep import (
    ReadOnlyError,
    SessionStore,
    StorageError,
    StoreLockedError,
    UnknownStorageError,
    UnsupportedError,
)
from turnkeep.storage.base import Storage
from turnkeep.storage.sqlite import SqliteStorage, from_url
from turnkeep.storage.sqlite._looking import listing
from turnkeep.testing._tools import KEY, OTHER, THIRD, put, texts, user

pytestmark = pytest.mark.anyio


async def filled(file: Path, *said: str, search: str = "") -> None:
    async with SessionStore(f"sqlite:{file}{search}") as store:
        for text in said:
            await store.session(KEY).append("user", text)


def execute(file: Path, *statements: str) -> None:
    db = apsw.Connection(str(file))
    for statement in statements:
        db.execute(statement).fetchall()
    db.close()


async def opened(storage: Storage) -> None:
    await storage.open()
    await storage.aclose()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:chats.db", "chats.db"),
        ("sqlite:./data/chats.db", "data/chats.db"),
        ("sqlite:///chats.db", "chats.db"),
        ("sqlite:/srv/chats.db", "/srv/chats.db"),
        ("sqlite:////srv/chats.db", "/srv/chats.db"),
        ("sqlite:my%20chats.db?search=trigram", "my chats.db"),
    ],
)
async def test_a_url_names_a_file(url: str, path: str) -> None:
    assert repr(from_url(url)) == repr(SqliteStorage(path))


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("sqlite:", "names no file"),
        ("sqlite://", "names a host"),
        ("sqlite://server/chats.db", "names a host"),
        ("sqlite::memory:", "write 'memory:'"),
        ("sqlite:chats.db?search=all", "words, trigram, none"),
        ("sqlite:chats.db?serch=none", "there is no option serch"),
        ("sqlite:why?.db", "as '%3F'"),
        ("sqlite:~nobody-of-that-name/chats.db", "write './~nobody-of-that-name/chats.db'"),
    ],
)
async def test_a_wrong_url_is_refused_with_the_right_form(url: str, remedy: str) -> None:
    with pytest.raises(UnknownStorageError, match=remedy):
        SessionStore(url)


def no_folder(file: Path) -> Path:
    return file.parent / "missing" / "chats.db"


def folder(file: Path) -> Path:
    return file.parent


def text(file: Path) -> Path:
    file.write_text("Dear diary. " * 200)
    return file


def pipe(file: Path) -> Path:
    os.mkfifo(file)
    return file


def device(_: Path) -> Path:
    return Path("/dev/null")


def no_text(file: Path) -> Path:
    return file.with_name("\udcff.db")


def other_program(file: Path) -> Path:
    execute(file, "CREATE TABLE customers (name TEXT)")
    return file


def newer(file: Path) -> Path:
    execute(file, "PRAGMA application_id = 1953195365", "PRAGMA user_version = 1000")
    return file


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (no_folder, "make it, or mend the path"),
        (folder, "give the path of a file in it"),
        (pipe, "give the path of a file"),
        (device, "give the path of a file"),
        (no_text, "names in UTF-8"),
        (text, "not a database.*give another path"),
        (other_program, "a file of their own"),
        (newer, "pip install -U turnkeep"),
    ],
)
async def test_a_file_that_can_not_be_used_is_left_as_it_is_and_the_error_names_the_remedy(
    tmp_path: Path, make: Callable[[Path], Path], remedy: str
) -> None:
    file = make(tmp_path / "chats.db")
    before = file.read_bytes() if file.is_file() else None
    with pytest.raises(StorageError, match=remedy) as caught:
        await opened(SqliteStorage(file))
    assert str(file).partition("\udcff")[0] in str(caught.value)
    assert (file.read_bytes() if file.is_file() else None) == before
    assert not file.with_name("chats.db-wal").exists()


async def test_a_link_leads_to_the_same_sessions_and_what_is_erased_is_gone_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "chats.db").symlink_to(tmp_path / "data" / "sessions.db")
    (tmp_path / "folder").symlink_to(tmp_path / "data")
    places = ("data/sessions.db", "link/chats.db", "folder/sessions.db")
    for place in places:
        async with SessionStore(f"sqlite:{tmp_path}/{place}") as store:
            await store.session(KEY).append("user", f"herring by {place}")
    async with SessionStore(f"sqlite:{tmp_path}/{places[1]}") as store:
        assert len(await store.session(KEY).get_history()) == 3
        assert len(await store.search("herring")) == 3
        await store.forget(KEY)
        files = [one for one in tmp_path.rglob("*") if one.is_file()]
        assert all(b"herring" not in one.read_bytes() for one in files)
        (tmp_path / "data" / "sessions.db.bak").write_bytes(b"... herring by data/sessions.db")
        await store.session(KEY).append("user", "herring by data/sessions.db")
        assert "sessions.db.bak" in str((await store.forget(KEY)).remains)
    async with SessionStore(f"sqlite:{tmp_path}/{places[1]}", read_only=True) as store:
        assert await store.list_sessions() == []


@pytest.mark.parametrize("how", ["removed", "replaced", "moved"])
async def test_nothing_is_acknowledged_that_is_not_in_the_file_of_that_name(
    how: str, tmp_path: Path
) -> None:
    file = tmp_path / "chats.db"
    await filled(tmp_path / "other.db", "other")
    async with SessionStore(f"sqlite:{file}") as store:
        session = store.session(KEY)
        await session.append("user", "a")
        away = [file.with_name(f"chats.db{end}") for end in ("", "-wal", "-shm")]
        for one in away:
            one.rename(one.with_name(f"kept-{one.name}"))
        if how == "replaced":
            (tmp_path / "other.db").rename(file)
        for verb in (session.append("user", "b"), session.update_metadata({"a": 1})):
            with pytest.raises(StorageError, match=r"moved, removed or replaced.*nothing was stor"):
                await verb
        if how == "moved":
            for one in away:
                one.with_name(f"kept-{one.name}").rename(one)
            await session.append("user", "c")
    async with SessionStore(f"sqlite:{file}") as store:
        found = [turn.text async for turn in store.session(KEY).turns()]
        assert found == {"removed": [], "replaced": ["other"], "moved": ["a", "c"]}[how]


@pytest.mark.parametrize("statement", ["DROP TABLE turns", "ALTER TABLE turns DROP COLUMN epoch"])
async def test_tables_that_another_program_changed_are_said(statement: str, tmp_path: Path) -> None:
    await filled(tmp_path / "chats.db", "a")
    execute(tmp_path / "chats.db", statement)
    with pytest.raises(StorageError, match="put a backup in its place"):
        await filled(tmp_path / "chats.db", "b")


async def test_a_name_that_the_system_refuses_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"too long.*check the folder and its permissions"):
        await opened(SqliteStorage(tmp_path / ("x" * 300)))


async def test_another_process_that_keeps_the_file_locked_is_an_error_at_opening(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chats.db"
    await filled(file, "a")
    db = apsw.Connection(str(file))
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLockedError, match=r"chats.db.*lock_timeout"):
        await opened(SqliteStorage(file, lock_timeout=0.01))
    db.close()
    await opened(SqliteStorage(file, lock_timeout=0.01))


async def test_another_process_that_writes_for_long_fails_the_append_and_no_read(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chats.db"
    await filled(file, "a")
    storage = SqliteStorage(file, lock_timeout=0.01)
    await storage.open()
    db = apsw.Connection(str(file))
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match=r"nothing was stored.*lock_timeout"):
        await put(storage, KEY, [user("b")])
    assert await texts(storage) == ["a"]
    db.execute("ROLLBACK")
    db.close()
    await put(storage, KEY, [user("c")])
    assert await texts(storage) == ["a", "c"]
    await storage.aclose()


async def test_a_caller_that_is_cancelled_while_another_process_writes_has_stored_nothing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chats.db"
    storage = SqliteStorage(file)
    await storage.open()
    db = apsw.Connection(str(file))
    db.execute("BEGIN IMMEDIATE")
    with anyio.move_on_after(0.05) as scope:
        await put(storage, KEY, [user("a")])
    assert scope.cancelled_caught
    db.execute("ROLLBACK")
    db.close()
    await put(storage, KEY, [user("b")])
    assert await texts(storage) == ["b"]
    await storage.aclose()


async def test_a_full_disk_fails_the_append_and_the_next_one_with_room_is_stored(
    tmp_path: Path,
) -> None:
    storage = SqliteStorage(tmp_path / "chats.db")
    await storage.open()
    await put(storage, KEY, [user("a")])
    db = storage._engine._db
    assert db is not None
    pages = db.execute("PRAGMA page_count").get
    db.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    with pytest.raises(StorageError, match="make room"):
        await put(storage, OTHER, [user("b" * 100_000)])
    assert await texts(storage) == ["a"]
    db.execute("PRAGMA max_page_count = 100000").fetchall()
    await put(storage, OTHER, [user("c" * 100_000)])
    assert (await texts(storage, OTHER)) == ["c" * 100_000]
    await storage.aclose()


async def test_read_only_changes_nothing_and_sees_what_others_write(tmp_path: Path) -> None:
    file = tmp_path / "chats.db"
    with pytest.raises(StorageError, match="read_only=True makes none"):
        await opened(SqliteStorage(file, read_only=True))
    await filled(file, "a")
    before = file.read_bytes()
    looker = SqliteStorage(file, read_only=True)
    await looker.open()
    assert await texts(looker) == ["a"]
    for verb in (looker.forget(KEY), looker.claim(KEY, "work", owner="me", ttl=1)):
        with pytest.raises(ReadOnlyError):
            await verb
    await looker.aclose()
    assert file.read_bytes() == before
    await looker.open()
    await filled(file, "b")
    assert await texts(looker) == ["a", "b"]
    await looker.aclose()


async def test_the_word_index_is_made_again_when_another_one_is_chosen(tmp_path: Path) -> None:
    file = tmp_path / "chats.db"
    await filled(file, "Red herrings", search="?search=none")
    async with SessionStore(f"sqlite:{file}") as store:
        with pytest.raises(UnsupportedError, match=r"\?search=words"):
            await store.search("herrings")
    async with SessionStore(f"sqlite:{file}?search=words") as store:
        assert [hit.turn.id for hit in await store.search("red herrings")] == [1]
        assert await store.search("herring") == []
    async with SessionStore(f"sqlite:{file}?search=trigram") as store:
        assert [hit.turn.id for hit in await store.search("herring")] == [1]
    await filled(file, "Herrings again")
    async with SessionStore(f"sqlite:{file}") as store:
        assert [hit.turn.id for hit in await store.search("errings")] == [2, 1]


async def test_trigrams_find_parts_of_words_also_in_languages_without_spaces(
    tmp_path: Path,
) -> None:
    storage = SqliteStorage(tmp_path / "chats.db", search="trigram")
    await storage.open()
    said = ["今天天气很好", "我们明天去北京", "Straßenbahn", "naïve café"]
    await put(storage, KEY, [user(one) for one in said])
    for part, ids in {
        "天": [2, 1],
        "天气": [1],
        "去北京": [2],
        "京": [2],
        "STRASSEN": [3],
        "bahn": [3],
        "n": [4, 3],
        "fé": [4],
        "天 好": [1],
        "天好": [],
        "bahn café": [],
    }.items():
        hits = await storage.search(part)
        assert sorted((hit.turn.id for hit in hits), reverse=True) == ids, part
    await storage.delete(KEY, [2])
    assert await storage.search("北京") == []
    await storage.aclose()


async def test_a_merge_of_long_sessions_moves_no_turn(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "chats.db")
    await storage.open()
    for key in (KEY, OTHER, THIRD):
        await put(storage, key, [user(f"{key} {number}") for number in range(700)])
    db = storage._engine._db
    assert db is not None
    before = db.total_changes()
    await storage.rename(KEY, OTHER)
    await storage.rename(THIRD, OTHER)
    assert db.total_changes() - before < 40
    read = await storage.read(OTHER)
    assert [turn.id for turn in read.turns] == list(range(1, 2101))
    assert [turn.epoch for turn in read.turns[::700]] == [1, 2, 3]
    await storage.aclose()


@pytest.mark.parametrize("order", ["written", "key"])
@pytest.mark.parametrize("prefix", ["", "test:"])
@pytest.mark.parametrize("follows", [False, True])
async def test_a_page_of_a_million_sessions_is_walked_along_an_index(
    tmp_path: Path, prefix: str, follows: bool, order: Any
) -> None:
    async with SessionStore(f"sqlite:{tmp_path / 'sessions.db'}") as store:
        for number in range(5):
            await store.session(f"test:{number}").append("user", "hello")
        first = await store.list_sessions(prefix=prefix, limit=2)
        rest = await store.list_sessions(prefix=prefix, limit=9, after=first[-1])
        assert [info.key.chat_id for info in first + rest] == [*"43210"]
    statement = listing(prefix, 2, first[-1] if follows else None, order)
    db = apsw.Connection(f"{tmp_path / 'sessions.db'}")
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", (prefix, 0, ""))]
    db.close()
    assert not any("TEMP B-TREE" in step for step in plan), plan


COLUMNS = (
    *("created", "updated", "turns", "last_id", "epoch", "last_consolidated", "revision"),
    *("summary", "generation", "metadata", "origins"),
)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("value", ["x'ff00'", "1.5"])
async def test_a_value_of_a_wrong_type_in_a_sessions_row_is_an_error_that_names_the_session(
    tmp_path: Path, column: str, value: str
) -> None:
    file = tmp_path / "chats.db"
    await filled(file, "a")
    execute(file, f"UPDATE sessions SET {column} = {value}")
    async with SessionStore(f"sqlite:{file}") as store:
        await store.session(OTHER).append("user", "goes on")
        if value != "1.5" or column not in ("summary", "generation"):  # SQLite makes texts of these
            with pytest.raises(StorageError, match=f"session {KEY}.*'sessions' is unreadable"):
                await store.session(KEY).get_history()
            assert [info.key for info in await store.list_sessions()] == [OTHER]
        receipt = await store.forget(KEY)
        assert [*receipt] == [KEY.text]
        await store.session(KEY).append("user", "begins anew")
        assert len(await store.session(KEY).get_history()) == 1
