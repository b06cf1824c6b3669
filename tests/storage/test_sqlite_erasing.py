"""Erased text is gone from all bytes of a SQLite file."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import apsw
import pytest

from patience import PATIENCE
from turnkeep import LostAcknowledgementError, SessionKey
from turnkeep.storage.base import Change
from turnkeep.storage.sqlite import SqliteStorage
from turnkeep.testing._tools import KEY, OTHER, put, texts, user

pytestmark = pytest.mark.anyio

WORD = re.compile(rb"zq[0-9a-f]{12}")


def words_in(folder: Path) -> set[str]:
    """Return the words of this test in all files; SQLite's own locks stay as they are."""
    found = b"".join(path.read_bytes() for path in folder.iterdir())
    return {word.decode() for word in WORD.findall(found)}


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Read from the file, as another program does that keeps what it looks at."""
    db = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM turns").fetchall()
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


async def test_no_copy_of_an_erased_word_is_left_where_sqlite_had_moved_it_from(
    tmp_path: Path,
) -> None:
    draw = random.Random(4)
    folder = tmp_path / "place"
    folder.mkdir()
    keys = [SessionKey("test", number) for number in range(12)]
    alive: dict[tuple[SessionKey, int], list[str]] = {}
    gone: set[str] = set()

    def word() -> str:
        return f"zq{draw.getrandbits(48):012x}"

    storage = SqliteStorage(folder / "chats.db")
    await storage.open()
    for _ in range(8):
        for _ in range(25):
            key, length = draw.choice(keys), draw.choice([5, 50, 300, 3000, 9000])
            said = [word(), word(), word()]
            turn = user(f"{said[0]} {'y' * length} {said[1]}", source_id=said[2])
            alive[key, (await put(storage, key, [turn])).turns[0].id] = said
        for place in draw.sample(sorted(alive), 20):
            gone.update(alive.pop(place))
            key, turn_id = place
            if draw.random() < 0.5:
                await storage.delete(key, [turn_id])
            else:
                kept = [word(), word()]
                await storage.edit(key, turn_id, Change(content=" ".join(kept)))
                source = (await storage.read(key, after=turn_id - 1, before=turn_id + 1)).turns[0]
                gone.difference_update(source.source_ids)
                alive[key, turn_id] = [*kept, *source.source_ids]
    await storage.aclose()
    held = words_in(folder)
    assert held == {word for said in alive.values() for word in said}
    assert not held & gone


async def test_erased_bytes_are_gone_while_another_process_has_the_file_open(
    tmp_path: Path,
) -> None:
    mine, theirs = (SqliteStorage(tmp_path / "chats.db") for _ in range(2))
    await mine.open()
    await theirs.open()
    await put(mine, KEY, [user("zq000000000001"), user("zq000000000002")])
    assert await texts(theirs) == ["zq000000000001", "zq000000000002"]
    await theirs.delete(KEY, [1])
    await put(mine, KEY, [user("b")])
    assert words_in(tmp_path) == {"zq000000000002"}
    await mine.aclose()
    await theirs.aclose()


async def test_a_deletion_waits_for_a_reader_of_the_old_bytes_and_other_chats_do_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chats.db"
    storage = SqliteStorage(file)
    await storage.open()
    await put(storage, KEY, [user("zq000000000001"), user("b")])
    returned = anyio.Event()

    async def delete() -> None:
        await storage.delete(KEY, [1])
        returned.set()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            with reading(file):
                tasks.start_soon(delete)
                while await texts(storage) != ["b"]:
                    await anyio.sleep(0.001)
                for number in range(20):
                    await put(storage, OTHER, [user(f"{number}")])
                assert not returned.is_set()
    assert not words_in(tmp_path)
    await storage.aclose()


async def test_a_reader_that_never_ends_makes_the_error_of_a_lost_acknowledgement(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chats.db"
    storage = SqliteStorage(file, lock_timeout=0.05)
    await storage.open()
    await put(storage, KEY, [user("zq000000000001"), user("b")])
    with reading(file):
        for _ in range(2):
            with pytest.raises(LostAcknowledgementError, match=r"chats.db-wal.*same call again"):
                await storage.delete(KEY, [1])
    assert await storage.delete(KEY, [1]) == []
    assert not words_in(tmp_path)
    await storage.aclose()


async def test_a_long_session_is_forgotten_in_steps_that_let_other_chats_write(
    tmp_path: Path,
) -> None:
    storage = SqliteStorage(tmp_path / "chats.db")
    await storage.open()
    for start in range(0, 2000, 500):
        said = [f"the zq{number:012x} word" for number in range(start, start + 500)]
        await put(storage, KEY, [user(text) for text in said])
        await put(storage, OTHER, [user(text) for text in ("the word", "zqffffffffffff")])
    returned = anyio.Event()

    async def forget() -> None:
        await storage.forget(KEY)
        returned.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(forget)
        written = 0
        while not returned.is_set():
            await put(storage, OTHER, [user(f"{written}")])
            written += 1
    assert written > 2
    assert words_in(tmp_path) == {"zqffffffffffff"}
    assert await texts(storage) == []
    assert {hit.key for hit in await storage.search("the word")} == {OTHER}
    assert len(await storage.search("word", limit=9)) == 4
    await storage.aclose()


async def test_a_forgotten_session_that_a_crash_left_in_part_is_erased_at_the_next_opening(
    tmp_path: Path,
) -> None:
    storage = SqliteStorage(tmp_path / "chats.db")
    await storage.open()
    await put(storage, KEY, [user("zq000000000001") for _ in range(900)])
    await put(storage, OTHER, [user("zq000000000002")])
    await storage.aclose()
    db = apsw.Connection(str(tmp_path / "chats.db"))
    # The first step of a long session's end: it is not shown any more, and its turns are there.
    db.execute("DELETE FROM sessions WHERE key = ?", (KEY.text,))
    db.execute("UPDATE parts SET session = NULL WHERE session NOT IN (SELECT id FROM sessions)")
    db.close()
    await storage.open()
    assert await texts(storage, OTHER) == ["zq000000000002"]
    await storage.aclose()
    assert words_in(tmp_path) == {"zq000000000002"}
