"""No reader raises on a damaged file, and no writer destroys one."""

from __future__ import annotations

import logging
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from profiles import many
from storage.tools import (
    KEY,
    contents,
    damaged,
    files,
    lines,
    listed,
    messages,
    opened,
    path_of,
    put,
    user,
)
from turnkeep import SessionKey
from turnkeep.storage.base import Change

pytestmark = pytest.mark.anyio

GARBAGE = {
    "nul block": b"\0" * 4096,
    "half a line": b'{"id":3,"role":"us',
    "no utf-8": b'{"id":3,"role":"user","content":"\xff\xfe"}',
    "no turn": b'{"id":"three"}',
    "no zone": b'{"id":3,"role":"user","content":"x","timestamp":"2026-01-01T00:00:00"}',
    "too deep": b'{"id":3,"extra":{"a":' + b"[" * 20_000,
    "metadata": b'{"_type":"metadata","key":"test:1","created_at":"what"}',
    "a list": b"[]",
    "a number out of place": b'{"id":900,"role":"user","timestamp":"2026-01-01T00:00:00Z"}',
}


async def real_file(folder: Path, turns: int = 6) -> bytes:
    """A file as sessions have it: with text of all kinds and a metadata line inside."""
    async with opened(folder) as storage:
        for number in range(1, turns + 1):
            await storage.append(
                KEY, [user(f"é \u2028 \N{GRINNING FACE} {number}", source_id=number)]
            )
            if number == turns // 2:
                await storage.update_metadata(KEY, {"half": True})
    return path_of(folder).read_bytes()


def with_line(data: bytes, place: int, line: bytes) -> bytes:
    """The file with one line, counted from 0, replaced."""
    there = data.split(b"\n")
    there[place] = line
    return b"\n".join(there)


async def test_at_every_point_a_torn_line_is_set_aside_and_the_chat_goes_on(
    tmp_path: Path,
) -> None:
    data = await real_file(tmp_path / "real")
    folder = tmp_path / "torn"
    keys = {cut: SessionKey("test", cut) for cut in range(len(data) + 1)}
    (folder / "test").mkdir(parents=True)
    for cut, key in keys.items():
        path_of(folder, key).write_bytes(data[:cut])
    async with opened(folder) as storage:
        for cut, key in keys.items():
            # A whole last line counts though its line feed is missing.
            ended = data[:cut] if data[cut : cut + 1] != b"\n" else data[: cut + 1]
            whole, torn = ended[: ended.rfind(b"\n") + 1], ended[ended.rfind(b"\n") + 1 :]
            turns = whole.count(b'"role"')
            assert [turn.id for turn in (await storage.read(key)).turns] == [*range(1, turns + 1)]
            appended = await put(storage, "goes on", key=key)
            assert appended.turns[0].id == turns + 1
            path = path_of(folder, key)
            assert path.read_bytes().startswith(whole)
            assert len(lines(path)) == whole.count(b"\n") + (2 if not whole else 1)
            beside = path.with_suffix(".damaged")
            assert (beside.read_bytes() if beside.exists() else b"") == torn + b"\n" * bool(torn)
            assert await damaged(storage, key) == bool(torn)
    async with opened(folder) as storage:
        for cut in range(0, len(data), 50):
            assert (await contents(storage, keys[cut]))[-1] == "goes on"


async def test_at_every_point_a_torn_append_of_several_turns_is_there_whole_or_not_at_all(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "real"
    async with opened(folder) as storage:
        await storage.append(KEY, [user("before")])
        before = path_of(folder).read_bytes()
        # One of them is so long that a metadata line stands in the middle of the append.
        answer = [user("one"), user("two" * 30_000), user("three"), user("four" * 30_000)]
        await storage.append(KEY, answer)
    data = path_of(folder).read_bytes()
    feeds = [at for at in range(len(before), len(data)) if data[at : at + 1] == b"\n"]
    cuts = sorted({len(before), *(at + side for at in feeds for side in (-1, 0, 1))})
    for cut in cuts:
        torn = tmp_path / f"torn{cut}"
        (torn / "test").mkdir(parents=True)
        path_of(torn).write_bytes(data[:cut])
        async with opened(torn) as storage:
            turns = (await storage.read(KEY)).turns
            assert len(turns) in (1, 5), cut
            assert (len(turns) == 5) == (cut >= len(data) - 1), cut
            await storage.append(KEY, [user("behind")])
        aside = path_of(torn).with_suffix(".damaged")
        kept = aside.read_bytes() if aside.exists() else b""
        if len(turns) == 1:
            assert kept.rstrip(b"\n") == data[len(before) : cut].rstrip(b"\n"), cut
        assert messages(path_of(torn))[-1] == "behind"


async def test_a_torn_line_is_logged_once_and_counted_by_the_next_process_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = await real_file(tmp_path)
    path_of(tmp_path).write_bytes(data[:-20])
    with caplog.at_level(logging.WARNING, logger="turnkeep"):
        for _ in range(2):
            async with opened(tmp_path) as storage:
                await storage.edit(KEY, 1, Change(content="x"))
                assert await damaged(storage) == 1
                assert (await listed(storage))[0].damaged == 1
    assert len(caplog.records) == 1
    assert "test:1" in caplog.records[0].getMessage()


@pytest.mark.parametrize("place", [2, 3, 4, 6])
@pytest.mark.parametrize("what", GARBAGE)
async def test_a_damaged_line_is_skipped_logged_once_counted_and_kept_through_edits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str, place: int
) -> None:
    data = await real_file(tmp_path)
    there = data.split(b"\n")[place]
    path_of(tmp_path).write_bytes(with_line(data, place, GARBAGE[what]))
    # Line 0 is the beginning, line 4 the metadata line in the middle.
    lost = None if place == 4 else place if place < 4 else place - 1
    ids = [n for n in range(1, 7) if n != lost]
    assert (b"metadata" in there) == (lost is None)
    with caplog.at_level(logging.WARNING, logger="turnkeep"):
        async with opened(tmp_path) as storage:
            assert [turn.id for turn in (await storage.read(KEY)).turns] == ids
            await put(storage, "seven")
            await storage.edit(KEY, 1, Change(content="longer than it was"))
            await storage.edit(KEY, 6, Change(content="s"))
            await storage.delete(KEY, [ids[1]])
            turns = (await storage.read(KEY)).turns
            assert [turn.id for turn in turns] == [ids[0], *ids[2:], 7]
            assert await damaged(storage) == 1
    assert len(caplog.records) == 1
    assert GARBAGE[what] in path_of(tmp_path).read_bytes().split(b"\n")


async def test_a_session_whose_first_line_is_destroyed_goes_on(tmp_path: Path) -> None:
    data = await real_file(tmp_path)
    path_of(tmp_path).write_bytes(with_line(data, 0, b"\0" * 100))
    async with opened(tmp_path) as storage:
        await put(storage, "seven")
        info, turns, _ = await storage.read(KEY)
        assert info is not None
        assert (info.turns, info.last_id, info.metadata) == (7, 7, {"half": True})
        assert len(turns) == 7


async def test_a_file_without_any_metadata_line_is_told_from_its_turns(tmp_path: Path) -> None:
    data = await real_file(tmp_path)
    path_of(tmp_path).write_bytes(with_line(with_line(data, 0, b"#"), 4, b"#"))
    async with opened(tmp_path) as storage:
        info = (await storage.read(KEY)).info
        assert info is not None
        assert (info.turns, info.last_id, info.epoch, info.damaged) == (6, 6, 1, 2)
        assert (await put(storage, "seven")).turns[0].id == 7


async def test_a_file_of_garbage_is_kept_and_a_session_begins_behind_it(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"\0\0\0\n#\n")
    async with opened(tmp_path) as storage:
        assert await storage.read(KEY) == (None, [], True)
        await put(storage, "one")
        assert await contents(storage) == ["one"]
    assert path.read_bytes().startswith(b"\0\0\0\n#\n")
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["one"]


async def test_an_epoch_goes_on_though_the_line_that_began_it_is_damaged(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        info = (await storage.read(KEY)).info
        assert info is not None
        await storage.consolidate(KEY, 1, "the old epoch's", expected=info.expected())
        await storage.clear(KEY)
        await put(storage, "two")
    data = path_of(tmp_path).read_bytes()
    path_of(tmp_path).write_bytes(with_line(data, 3, b"#"))
    async with opened(tmp_path) as storage:
        info = (await storage.read(KEY)).info
        assert info is not None
        assert (info.epoch, info.summary, info.turns) == (2, None, 2)
        assert (await put(storage, "three")).turns[0].epoch == 2


async def test_the_count_of_turns_holds_though_the_last_metadata_line_is_damaged(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *["x" * 20_000] * 20)
        await put(storage, "new", key=SessionKey("test", "2"))
        await storage.rename(KEY, SessionKey("test", "2"))
    path = path_of(tmp_path, SessionKey("test", "2"))
    path.write_bytes(with_line(path.read_bytes(), -2, b"#"))
    async with opened(tmp_path) as storage:
        assert (await listed(storage))[0].turns == 21


async def test_reading_in_the_middle_finds_its_place_through_damage(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *[f"{n} " + "x" * (n % 700) for n in range(1, 3001)])
    path = path_of(tmp_path)
    there = path.read_bytes().split(b"\n")
    broken = [*range(700, 1500), 2000, 2500]
    for place in broken:
        there[place] = b"\0" * 300
    path.write_bytes(b"\n".join(there))
    kept = {int(line[6 : line.index(b",")]) for line in there if line.startswith(b'{"id":')}
    lost = set(range(1, 3001)) - kept
    assert len(lost) > 780
    async with opened(tmp_path) as storage:
        for first in (0, 1, 600, 690, 700, 900, 1400, 1490, 1510, 1999, 2000, 2499, 2990):
            expected = [n for n in range(first + 1, 3001) if n not in lost][:5]
            turns = (await storage.read(KEY, after=first, limit=5, newest=False)).turns
            assert [turn.id for turn in turns] == expected
            before = expected[-1]
            turns = (await storage.read(KEY, before=before, limit=3)).turns
            below = [n for n in range(1, before) if n not in lost]
            assert [turn.id for turn in turns] == below[-3:]
        found = await storage.edit(KEY, 2600, Change(content="found"))
        assert found is not None
        assert "found" in messages_of(path)


def messages_of(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


async def test_a_turn_is_edited_though_ids_are_out_of_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *[f"turn {n}" for n in range(1, 201)])
    path = path_of(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'{"id":100,', b'{"id":999,'))
    async with opened(tmp_path) as storage:
        for turn_id in (50, 99, 101, 150, 198):
            await storage.edit(KEY, turn_id, Change(content=f"edited {turn_id}"))
        await storage.delete(KEY, [102, 149])
        assert await contents(storage, after=2, limit=2, newest=False) == ["turn 3", "turn 4"]
        assert await contents(storage, before=101, limit=2) == ["turn 98", "edited 99"]
    texts = messages(path)
    assert len(texts) == 198
    assert [text for text in texts if text.startswith("edited")] == [
        f"edited {n}" for n in (50, 99, 101, 150, 198)
    ]


@st.composite
def _blows(draw: st.DrawFn) -> list[tuple[str, float, int]]:
    kinds = st.sampled_from(["nul", "cut", "garbage", "feed"])
    return draw(
        st.lists(st.tuples(kinds, st.floats(0, 1), st.integers(1, 400)), min_size=1, max_size=3)
    )


def _struck(data: bytes, blows: list[tuple[str, float, int]]) -> bytes:
    for kind, where, length in blows:
        at = int(where * len(data))
        match kind:
            case "nul":
                data = data[:at] + b"\0" * len(data[at : at + length]) + data[at + length :]
            case "cut":
                data = data[:at] + data[at + length :]
            case "garbage":
                data = data[:at] + b"\xf0}{[\\" * length + data[at:]
            case _:
                data = data[:at] + b"\n" + data[at:]
    return data


@given(st.lists(_blows(), min_size=10, max_size=10))
@many(60, suppress_health_check=list(HealthCheck))
def test_whatever_happened_to_a_file_its_whole_lines_are_read_and_written_on(
    tmp_path_factory: pytest.TempPathFactory, blows: list[list[tuple[str, float, int]]]
) -> None:
    folder = tmp_path_factory.mktemp("blows")

    async def main() -> None:
        data = await real_file(folder, 20)
        keys = [SessionKey("test", f"c{number}") for number in range(len(blows))]
        for key, blow in zip(keys, blows, strict=True):
            path_of(folder, key).write_bytes(_struck(data, blow))
        async with opened(folder) as storage:
            for key in keys:
                whole = set(data.split(b"\n")) & set(path_of(folder, key).read_bytes().split(b"\n"))
                ids = {int(line[6 : line.index(b",")]) for line in whole if b'{"id":' in line}
                assert ids <= {turn.id for turn in (await storage.read(key)).turns}
                for number in ids:
                    assert await storage.find(key, f"{number}") is not None
                for number in sorted(ids)[-2:]:
                    assert await storage.edit(key, number, Change(content=f"new {number}"))
                await storage.append(key, [user("last", source_id="last")])
                await storage.clear(key)
                await storage.update_metadata(key, {"m": 1})
            await storage.sessions()
        async with opened(folder) as storage:
            for key in keys:
                assert (await contents(storage, key))[-1] == "last"

    anyio.run(main)
    assert files(folder)


@pytest.mark.parametrize("place", ["an old message", "the first line", "both"])
async def test_an_old_line_that_was_copied_to_the_end_hides_nothing_and_no_id_is_given_twice(
    tmp_path: Path, place: str
) -> None:
    data = await real_file(tmp_path)
    first, second = data.split(b"\n")[:2]
    with path_of(tmp_path).open("ab") as file:
        file.write({"an old message": second, "the first line": first}.get(place, first) + b"\n")
        file.write(second + b"\n" if place == "both" else b"")
    for opening in range(3):
        async with opened(tmp_path) as storage:
            turns = (await storage.read(KEY)).turns
            assert [turn.id for turn in turns] == list(range(1, 7 + opening))
            appended = await put(storage, f"later {opening}")
            assert appended.turns[0].id == 7 + opening


async def test_lines_that_were_swapped_hide_no_more_than_one_of_them(tmp_path: Path) -> None:
    there = (await real_file(tmp_path)).split(b"\n")
    there[5], there[6] = there[6], there[5]
    path_of(tmp_path).write_bytes(b"\n".join(there))
    async with opened(tmp_path) as storage:
        turns = (await storage.read(KEY)).turns
        assert len(turns) == 5
        assert await damaged(storage) == 1
