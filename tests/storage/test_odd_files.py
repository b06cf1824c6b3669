"""Folders that were copied, edited by hand, or hold what no session is."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest

from patience import PATIENCE
from storage.tools import (
    KEY,
    OTHER,
    contents,
    damaged,
    fingerprint,
    grep,
    listed,
    messages,
    opened,
    path_of,
    put,
    run,
    user,
)
from turnkeep import SessionKey, StorageError
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage
from turnkeep.storage.jsonl._disk import is_marked
from turnkeep.storage.jsonl._folder import Folder
from turnkeep.storage.jsonl._writer import Writer

pytestmark = pytest.mark.anyio

KEYS = [SessionKey("test", chat) for chat in range(1, 7)]


# When a session was written.


async def in_order(folder: Path, **options: Any) -> list[tuple[SessionKey, float]]:
    async with opened(folder, **options) as storage:
        paged = [await listed(storage, limit=4)]
        paged.append(await listed(storage, limit=4, after=paged[0][-1]))
        whole = await listed(storage)
        assert [*paged[0], *paged[1]] == whole
    return [(info.key, info.updated_at.timestamp()) for info in whole]


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("way", ["copied without times", "touched", "whole seconds", "year 9999"])
async def test_updated_at_and_the_order_of_a_list_are_what_the_files_say(
    tmp_path: Path, way: str, read_only: bool
) -> None:
    async with opened(tmp_path / "a") as storage:
        for key in KEYS:
            await put(storage, "one", key=key)
        await storage.update_metadata(KEYS[2], {"m": 1})
        await put(storage, "two", key=KEYS[4])
    expected = await in_order(tmp_path / "a")
    assert [key.chat_id for key, _ in expected] == ["5", "3", "6", "4", "2", "1"]
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy)
    for number, key in enumerate(KEYS):
        path = path_of(tmp_path / "b", key)
        match way:
            case "copied without times":
                # One time in a thousand has our mark by chance.
                written = path.stat().st_mtime_ns
                while is_marked(path.stat()):
                    written += 1
                    os.utime(path, ns=(written, written))
            case "touched":
                os.utime(path, (1e9 + number, 1e9 + number))
            case "whole seconds":
                second = int(path_of(tmp_path / "a", key).stat().st_mtime)
                os.utime(path, (second, second))
            case "year 9999":
                os.utime(path, (253_402_300_800 + number, 253_402_300_800 + number))
    for _ in range(2):
        assert await in_order(tmp_path / "b", read_only=read_only) == expected


async def test_a_copied_session_is_found_by_when_it_says_that_it_was_written(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "a") as storage:
        await storage.append(KEY, [user("one", source_id="s")])
        info = (await storage.read(KEY)).info
        assert info is not None
    os.utime(path_of(tmp_path / "a"), (0, 0))
    async with opened(tmp_path / "a") as storage:
        assert len((await storage.find_all(["s"], since=info.updated_at)).turns) == 1


async def test_a_line_that_was_added_by_hand_was_written_when_its_file_was(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
    line = b'{"id":2,"role":"user","timestamp":"2020-01-01T00:00:00Z","content":"by hand"}\n'
    with path_of(tmp_path).open("ab") as file:
        file.write(line)
    async with opened(tmp_path) as storage:
        (info,) = await listed(storage)
        assert abs(info.updated_at.timestamp() - path_of(tmp_path).stat().st_mtime) < 0.001
        assert await contents(storage) == ["one", "by hand"]


# Several records on a line.

JOINED: dict[str, Callable[[bytes], bytes]] = {
    "two turns on one line": lambda data: data.replace(b"\n" + b'{"id":3', b'{"id":3'),
    "all turns on one line": lambda data: data.replace(b"\n" + b'{"id":', b'{"id":'),
    "zeros before a turn": lambda data: data.replace(b'{"id":3', bytes(4096) + b'{"id":3'),
    "zeros before the last turn": lambda data: data.replace(b'{"id":5', bytes(99) + b'{"id":5'),
    "the last two on one line": lambda data: data.replace(b"\n" + b'{"id":5', b'{"id":5'),
    "zeros and half a line": lambda data: data.replace(
        b'{"id":3', b'{"id":9,"role":"us' + bytes(9) + b'{"id":3'
    ),
}


@pytest.mark.parametrize("way", JOINED)
async def test_whole_turns_are_read_though_they_share_a_line_or_stand_behind_zeros(
    tmp_path: Path, way: str
) -> None:
    texts = ['}{"id":7', "two}", "{three", '}{"', "five"]
    async with opened(tmp_path) as storage:
        for number, text in enumerate(texts, 1):
            await storage.append(KEY, [user(text, source_id=f"s{number}")])
    path = path_of(tmp_path)
    changed = JOINED[way](path.read_bytes())
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    async with opened(tmp_path) as storage:
        assert await contents(storage) == texts
        assert await contents(storage, after=1, limit=2, newest=False) == texts[1:3]
        for number in range(1, 6):
            found = await storage.find(KEY, f"s{number}")
            assert found is not None
            assert found.id == number
        assert len((await storage.find_all([f"s{n}" for n in range(20)])).turns) == 5
        assert (await put(storage, "six")).turns[0].id == 6
        await storage.edit(KEY, 3, Change(content="edited"))
        await storage.delete(KEY, [2])
        assert await contents(storage) == [texts[0], "edited", *texts[3:], "six"]
    async with opened(tmp_path) as storage:
        await storage.rename(KEY, OTHER)
        assert await contents(storage, OTHER) == [texts[0], "edited", *texts[3:], "six"]
        assert await damaged(storage, OTHER) <= 1


# Edited while the store runs.


def in_place(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def by_another_file(path: Path, data: bytes) -> None:
    beside = path.with_suffix(".new")
    beside.write_bytes(data)
    beside.replace(path)


def by_another_file_of_the_same_time(path: Path, data: bytes) -> None:
    time = path.stat().st_mtime_ns
    by_another_file(path, data)
    os.utime(path, ns=(time, time))


@pytest.mark.parametrize("before", ["written", "edited", "read"])
@pytest.mark.parametrize(
    "change",
    [in_place, by_another_file, by_another_file_of_the_same_time],
    ids=lambda f: f.__name__,
)
async def test_text_of_the_same_size_that_was_changed_by_hand_is_seen_by_the_next_append(
    tmp_path: Path, change: Callable[[Path, bytes], None], before: str
) -> None:
    path = path_of(tmp_path)
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two")
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["one", "two"]
        if before == "written":
            await put(storage, "2")
        elif before == "edited":
            await storage.edit(KEY, 1, Change(content="ONE"))
        now = messages(path)
        change(path, path.read_bytes().replace(b'"two"', b'"TWO"'))
        await put(storage, "three")
        expected = [now[0], "TWO", *now[2:], "three"]
        assert await contents(storage) == expected
        assert messages(path) == expected


async def test_a_workplace_that_was_removed_while_the_store_runs_is_made_again(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, durability="disk") as storage:
        await put(storage, "one", "two")
        shutil.rmtree(tmp_path / ".turnkeep")
        await storage.edit(KEY, 1, Change(content="edited, and longer than it was"))
        await storage.append(OTHER, [user("other")])
        await put(storage, "three")
        assert await contents(storage) == ["edited, and longer than it was", "two", "three"]


async def test_ctrl_c_inside_an_append_leaves_no_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    async with opened(tmp_path) as storage:
        await put(storage, "one")
        with monkeypatch.context() as patched:
            patched.setattr(Writer, "stage", interrupted)
            with pytest.raises(KeyboardInterrupt):
                await storage.append(KEY, [user("two")])
        assert await contents(storage) == ["one"]
        assert (await put(storage, "three")).turns[0].id == 2


async def test_ctrl_c_behind_the_start_of_an_edit_waits_for_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, rewrite, ended = ThreadPoolExecutor.submit, Folder.rewrite, list[str]()
    begun, may_end = threading.Event(), threading.Event()

    def interrupted(*arguments: Any) -> None:
        submit(*arguments)
        if any(getattr(one, "__func__", None) is slow for one in arguments):
            assert begun.wait(PATIENCE)
            raise KeyboardInterrupt

    def slow(*arguments: Any) -> Any:
        begun.set()
        assert may_end.wait(PATIENCE)
        try:
            return rewrite(*arguments)
        finally:
            ended.append("rewrite")

    async def edit() -> None:
        with pytest.raises(KeyboardInterrupt):
            await storage.edit(KEY, 1, Change(content="ONE"))
        ended.append("edit")

    async with opened(tmp_path) as storage:
        await put(storage, "one", "two")
        with monkeypatch.context() as patched:
            patched.setattr(ThreadPoolExecutor, "submit", interrupted)
            patched.setattr(Folder, "rewrite", slow)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(edit)
                await anyio.wait_all_tasks_blocked()
                may_end.set()
        assert ended == ["rewrite", "edit"]
        await put(storage, "three")
        assert await contents(storage) == ["ONE", "two", "three"]
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["ONE", "two", "three"]


# What is no session.


async def test_a_channels_folder_that_is_a_link_is_named_once_and_never_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, outside = tmp_path / "sessions", tmp_path / "outside"
    away = SessionKey("away", "1")
    async with opened(tmp_path / "theirs") as storage:
        await storage.append(away, [user("precious", source_id="s")])
    shutil.move(tmp_path / "theirs" / "away", outside)
    async with opened(folder) as storage:
        await put(storage, "a")
    (folder / "away").symlink_to(outside)
    before = fingerprint(outside)
    calls: list[Callable[[JsonlStorage], Any]] = [
        lambda storage: storage.read(away),
        lambda storage: storage.append(away, [user("b")]),
        lambda storage: storage.append(SessionKey("away", "new"), [user("b")]),
        lambda storage: storage.edit(away, 1, Change(content="b")),
        lambda storage: storage.delete(away, [1]),
        lambda storage: storage.clear(away, erase=True),
        lambda storage: storage.forget(away),
        lambda storage: storage.rename(away, KEY),
        lambda storage: storage.rename(KEY, SessionKey("away", "2")),
    ]
    with caplog.at_level(logging.WARNING, logger="turnkeep"):
        async with opened(folder) as storage:
            for call in calls:
                with pytest.raises(StorageError, match="away is no folder"):
                    await call(storage)
            for _ in range(3):
                assert [info.key for info in await listed(storage)] == [KEY]
                assert [info.key for info in await listed(storage, prefix="away:")] == []
                assert (await storage.find_all(["s"])).turns == []
    assert fingerprint(outside) == before
    assert len([record for record in caplog.records if "away" in record.getMessage()]) == 1


LOCKED = """
async def look():
    async with opened(folder) as storage:
        print(await contents(storage))
        try:
            await put(storage, "two")
        except StorageError as error:
            print(error.__cause__.errno, "test:1" in str(error))
        print(await contents(storage))
        print([info.key.text for info in await listed(storage)])
        print((await storage.find_all(["s"])).turns)
        await put(storage, "other", key=OTHER)
        os.chmod(folder / "test" / "1.jsonl", 0o600)
        await put(storage, "two")
        print(await contents(storage))
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
main(look)
"""


async def test_what_may_not_be_written_is_read_and_what_may_not_be_read_stops_nobody() -> None:
    # Not in pytest's folder, into which nobody but its owner may look.
    with TemporaryDirectory() as name:
        folder = Path(name) / "sessions"
        async with opened(folder) as storage:
            await put(storage, "one")
            await put(storage, "hidden", key=SessionKey("hidden", "1"))
        (folder / "flat_nanobot.jsonl").write_text('{"_type":"metadata"}\n')
        if os.getuid() == 0:
            for path in [Path(name), folder, *folder.rglob("*")]:
                os.chown(path, 65534, 65534)
        (folder / "test" / "1.jsonl").chmod(0o400)
        (folder / "hidden").chmod(0o000)
        (folder / "flat_nanobot.jsonl").chmod(0o000)
        said = run(LOCKED, folder).splitlines()
        assert grep(folder, "hidden")
        (folder / "hidden").chmod(0o700)
    assert said == ["['one']", "13 True", "['one']", "['test:1']", "[]", "['one', 'two']"]
