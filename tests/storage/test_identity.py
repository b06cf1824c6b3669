"""What a file says of a session's life: its generation, its revision, what was merged into it."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path

import pytest

from storage.tools import KEY, OTHER, contents, lines, messages, opened, path_of, put, user
from turnkeep import SessionKey
from turnkeep._records.identity import generation_from
from turnkeep.storage.base import Change, SessionInfo
from turnkeep.storage.jsonl import JsonlStorage

pytestmark = pytest.mark.anyio

THIRD = SessionKey("test", "3")
CREATED = datetime(2026, 1, 2, 3, 4, 5, 678901, timezone.utc)


async def record(storage: JsonlStorage, key: SessionKey = KEY) -> SessionInfo:
    info = (await storage.read(key, limit=0)).info
    assert info is not None
    return info


def last_record(path: Path) -> dict[str, object]:
    return [line for line in lines(path) if "_type" in line][-1]


async def test_the_generation_stands_in_metadata_lines_and_in_no_turns_line(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *"abc")
        await storage.edit(KEY, 2, Change(content="edited"))
        await storage.rename(KEY, OTHER)
        await put(storage, "d", key=OTHER)
        info = await record(storage, OTHER)
        # A stored turn that is appended elsewhere is of the generation there.
        await storage.append(KEY, (await storage.read(OTHER)).turns)
    for line in lines(path_of(tmp_path, OTHER)):
        assert line.get("generation") == (info.generation if "_type" in line else None)


async def test_each_turn_has_the_generation_wherever_it_was_read(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        for n in range(200):
            await storage.append(KEY, [user(f"{n}", source_id=n)])
    for read_only in (False, True):
        async with opened(tmp_path, read_only=read_only) as storage:
            found = await storage.find(KEY, "3")
            turns = [found, (await storage.find_all(["4"])).turns[0][1]]
            for selection in ({"limit": 3}, {"limit": 3}, {"before": 50, "limit": 9}, {}):
                turns += (await storage.read(KEY, **selection)).turns  # type: ignore[arg-type]
            turns += (await storage.read(KEY, after=70, limit=9, newest=False)).turns
            generation = (await record(storage)).generation
            assert {turn and turn.generation for turn in turns} == {generation}


async def test_a_file_of_before_generations_has_one_which_stays(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    path.parent.mkdir()
    metadata = {
        "_type": "metadata",
        "key": "test:1",
        "created_at": CREATED.isoformat(),
        "updated_at": CREATED.isoformat(),
        "metadata": {},
        "last_consolidated": 0,
        "op": "begin",
        "epoch": 1,
        "last_id": 0,
        "turns": 0,
    }
    turn = {"id": 1, "role": "user", "content": "old", "timestamp": CREATED.isoformat()}
    path.write_text(f"{json.dumps(metadata)}\n{json.dumps(turn)}\n")
    generation = generation_from(CREATED)
    async with opened(tmp_path) as storage:
        info = await record(storage)
        assert (info.generation, info.revision, info.origins) == (generation, 0, ())
        (stored,) = (await storage.read(KEY)).turns
        assert stored.generation == generation
        await storage.update_metadata(KEY, {"m": 1})
    assert last_record(path)["generation"] == generation
    async with opened(tmp_path) as storage:
        assert (await record(storage)).generation == generation


async def test_the_revision_is_in_the_file_and_goes_up_with_each_change_of_an_older_turn(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *"abc")
        await storage.edit(KEY, 1, Change(content="A"))
        await storage.edit(KEY, 1, Change(content="A"))
        await storage.delete(KEY, [2])
        await storage.edit(KEY, 3, Change(link=("s",)))
    assert last_record(path_of(tmp_path))["revision"] == 3


async def test_a_session_that_is_gone_begins_in_another_generation(tmp_path: Path) -> None:
    seen = set()
    async with opened(tmp_path) as storage:
        for _ in range(3):
            await put(storage, "a")
            seen.add((await record(storage)).generation)
            await storage.forget(KEY)
        await put(storage, "a")
        path_of(tmp_path).unlink()  # by somebody else
        await put(storage, "a")
        seen.add((await record(storage)).generation)
    assert len(seen) == 4


async def test_what_was_merged_stands_in_the_file(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "old 1", "old 2")
        await put(storage, "new", key=OTHER)
        old, new = await record(storage), await record(storage, OTHER)
        refs = [turn.ref for key in (KEY, OTHER) for turn in (await storage.read(key)).turns]
        await storage.rename(KEY, OTHER)
    async with opened(tmp_path) as storage:
        info = await record(storage, OTHER)
        assert info.generation not in (old.generation, new.generation)
        assert [info.place(ref) for ref in refs] == [1, 2, 3]
    written = last_record(path_of(tmp_path, OTHER))
    assert [origin[0] for origin in written["origins"]] == [  # type: ignore[attr-defined]
        old.generation,
        new.generation,
    ]


@pytest.mark.parametrize("target", ["nothing", "0 bytes", "garbage", "metadata", "erased"])
async def test_a_target_without_turns_does_not_hide_those_of_the_session_that_moves_there(
    tmp_path: Path, target: str
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "a", "b")
        generation = (await record(storage)).generation
        match target:
            case "0 bytes":
                path_of(tmp_path, OTHER).write_bytes(b"")
            case "garbage":
                path_of(tmp_path, OTHER).write_bytes(b"#garbage\n")
            case "metadata":
                await storage.update_metadata(OTHER, {"m": 1})
            case "erased":
                await put(storage, "x", "y", key=OTHER)
                await storage.clear(OTHER, erase=True)
        await storage.rename(KEY, OTHER)
        for key in (KEY, OTHER):
            assert await contents(storage, key) == ["a", "b"]
        info = await record(storage, OTHER)
        assert (info.generation, info.turns, info.last_id) == (generation, 2, 2)
        assert info.damaged == (target == "garbage")
        assert info.metadata == ({"m": 1} if target == "metadata" else {})
    assert messages(path_of(tmp_path, OTHER)) == ["a", "b"]
    assert not path_of(tmp_path).exists()


@pytest.mark.parametrize("source", ["0 bytes", "garbage"])
async def test_a_file_that_holds_no_session_does_not_hide_where_its_name_leads(
    tmp_path: Path, source: str
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "a", key=OTHER)
        path_of(tmp_path).write_bytes(b"" if source == "0 bytes" else b"#garbage\n")
        await storage.rename(KEY, OTHER)
        assert await contents(storage) == ["a"]
        assert (await record(storage)).damaged == (source == "garbage")


async def test_a_token_is_in_the_turns_line_and_known_to_the_next_process(tmp_path: Path) -> None:
    given = [user("a", token=f"t{n}") for n in range(2)]
    async with opened(tmp_path) as storage:
        first = await storage.append(KEY, given, dedupe=False)
    async with opened(tmp_path) as storage:
        await put(storage, "b")
        again = await storage.append(KEY, given, dedupe=False)
    assert first is not None
    assert again is not None
    assert (again.turns, again.new) == (first.turns, [True, True])
    assert [line.get("token") for line in lines(path_of(tmp_path))[1:]] == ["t0", "t1", None]


async def test_an_alias_that_is_taken_back_leaves_those_that_led_through_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "a")
        await storage.rename(KEY, OTHER)
        await storage.rename(OTHER, THIRD)
        assert await storage.unlink(OTHER)
        assert not await storage.unlink(OTHER)
        assert not await storage.unlink(THIRD)
        await put(storage, "begins", key=OTHER)
    async with opened(tmp_path) as storage:
        assert await contents(storage, KEY) == await contents(storage, THIRD) == ["a"]
        assert await contents(storage, OTHER) == ["begins"]
        await storage.unlink(KEY)
        await storage.rename(THIRD, KEY)
        assert await contents(storage, KEY) == await contents(storage, THIRD) == ["a"]


async def test_an_alias_that_is_taken_back_does_not_bring_nanobots_file_back(
    tmp_path: Path,
) -> None:
    old = tmp_path / "test_1.jsonl"
    old.write_text('{"role": "user", "content": "from nanobot", "timestamp": "2026-01-01T00:00"}\n')
    async with opened(tmp_path) as storage:
        await storage.rename(KEY, OTHER)
        assert await storage.unlink(KEY)
    async with opened(tmp_path) as storage:
        assert await contents(storage, KEY) == []
        await put(storage, "begins")
        await storage.forget(KEY)
        assert await contents(storage, KEY) == []
        assert await contents(storage, OTHER) == ["from nanobot"]
        await storage.forget(OTHER)
    assert not old.exists()
    async with opened(tmp_path) as storage:
        assert await contents(storage, OTHER) == []


async def test_a_file_whose_time_may_not_be_set_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    async with opened(tmp_path) as storage:
        monkeypatch.setattr(os, "utime", refused)
        await put(storage, "a", "b")
        await storage.edit(KEY, 1, Change(content="A"))
    assert messages(path_of(tmp_path)) == ["A", "b"]


async def test_a_record_has_the_time_of_its_file(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "a", "b")
        for change in (
            lambda: put(storage, "c"),
            lambda: storage.update_metadata(KEY, {"m": 1}),
            lambda: storage.edit(KEY, 1, Change(content="A")),
            lambda: storage.clear(KEY, erase=True),
        ):
            await change()
            info = await record(storage)
            written = path_of(tmp_path).stat().st_mtime_ns // 1000
            assert round(info.updated_at.timestamp() * 1_000_000) == written
            assert (await storage.sessions()).sessions == [info]
