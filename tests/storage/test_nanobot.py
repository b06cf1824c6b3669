"""nanobot's folders, of the generations G0, G1 and G2, open as they are."""

from __future__ import annotations

import base64
import json
import logging
import os
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from storage.tools import (
    contents,
    damaged,
    fingerprint,
    full_at,
    grep,
    listed,
    opened,
    path_of,
    put,
    watched,
)
from turnkeep import SessionKey, SessionStore, StorageError
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage
from turnkeep.storage.memory import MemoryStorage

pytestmark = pytest.mark.anyio

CHAT = SessionKey("telegram", "12345")
CREATED = "2026-01-02T03:04:05.678901"

METADATA: dict[str, Any] = {
    "_type": "metadata",
    "key": "telegram:12345",
    "created_at": CREATED,
    "updated_at": "2026-01-03T00:00:00",
    "metadata": {"lang": "de"},
    "last_archived": 2,
    "last_consolidated": 2,
}
ROWS: list[dict[str, Any]] = [
    {"role": "user", "content": "one", "timestamp": CREATED, "sender_id": "77",
     "media": ["/a.png"]},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ], "reasoning_content": "hm"},
    {"role": "tool", "content": "result", "tool_call_id": "c1", "name": "f"},
    {"role": "assistant", "content": [{"type": "text", "text": "two"}], "timestamp": "bad"},
    {"role": "user", "content": "/new", "timestamp": CREATED, "_command": True},
]  # fmt: skip


def g2(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=") + ".jsonl"


def write(folder: Path, name: str, *records: object) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))
    return path


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("telegram_12345.jsonl", {"_type": "metadata", "created_at": CREATED, "metadata": None}),
        ("telegram_12345.jsonl", METADATA),
        (g2("telegram:12345"), METADATA),
        (g2("telegram:12345"), {**METADATA, "key": None}),
    ],
    ids=["G0", "G1", "G2", "G2 without a key"],
)
async def test_a_session_of_every_generation_is_read_as_it_is(
    tmp_path: Path, name: str, metadata: dict[str, Any]
) -> None:
    write(tmp_path, name, metadata, {"_type": "provider_state", "x": 1}, *ROWS)
    async with opened(tmp_path, read_only=True) as storage:
        info, turns, _ = await storage.read(CHAT)
    assert info is not None
    assert (info.turns, info.last_id, info.damaged) == (5, 5, 0)
    assert info.created_at == datetime.fromisoformat(CREATED).astimezone(timezone.utc)
    if metadata["metadata"]:
        assert (info.metadata, info.last_consolidated) == ({"lang": "de"}, 2)
    assert [turn.id for turn in turns] == [1, 2, 3, 4, 5]
    assert [turn.role for turn in turns] == ["user", "assistant", "tool", "assistant", "user"]
    assert turns[0].sender is not None
    assert turns[0].sender.id == "77"
    assert turns[0].extra == {"media": ["/a.png"]}
    assert turns[1].tool_calls == ROWS[1]["tool_calls"]
    assert turns[1].extra == {"reasoning_content": "hm"}
    assert (turns[2].tool_call_id, turns[2].name, turns[2].content) == ("c1", "f", "result")
    assert turns[3].content == [{"type": "text", "text": "two"}]
    assert [turn.hidden for turn in turns] == [False, False, False, False, True]
    assert all(turn.time == info.created_at for turn in turns)


async def test_the_last_metadata_line_counts(tmp_path: Path) -> None:
    write(tmp_path, g2(str(CHAT)), METADATA, *ROWS, {**METADATA, "metadata": {"lang": "fr"}})
    async with opened(tmp_path) as storage:
        info = (await storage.read(CHAT)).info
    assert info is not None
    assert info.metadata == {"lang": "fr"}


@pytest.mark.parametrize(
    ("key", "printed"),
    [
        ("slack:C1:17.5", "slack:C1%3A17.5"),
        ("telegram:1:topic:2", "telegram:1:topic:2"),
        ("web:100%", "web:100%25"),
        ("cron:a b/c", "cron:a b/c"),
    ],
)
async def test_any_key_of_nanobots_is_listed_and_read(
    tmp_path: Path, key: str, printed: str
) -> None:
    write(tmp_path, g2(key), {**METADATA, "key": key}, *ROWS)
    async with opened(tmp_path) as storage:
        assert [info.key.text for info in await listed(storage)] == [printed]
        assert len((await storage.read(SessionKey.parse(printed))).turns) == 5


async def test_nanobots_sessions_are_listed_with_ours_until_they_are_ours(tmp_path: Path) -> None:
    write(tmp_path, g2(str(CHAT)), METADATA, *ROWS)
    mine = SessionKey("a", "1")
    async with opened(tmp_path) as storage:
        await put(storage, "mine", key=mine)
        assert [info.key for info in await listed(storage)] == [mine, CHAT]
        await put(storage, "six", key=CHAT)
        assert sorted(info.key for info in await listed(storage)) == [mine, CHAT]
        assert [info.turns for info in await listed(storage, prefix="telegram:")] == [6]


async def test_reading_a_nanobot_folder_changes_nothing_in_its_files(tmp_path: Path) -> None:
    path = write(tmp_path, g2(str(CHAT)), METADATA, *ROWS)
    before = fingerprint(path)
    async with opened(tmp_path) as storage:
        await storage.read(CHAT)
        await listed(storage)
    assert fingerprint(path) == before
    assert not path_of(tmp_path, CHAT).exists()


async def test_the_first_write_copies_the_session_and_the_old_file_is_no_longer_read(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, g2(str(CHAT)), METADATA, *ROWS)
    before = fingerprint(path)
    async with opened(tmp_path) as storage:
        old = await storage.read(CHAT)
        await put(storage, "six", key=CHAT)
        await storage.edit(CHAT, 1, Change(content="ONE"))
    assert fingerprint(path) == before
    with path.open("a") as file:
        file.write(json.dumps({"role": "user", "content": "from nanobot"}) + "\n")
    async with opened(tmp_path) as storage:
        info, turns, _ = await storage.read(CHAT)
    assert [turn.content for turn in turns][0::5] == ["ONE", "six"]
    assert list(turns)[1:5] == list(old.turns)[1:]
    assert info is not None
    assert old.info is not None
    assert info.created_at == old.info.created_at
    assert (info.metadata, info.last_consolidated) == ({"lang": "de"}, 2)


async def test_a_long_nanobot_session_is_read_and_copied_whole(tmp_path: Path) -> None:
    rows = [{"role": "user", "content": f"{n}"} for n in range(1000)]
    write(tmp_path, g2(str(CHAT)), METADATA, *rows)
    async with opened(tmp_path) as storage:
        turns = (await storage.read(CHAT)).turns
        assert [turn.content for turn in turns] == [f"{n}" for n in range(1000)]
        assert [t.content for t in (await storage.read(CHAT, limit=2)).turns] == ["998", "999"]
        await put(storage, "1000", key=CHAT)
        turns = (await storage.read(CHAT)).turns
        assert [turn.content for turn in turns] == [f"{n}" for n in range(1001)]


@pytest.mark.parametrize("how", ["untouched", "written", "renamed", "by its alias"])
async def test_what_was_forgotten_does_not_come_back_from_a_nanobot_file(
    tmp_path: Path, how: str
) -> None:
    write(tmp_path, "telegram_12345.jsonl", METADATA, *ROWS, {"role": "user", "content": "secret"})
    write(tmp_path, g2(str(CHAT)), METADATA, *ROWS, {"role": "user", "content": "secret"})
    other = SessionKey("telegram", "-100")
    async with opened(tmp_path) as storage:
        if how == "written":
            await put(storage, "six", key=CHAT)
        if how in ("renamed", "by its alias"):
            await storage.rename(CHAT, other)
        assert await storage.forget(other if how == "renamed" else CHAT)
    assert not grep(tmp_path, "secret")
    async with opened(tmp_path) as storage:
        for key in (CHAT, other):
            assert await storage.read(key) == (None, [], True)
        assert await storage.sessions() == ([], True)


@pytest.mark.parametrize("name", ["unlink", "fsync"])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_forget_that_is_broken_off_brings_no_older_file_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    for file in ("telegram_12345.jsonl", g2(str(CHAT))):
        write(tmp_path, file, METADATA, *ROWS, {"role": "user", "content": "long ago"})
    async with opened(tmp_path) as storage:
        await storage.clear(CHAT)
        await storage.delete(CHAT, range(1, 7))
        await put(storage, "now", key=CHAT)
        with monkeypatch.context() as patched:
            patched.setattr(os, name, full_at(name, at))
            with suppress(StorageError):
                await storage.forget(CHAT)
        # The process ends here, or the machine.
        assert await contents(storage, CHAT) in (["now"], [])
    async with opened(tmp_path) as storage:
        assert await contents(storage, CHAT) in (["now"], [])
        await storage.forget(CHAT)
        assert await contents(storage, CHAT) == []
    assert not grep(tmp_path, "long ago")


async def test_the_older_files_of_what_is_forgotten_are_gone_for_good_before_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "telegram_12345.jsonl", METADATA, *ROWS)
    async with opened(tmp_path) as storage:
        await put(storage, "now", key=CHAT)
        calls = watched(monkeypatch, "unlink", "fsync")
        await storage.forget(CHAT)
    own = calls.index(("unlink", "12345.jsonl"))
    assert calls[:own] == [("unlink", "telegram_12345.jsonl"), ("fsync", tmp_path.name)]
    assert calls[own + 1] == ("fsync", "telegram")


@pytest.mark.parametrize("newest", ["telegram_12345.jsonl", g2("telegram:12345")])
async def test_of_two_files_of_one_session_the_one_that_was_written_last_counts(
    tmp_path: Path, newest: str
) -> None:
    for name in ("telegram_12345.jsonl", g2(str(CHAT))):
        path = write(tmp_path, name, METADATA, {"role": "user", "content": name})
        seconds = 2000 if name == newest else 1000
        os.utime(path, (seconds, seconds))
    async with opened(tmp_path) as storage:
        assert await contents(storage, CHAT) == [newest]
        (info,) = await listed(storage)
        assert info.turns == 1
        await put(storage, "more", key=CHAT)
        assert await contents(storage, CHAT) == [newest, "more"]


async def test_a_damaged_nanobot_file_is_read_where_it_can_be_and_kept_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, g2(str(CHAT)), METADATA, ROWS[0])
    bad = [b"{torn", b"\xff\xfe", b"\0" * 50, b'{"role": []}', b'{"role": "user", "content": 5}',
           b'{"role":"user","content":"x","extra":' + b"[" * 9000 + b"}", b"[1]"]  # fmt: skip
    good = [
        rb'{"role":"user","content":"lone \ud83d surrogate \u0000"}',
        b'{"role":"user","content":"nan","score":NaN,"timestamp":"0001-01-01T00:00:00"}',
    ]
    with path.open("ab") as file:
        file.write(b"\n".join([*bad, b"", *good, b'{"role":"user","content":"la']))
    with caplog.at_level(logging.WARNING, logger="turnkeep"):
        async with opened(tmp_path) as storage:
            turns = (await storage.read(CHAT)).turns
            assert await damaged(storage, CHAT) == len(bad) + 1
            assert [turn.content for turn in turns] == [
                "one", "lone \N{REPLACEMENT CHARACTER} surrogate \N{REPLACEMENT CHARACTER}", "nan",
            ]  # fmt: skip
            await put(storage, "six", key=CHAT)
            assert await damaged(storage, CHAT) == len(bad) + 1
    assert len(caplog.records) == 1
    aside = path_of(tmp_path, CHAT).with_suffix(".damaged").read_bytes()
    assert all(line in aside for line in bad)


async def test_a_folder_or_a_dead_link_among_nanobots_files_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, g2(str(CHAT)), METADATA, *ROWS)
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "dead.jsonl").symlink_to(tmp_path / "nowhere")
    write(tmp_path, "nokey.jsonl", *ROWS)
    async with opened(tmp_path) as storage:
        assert [info.key for info in await listed(storage)] == [CHAT]


async def test_a_nanobot_file_from_elsewhere_brings_no_local_address_and_no_huge_metadata(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture = {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}
    write(
        tmp_path,
        "telegram_7.jsonl",
        {"_type": "metadata", "key": "telegram:7", "metadata": {"note": "x" * 9_000}},
        {"role": "user", "content": [{"type": "text", "text": "Look."}, picture]},
    )
    async with SessionStore(tmp_path) as store:
        session = store.session("telegram:7")
        info = await session.info()
        turns = [turn async for turn in session.turns()]
    assert info is not None
    assert info.metadata == {}
    assert "metadata is over 8192 bytes, and left out" in caplog.text
    assert [turn.content for turn in turns] == [
        [{"type": "text", "text": "Look."}, {"type": "media", "kind": "image"}]
    ]


def replayed(path: Path) -> list[dict[str, Any]]:
    """What nanobot's reader gives its model: the rows behind the archived ones, without commands.

    It takes the last metadata line of a file, and an offset beyond its end for none.
    """
    rows, archived = [], 0
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if record.get("_type") == "metadata":
            archived = record.get("last_archived", record.get("last_consolidated", 0))
        elif record.get("_type") != "provider_state":
            rows.append(record)
    archived = archived if 0 <= archived <= len(rows) else 0
    return [row for row in rows[archived:] if not row.get("_command")]


def said(path: Path) -> list[object]:
    return [row["content"] for row in replayed(path)]


async def test_nanobot_is_not_shown_what_was_before_a_reset_nor_hidden_turns(
    tmp_path: Path,
) -> None:
    path = path_of(tmp_path, CHAT)
    async with SessionStore(tmp_path) as store:
        session = store.session(CHAT)
        for text in ("secret", "more", "most"):
            await session.append("user", text)
        await session.clear()
        assert said(path) == []
        await session.append("user", "fresh")
        await session.append("system", "noted", hidden=True)
        assert said(path) == ["fresh"]
        await session.delete(1)  # of before the reset
        await session.edit(4, "fresher")
        await session.update_metadata(lang="de")
        assert said(path) == ["fresher"]
        await session.append("assistant", "x" * 70_000)  # past the next metadata line
        await session.append("user", "last")
        await session.delete(6)
        assert said(path) == ["fresher", "last"]
    async with SessionStore(tmp_path) as store:
        session = store.session(CHAT)
        await session.append("user", "later")
        await session.delete(2)
        await session.clear()
        await session.append("user", "new")
        assert said(path) == ["new"]
        other = store.session("telegram:2")
        await other.append("user", "other")
        await store.rename("telegram:2", CHAT)
        assert said(path) == ["new"]
        await session.clear(erase=True)
        await session.append("user", "erased")
        assert said(path) == ["erased"]


@pytest.mark.parametrize("at_once", [1, 2, 200])
@pytest.mark.parametrize("resets", [1, 2])
async def test_nanobot_is_not_shown_what_was_before_a_reset_in_a_session_that_was_copied(
    tmp_path: Path, at_once: int, resets: int
) -> None:
    source, target = MemoryStorage(), JsonlStorage(tmp_path)
    async with SessionStore(source) as store:
        session = store.session(CHAT)
        for number in range(resets):
            await session.extend([{"role": "user", "content": f"secret {number}"}] * 3)
            await session.clear()
        await session.append("user", "fresh")
        await session.append("user", "last")
        info, turns, _ = await source.read(CHAT)
    assert info is not None
    async with SessionStore(target) as store:
        await store.list_sessions()
        for start in range(0, len(turns), at_once):
            part = turns[start : start + at_once]
            assert await target.restore(replace(info, last_id=part[-1].id), part)
        assert said(path_of(tmp_path, CHAT)) == ["fresh", "last"]
        await store.session(CHAT).delete(1)
        assert said(path_of(tmp_path, CHAT)) == ["fresh", "last"]


async def test_the_folders_of_nanobots_workspaces_are_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = tmp_path / ("0a" * 16), tmp_path / ("ff" * 16)
    for place in (one, two):
        place.mkdir()
        (place / ".workspace").write_text("/home/ada\n")
    beat = {**METADATA, "key": "heartbeat"}
    write(one, g2(str(CHAT)), METADATA, *ROWS)
    write(one, g2("heartbeat"), beat, {"role": "user", "content": "beat"})
    write(two, g2("cli:direct"), {**METADATA, "key": "cli:direct"}, *ROWS)
    newer = write(two, g2(str(CHAT)), METADATA, {"role": "user", "content": "newer"})
    os.utime(one / g2(str(CHAT)), (1, 1))
    stem = g2(str(CHAT)).removesuffix(".jsonl")
    (one / f"{stem}.checkpoint.json").write_text("{}")
    (two / ".migration-conflicts").mkdir()
    with caplog.at_level(logging.WARNING, logger="turnkeep"):
        async with SessionStore(tmp_path) as store:
            keys = {info.key.text for info in await store.list_sessions()}
            assert keys == {"telegram:12345", "nanobot:heartbeat", "cli:direct"}
            chat = store.session(CHAT)
            assert [turn.text async for turn in chat.turns()] == ["newer"]
            beats = store.session("nanobot:heartbeat")
            await beats.append("assistant", "still here")
            assert [turn.text async for turn in beats.turns()] == ["beat", "still here"]
    told = caplog.text
    assert f"{stem}.checkpoint.json: the state of an unfinished turn" in told
    assert ".migration-conflicts: sessions that nanobot set aside are not opened" in told
    assert f"session {CHAT} is not opened from here, but from {newer}" in told
    assert (one / g2("heartbeat")).read_text().count("\n") == 2, "nanobot's file stays as it was"


async def test_one_workspace_opens_by_itself(tmp_path: Path) -> None:
    place = tmp_path / ("0a" * 16)
    place.mkdir()
    (place / ".workspace").write_text("/home/ada\n")
    write(place, g2("heartbeat"), {**METADATA, "key": "heartbeat"}, *ROWS)
    async with SessionStore(place) as store:
        assert [info.key.text for info in await store.list_sessions()] == ["nanobot:heartbeat"]
