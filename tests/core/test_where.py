"""What a store may be made of: a path, a URL, a storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from turnkeep import SessionStore, UnknownStorageError
from turnkeep.storage.jsonl import JsonlStorage
from turnkeep.storage.memory import MemoryStorage

from .tools import said


def folder_of(store: SessionStore) -> str:
    assert isinstance(store.desk.opening.storage, JsonlStorage)
    return str(store.desk.opening.storage._folder.path)


@pytest.mark.parametrize(
    ("where", "folder"),
    [
        ("./sessions", "sessions"),
        ("sessions", "sessions"),
        ("jsonl:./sessions", "sessions"),
        ("JSONL:/var/lib/bot", "/var/lib/bot"),
        ("jsonl:///var/lib/bot", "/var/lib/bot"),
        (Path("sessions"), "sessions"),
        (Path("jsonl:odd"), "jsonl:odd"),
        ("./odd:name", "odd:name"),
        (r"C:\bots\sessions", r"C:\bots\sessions"),
        ("c:/bots/sessions", "c:/bots/sessions"),
        (r"jsonl:C:\bots", r"C:\bots"),
        ("~/sessions", str(Path("~/sessions").expanduser())),
    ],
)
def test_a_path_is_a_folder_of_jsonl_files(where: str | Path, folder: str) -> None:
    assert folder_of(SessionStore(where)) == folder


@pytest.mark.parametrize("where", ["memory:", "MEMORY:", "memory://"])
def test_memory_is_a_storage_of_its_own(where: str) -> None:
    assert isinstance(SessionStore(where).desk.opening.storage, MemoryStorage)


def test_a_storage_object_is_taken_as_it_is() -> None:
    storage = MemoryStorage()
    assert SessionStore(storage).desk.opening.storage is storage


@pytest.mark.parametrize(
    "where",
    ["mysql://h/db", "file:///tmp/x", "http:x", "jsnol:./x"],
)
def test_an_unknown_scheme_is_refused_with_those_there_are(where: str) -> None:
    scheme = where.partition(":")[0]
    with pytest.raises(UnknownStorageError, match=f"no storage '{scheme}'.*jsonl:PATH.*memory:"):
        SessionStore(where)


def test_the_password_of_a_url_is_in_no_error() -> None:
    with pytest.raises(UnknownStorageError) as caught:
        SessionStore("mysql://bot:hunter2@localhost")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("where", ["", "jsonl:", "jsonl://sessions", "jsonl://./x", "a\0b"])
def test_a_path_that_names_no_folder_is_refused(where: str) -> None:
    with pytest.raises(UnknownStorageError, match=r"write 'jsonl:./sessions'"):
        SessionStore(where)


@pytest.mark.parametrize("where", ["~no-such-user/chats", Path("~no-such-user"), "a\ud800"])
def test_a_path_that_can_be_none_is_refused(where: str | Path) -> None:
    with pytest.raises(UnknownStorageError, match=r"names no path.*(write '\./~|lone surrogate)"):
        SessionStore(where)


def test_memory_with_a_path_is_refused() -> None:
    with pytest.raises(UnknownStorageError, match="write 'memory:'"):
        SessionStore("memory:./sessions")


@pytest.mark.parametrize("where", [None, 7, ["./sessions"], b"./sessions", MemoryStorage])
def test_what_is_neither_path_nor_storage_is_refused(where: Any) -> None:
    with pytest.raises(UnknownStorageError, match="a path, a URL or a storage"):
        SessionStore(where)


@pytest.mark.parametrize(
    "options",
    [
        {"durability": "none"},
        {"durability": None},
        {"lock_timeout": -1},
        {"lock_timeout": float("nan")},
        {"max_turn_bytes": 0},
        {"max_turn_bytes": -1},
        {"max_turn_bytes": True},
    ],
)
def test_an_option_that_has_no_such_value_is_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=name):
        SessionStore("memory:", **options)


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["relative", "jsonl:relative", Path("relative")])
async def test_a_relative_path_is_below_the_folder_at_hand(
    where: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with SessionStore(where, durability="disk") as store:
        await store.session("telegram:1").append("user", "Hi")
        assert await said(store.session("telegram:1")) == ["Hi"]
    assert (tmp_path / "relative" / "telegram" / "1.jsonl").is_file()
