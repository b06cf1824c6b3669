"""A page of sessions is chosen by names and times of change; only its own files are opened."""

from __future__ import annotations

import os
import re
from datetime import datetime, timezone
from pathlib import Path

import pytest

from storage.test_bounds import counted_reads
from storage.tools import KEY, OTHER, listed, opened, put, user
from turnkeep import SessionKey
from turnkeep.storage.base import SessionInfo
from turnkeep.storage.jsonl import _index, _listing
from turnkeep.storage.jsonl._disk import set_modified
from turnkeep.storage.jsonl._names import name_begins, session_path

pytestmark = pytest.mark.anyio

LONG = "x" * 250
CHATS = ["1", "12", "a:b", "a,b", "A", "con", "conx", "é", LONG, f"{LONG}y", f"{LONG}é", "z-9"]
DAY = 1_700_000_000


@pytest.fixture(params=["by a scan", "by the index"], autouse=True)
def chosen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the sessions of a page are chosen: in a large folder, by its index."""
    if request.param == "by the index":
        monkeypatch.setattr(_index, "INDEX_FROM", 0)
    return str(request.param)


async def made(folder: Path, *keys: SessionKey) -> None:
    async with opened(folder) as storage:
        for key in keys:
            await storage.append(key, [user(key.text)])


def written_at(folder: Path, key: SessionKey, seconds: float) -> None:
    """Have a session's file say that it was written then."""
    path, moment = session_path(folder, key), datetime.fromtimestamp(seconds, timezone.utc)
    text = re.sub(rb'"at":[0-9]+}', b'"at":%d}' % (seconds * 1_000_000), path.read_bytes())
    stamp = moment.isoformat().replace("+00:00", "Z").encode()
    path.write_bytes(re.sub(rb'"updated_at":"[^"]+"', b'"updated_at":"%b"' % stamp, text))
    with path.open("rb") as file:
        set_modified(file.fileno(), moment)


async def test_a_page_opens_the_files_of_the_page_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [SessionKey("test", number) for number in range(60)]
    await made(tmp_path, *keys)
    for number, key in enumerate(keys):
        written_at(tmp_path, key, DAY + number)
    async with opened(tmp_path) as storage:
        with counted_reads(monkeypatch) as reads:
            page = await listed(storage, limit=5)
            assert [info.key for info in page] == keys[:-6:-1]
            assert len(reads) == 5
            page = await listed(storage, limit=5, after=page[-1])
            assert [info.key for info in page] == keys[-6:-11:-1]
            assert len(reads) == 10


@pytest.mark.parametrize("chosen", ["by a scan"], indirect=True)
async def test_only_the_folder_of_the_prefixs_channel_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(tmp_path, *(SessionKey(channel, "1") for channel in ("test", "tester", "other")))
    seen: list[str] = []
    real = os.open

    def look(path: Path, *options: int, **more: int) -> int:
        seen.append(Path(path).name)
        return real(path, *options, **more)

    async with opened(tmp_path) as storage:
        for prefix, folders in (("test:", {"test"}), ("test", {"test", "tester"})):
            with monkeypatch.context() as patched:
                patched.setattr(os, "open", look)
                await listed(storage, prefix=prefix)
            assert {name for name in seen if "." not in name} == folders
            seen.clear()


async def test_every_beginning_of_a_keys_text_is_a_prefix_that_lists_it(tmp_path: Path) -> None:
    keys = [SessionKey("test", chat) for chat in CHATS]
    keys += [SessionKey("test", "con", topic="nul"), SessionKey("a:b", "1"), SessionKey(LONG, "1")]
    await made(tmp_path, *keys)
    async with opened(tmp_path) as storage:
        for key in keys:
            for end in {*range(0, len(key.text) + 1, 1 if len(key.text) < 50 else 17)}:
                prefix = key.text[:end]
                found = {info.key for info in await listed(storage, prefix=prefix)}
                assert found == {one for one in keys if one.text.startswith(prefix)}
                assert len(await listed(storage, prefix=prefix, limit=1)) == 1


@pytest.mark.parametrize("prefix", ["none:", "test:\ud800", "\ud800", "test:\0", "test:1:", ":"])
async def test_a_prefix_that_no_key_has_lists_nothing(tmp_path: Path, prefix: str) -> None:
    await made(tmp_path, KEY)
    async with opened(tmp_path) as storage:
        assert await storage.sessions(prefix=prefix) == ([], True)


async def test_sessions_of_one_moment_stand_in_the_order_of_their_keys_on_every_page(
    tmp_path: Path,
) -> None:
    # As in a backup that was restored without its times.
    keys = [SessionKey("test", chat) for chat in CHATS]
    await made(tmp_path, *keys)
    for key in keys:
        written_at(tmp_path, key, DAY)
    written_at(tmp_path, keys[3], DAY + 1)
    expected = [keys[3], *sorted(key for key in keys if key != keys[3])]
    async with opened(tmp_path) as storage:
        assert [info.key for info in await listed(storage)] == expected
        for size in (1, 2, 5):
            found: list[SessionInfo] = []
            while page := await listed(storage, limit=size, after=found[-1] if found else None):
                found += page
            assert [info.key for info in found] == expected


async def test_a_page_is_full_however_many_files_are_no_sessions(tmp_path: Path) -> None:
    await made(tmp_path, KEY, OTHER)
    for key in (KEY, OTHER):
        written_at(tmp_path, key, DAY)
    for number in range(4 * _listing.SPARE):
        (tmp_path / "test" / f"Copy {number} of 1.jsonl").write_text("{}\n")
        (tmp_path / "test" / f"y~{number:064x}.jsonl").write_text("{}\n")
    (tmp_path / "No channel").mkdir()
    (tmp_path / "No channel" / "1.jsonl").write_text("{}\n")
    async with opened(tmp_path) as storage:
        assert [info.key for info in await listed(storage, limit=2)] == [KEY, OTHER]
        assert [info.key for info in await listed(storage, limit=1)] == [KEY]
        assert [info.key for info in await listed(storage)] == [KEY, OTHER]


async def test_a_session_that_is_written_while_a_page_is_read_does_not_turn_the_pages_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [SessionKey("test", number) for number in range(6)]
    await made(tmp_path, *keys)
    for number, key in enumerate(keys):
        written_at(tmp_path, key, DAY - number)
    async with opened(tmp_path) as storage:
        real = storage._folder.info

        def info(path: Path, key: SessionKey) -> SessionInfo | None:
            if key == keys[2]:
                written_at(tmp_path, key, DAY + 60)
            return real(path, key)

        monkeypatch.setattr(storage._folder, "info", info)
        first = await listed(storage, limit=3)
        second = await listed(storage, limit=3, after=first[-1])
        assert [info.key for info in (*first, *second)] == keys


async def test_a_file_or_a_folder_that_goes_while_it_is_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(tmp_path, KEY, OTHER, SessionKey("gone", "1"))
    real = _listing.channels

    def channels(folder: Path, channel: str, *, whole: bool) -> list[Path]:
        found = [*real(folder, channel, whole=whole)]
        session_path(folder, SessionKey("gone", "1")).unlink()
        (folder / "gone").rmdir()
        return found

    async with opened(tmp_path) as storage:
        with monkeypatch.context() as patched:
            patched.setattr(_listing, "channels", channels)
            found = await listed(storage)
            assert sorted(info.key for info in found) == [KEY, OTHER]
        (tmp_path / "test" / "3.jsonl").symlink_to(tmp_path / "nowhere")
        assert len(await listed(storage)) == 2
        await put(storage, "again")
        assert [info.key for info in await listed(storage, limit=1)] == [KEY]


def test_a_name_begins_as_the_beginning_of_its_key_says() -> None:
    assert name_begins("") == ("",)
    assert name_begins("12") == ("12", "%312")
    assert name_begins("1:topic:") == ("1,topic,",)
    assert name_begins("con:topic:nu") == ("%63on,topic,nu", "%63on,topic,%6eu")
