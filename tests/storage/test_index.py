"""A page of a large folder costs the page: its index follows what the owner changes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.test_bounds import counted_reads
from storage.test_listing import DAY, made, written_at
from storage.test_nanobot import METADATA, g2, write
from storage.tools import KEY, OTHER, listed, opened, path_of, put, user
from turnkeep import SessionKey
from turnkeep.storage.base import Change, SessionInfo, Storage
from turnkeep.storage.jsonl import JsonlStorage, _clock, _index, _nanobot
from turnkeep.storage.jsonl._disk import reading
from turnkeep.storage.jsonl._names import key_of, text_of
from turnkeep.storage.jsonl._read import read_tail, time_at_end
from turnkeep.testing import FolderHooks, check_against_model
from turnkeep.testing._forget import ForgetContract
from turnkeep.testing._rename import RenameContract
from turnkeep.testing._sessions import SessionsContract

KEYS = [SessionKey("test", number) for number in range(30)]


@pytest.fixture(autouse=True)
def indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_index, "INDEX_FROM", 0)


class TestJsonlByIndex(FolderHooks, SessionsContract, RenameContract, ForgetContract):
    """What is said of lists holds, and so does any sequence of verbs."""

    def make_storage(self, place: Path) -> Storage:
        return JsonlStorage(place)

    @pytest.fixture(autouse=True)
    def patched(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as self.patch:
            yield

    def set_clock(self, storage: Storage, place: Path, now: datetime) -> None:
        self.patch.setattr(_clock, "now", lambda: now)

    def test_any_sequence_of_verbs_lists_what_it_lists_of_a_plain_model(
        self, tmp_path: Path, backend: str
    ) -> None:
        numbers = count()

        def new_folder() -> Path:
            folder = tmp_path / f"{next(numbers)}"
            folder.mkdir()
            return folder

        check_against_model(
            self.make_storage, new_folder, backend=backend, set_clock=self.set_clock
        )


async def pages(storage: JsonlStorage, size: int, **options: str) -> list[SessionInfo]:
    found: list[SessionInfo] = []
    while page := await listed(storage, limit=size, after=found[-1] if found else None, **options):
        found += page
    return found


@pytest.mark.anyio
async def test_a_page_looks_into_no_folder_and_at_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(tmp_path, *KEYS)
    async with opened(tmp_path) as storage:
        await listed(storage, limit=1)
        await put(storage, "again", key=KEYS[7])
        await put(storage, "first", key=SessionKey("test", "new"))
        await storage.forget(KEYS[8])
        await storage.rename(KEYS[9], SessionKey("other", "9"))
        looked: list[object] = []
        with monkeypatch.context() as patched:
            patched.setattr(os, "scandir", looked.append)
            with counted_reads(monkeypatch) as reads:
                page = await listed(storage, limit=3)
        names = [info.key.text for info in page]
        assert (looked, len(reads)) == ([], 3)
        assert names == ["other:9", "test:new", "test:7"]
        everyone = sorted(info.key for info in await pages(storage, 4))
        assert KEYS[8] not in everyone
        assert len(everyone) == len(KEYS)


@pytest.mark.anyio
async def test_what_somebody_else_puts_into_the_folder_or_takes_out_of_it_is_seen(
    tmp_path: Path,
) -> None:
    await made(tmp_path, *KEYS)
    async with opened(tmp_path) as storage:
        assert len(await pages(storage, 7)) == len(KEYS)
        path_of(tmp_path, KEYS[0]).unlink()
        assert len(await pages(storage, 7)) == len(KEYS) - 1
        copy = path_of(tmp_path, SessionKey("test", "copy"))
        copy.write_bytes(path_of(tmp_path, KEYS[1]).read_bytes())
        assert len(await pages(storage, 7)) == len(KEYS)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "1.jsonl").write_bytes(copy.read_bytes())
        assert SessionKey("other", "1") in {info.key for info in await pages(storage, 7)}


@pytest.mark.anyio
async def test_a_list_that_was_cancelled_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_index, "STEP_SECONDS", 0)
    monkeypatch.setattr(_index, "AT_ONCE", 1)
    await made(tmp_path, *KEYS)
    async with opened(tmp_path) as storage:
        seen: list[SessionKey] = []
        dated = storage._folder.dated

        def noting() -> Iterator[tuple[str, int | None]]:
            for text, at in dated():
                seen.append(SessionKey.parse(text))
                if len(seen) == 10:
                    anyio.from_thread.run_sync(scope.cancel, token=token)
                yield text, at

        scope, token = anyio.CancelScope(), anyio.lowlevel.current_token()
        monkeypatch.setattr(storage._folder, "dated", noting)
        with scope:
            await listed(storage)
        assert scope.cancelled_caught
        assert len(seen) < len(KEYS)
        await put(storage, "meanwhile", key=KEYS[3])
        assert (await listed(storage))[0].key == KEYS[3]
        assert sorted(seen) == sorted(KEYS)


@pytest.mark.anyio
async def test_when_more_was_touched_than_is_kept_the_index_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_index, "MAX_TOUCHED", 5)
    await made(tmp_path, *KEYS)
    async with opened(tmp_path) as storage:
        await listed(storage)
        for key in KEYS[:20]:
            await put(storage, "again", key=key)
        assert [info.key for info in (await pages(storage, 6))[:20]] == KEYS[19::-1]


@pytest.mark.anyio
async def test_a_page_of_a_folder_of_nanobots_reads_the_files_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime(2026, 1, 1)  # noqa: DTZ001 - as nanobot writes it
    for number in range(20):
        name, day = f"telegram:{number}", (start + timedelta(days=number)).isoformat()
        write(tmp_path, g2(name), {**METADATA, "key": name, "updated_at": day})
    keys = [SessionKey("telegram", number) for number in range(20)]
    loaded: list[Path] = []
    real = _nanobot.load

    def load(path: Path, key: SessionKey) -> _nanobot.Foreign:
        loaded.append(path)
        return real(path, key)

    monkeypatch.setattr(_nanobot, "load", load)
    async with opened(tmp_path) as storage:
        assert [info.key for info in await listed(storage, limit=3)] == keys[:-4:-1]
        loaded.clear()
        assert [info.key for info in await listed(storage, limit=3)] == keys[:-4:-1]
        assert len(loaded) == 3
        await put(storage, "ours now", key=keys[2])
        await storage.rename(keys[3], OTHER)
        await storage.forget(keys[4])
        assert [info.key for info in await pages(storage, 4)] == [
            *(OTHER, keys[2]),
            *(key for key in keys[::-1] if key not in keys[2:5]),
        ]


@pytest.mark.anyio
async def test_a_file_that_can_not_be_read_for_a_while_is_listed_again_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(tmp_path, KEY, OTHER)
    path = path_of(tmp_path)
    os.utime(path, ns=(0, 0))  # so that only the file can tell
    real = os.open

    def refused(name: str | Path, *options: int, **more: int) -> int:
        if Path(name).name == path.name:
            raise PermissionError(13, "Permission denied", name)
        return real(name, *options, **more)

    async with opened(tmp_path) as storage:
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", refused)
            for _ in range(2):
                assert [info.key for info in await listed(storage)] == [OTHER]
        assert {info.key for info in await listed(storage)} == {KEY, OTHER}


@pytest.mark.anyio
async def test_edits_keep_a_session_in_its_place_by_when_it_was_written(tmp_path: Path) -> None:
    await made(tmp_path, *KEYS)
    async with opened(tmp_path) as storage:
        await listed(storage)
        for key in (KEYS[4], KEYS[2]):
            await storage.edit(key, 1, Change(content="another text"))
        await storage.clear(KEYS[9], erase=True)
        assert [info.key for info in await listed(storage, limit=3)] == [
            *(KEYS[9], KEYS[2], KEYS[4]),
        ]


@pytest.mark.anyio
async def test_without_sqlite_a_folder_is_scanned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(tmp_path, *KEYS)
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    async with opened(tmp_path) as storage:
        assert [info.key for info in await pages(storage, 7)] == KEYS[::-1]


@pytest.mark.anyio
async def test_few_of_a_prefix_and_many_stand_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(tmp_path, *KEYS, SessionKey("tes", "1"), SessionKey("tester", "1"))
    for number, key in enumerate(KEYS):
        written_at(tmp_path, key, DAY + number % 3)
    async with opened(tmp_path) as storage:
        found = []
        for few in (1, 1000):
            monkeypatch.setattr(_index, "FEW", few)
            found.append([info.key for info in await pages(storage, 4, prefix="test:")])
        assert found[0] == found[1]
        assert sorted(found[0]) == sorted(KEYS)


@given(st.text(st.sampled_from("a1-_,%con~.A"), min_size=1, max_size=8), st.sampled_from("ab%"))
def test_a_names_text_is_that_of_its_key(stem: str, channel: str) -> None:
    key = key_of(channel, stem)
    assert text_of(channel, stem) == (None if key is None else key.text)


@pytest.mark.parametrize("name", ["con", "aux", "com1", "lpt9", "a" * 200, "a" * 201])
def test_a_name_that_no_file_of_ours_has_is_no_keys(name: str) -> None:
    key = key_of(name, name)
    assert text_of(name, name) == (None if key is None else key.text)
    assert text_of("test", name) == getattr(key_of("test", name), "text", None)


@given(st.data())
def test_a_short_look_at_a_file_tells_its_time_as_reading_it_does_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "short look"
    path = path_of(folder)

    async def make() -> None:
        async with opened(folder) as storage:
            for size in (10, 10, 3000, 3000):
                turns = [user("x" * size, source_id=f"{number}") for number in range(3)]
                await storage.append(KEY, turns, dedupe=False)
                await storage.clear(KEY)
            await storage.append(KEY, [user("the end")])

    if not path.exists():
        anyio.run(make)
    content = path.read_bytes()
    ends = [at for at in range(len(content)) if content[at : at + 1] == b"\n"]
    end = data.draw(st.sampled_from(ends).map(lambda at: at + 1) | st.integers(0, len(content)))
    changed = bytearray(content[:end])
    for at in data.draw(st.lists(st.integers(max(0, end - 300), max(0, end - 1)), max_size=2)):
        if changed:
            changed[at] = data.draw(st.sampled_from(b'#\n\0{}"9'))
    copy = folder / "copy"
    copy.write_bytes(changed)
    with reading(copy) as fd:
        told, tail = time_at_end(fd), read_tail(fd, KEY, limit=0)
    if told is not None:
        assert tail.info is not None
        assert tail.info.updated_at == told
        assert told.tzinfo == timezone.utc


@pytest.mark.anyio
async def test_a_short_look_is_enough_for_the_files_that_we_write(tmp_path: Path) -> None:
    await made(tmp_path, KEY)
    with reading(path_of(tmp_path)) as fd:
        assert time_at_end(fd) is not None
