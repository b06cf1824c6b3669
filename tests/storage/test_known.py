"""A duplicate is known among the latest 1,000 turns, and to look for one does not read them all."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from storage.tools import KEY, messages, opened, path_of, user
from turnkeep import Turn
from turnkeep.storage.base import DEDUPE_TURNS
from turnkeep.storage.jsonl import JsonlStorage, _chats, _search
from turnkeep.storage.jsonl._known import Known
from turnkeep.storage.jsonl._lines import decode_line

pytestmark = pytest.mark.anyio


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let go of every session at once."""
    monkeypatch.setattr(_chats, "MAX_KEPT_BYTES", 1)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Each line that is decoded."""
    lines: list[bytes] = []
    decode = decode_line

    def counted(line: bytes) -> Any:
        lines.append(line)
        return decode(line)

    monkeypatch.setattr("turnkeep.storage.jsonl._read.decode_line", counted)
    return lines


async def filled(storage: JsonlStorage, count: int, name: str = "m{}") -> None:
    turns = [user(f"{n}", source_id=name.format(n)) for n in range(count)]
    for first in range(0, count, 100):
        await storage.append(KEY, turns[first : first + 100])
        if first % 300 == 0:  # metadata lines are no turns
            await storage.update_metadata(KEY, {"n": first})


@pytest.mark.usefixtures("forgetful")
async def test_a_new_message_in_a_chat_that_was_let_go_does_not_decode_a_thousand_turns(
    tmp_path: Path, decoded: list[bytes]
) -> None:
    async with opened(tmp_path) as storage:
        await filled(storage, 3000)
        for number in range(20):
            decoded.clear()
            appended = await storage.append(KEY, [user("new", source_id=f"n{number}")])
            assert appended is not None
            assert appended.new == [True]
            assert len(decoded) < 100


async def test_a_chat_in_use_is_looked_through_a_few_times_and_then_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[int] = []
    search = _search.is_absent

    def counted(*arguments: Any) -> bool:
        searches.append(1)
        return search(*arguments)

    monkeypatch.setattr("turnkeep.storage.jsonl._folder_reader.is_absent", counted)
    async with opened(tmp_path) as storage:
        await filled(storage, 1500)
    async with opened(tmp_path) as storage:
        for number in [*range(3 * _chats.SEARCHES)] * 2:
            await storage.append(KEY, [user("new", source_id=f"n{number}")])
    assert len(searches) == _chats.SEARCHES
    assert messages(path_of(tmp_path)).count("new") == 3 * _chats.SEARCHES


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("block", [64, 1000, _search.BLOCK])
@pytest.mark.parametrize("name", ["{}", "a:{}:b", "é{}", "a/{}", 'a"{}', "a\\{}", "{}\n"])
async def test_a_message_of_the_latest_thousand_turns_is_known_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, block: int
) -> None:
    monkeypatch.setattr(_search, "BLOCK", block)
    async with opened(tmp_path) as storage:
        await filled(storage, 1200, name)
        for number in (200, 201, 700, *Random(0).sample(range(200, 1200), 3), 1199):
            again = await storage.append(KEY, [user("again", source_id=name.format(number))])
            assert again is not None
            assert (again.new, again.turns[0].content) == ([False], f"{number}")
        both = [user("one", source_id=name.format("x")), user("two", source_id=name.format("x"))]
        added = await storage.append(KEY, both)
        assert added is not None
        assert (added.new, {turn.id for turn in added.turns}) == ([True, False], {1201})
    assert len(messages(path_of(tmp_path))) == 1201


@pytest.mark.usefixtures("forgetful")
async def test_a_message_that_another_program_wrote_with_escapes_is_known(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await filled(storage, 200, "é/{}")
    lines = [json.loads(line) for line in path_of(tmp_path).read_text("utf-8").splitlines()]
    path_of(tmp_path).write_text("".join(json.dumps(line) + "\n" for line in lines))
    async with opened(tmp_path) as storage:
        again = await storage.append(KEY, [user("again", source_id="é/7")])
        assert again is not None
        assert again.turns[0].content == "7"


def long(count: int, name: str = "t") -> list[Turn]:
    return [user(f"{n}", token=f"{name}-{n}") for n in range(count)]


async def test_an_append_of_20000_turns_is_stored_once_under_its_tokens(tmp_path: Path) -> None:
    given = long(20_000)
    async with opened(tmp_path) as storage:
        await filled(storage, 1500)
        first = await storage.append(KEY, given)
        assert first is not None
        await filled(storage, 900, "after {}")
        again = await storage.append(KEY, given)
        assert again is not None
        assert again[:2] == first[:2]
    async with opened(tmp_path) as storage:
        again = await storage.append(KEY, given)
        assert again is not None
        assert again[:2] == first[:2]
    assert len(messages(path_of(tmp_path))) == 22_400


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.62, 0.99, 1.0])
async def test_a_long_append_that_was_torn_anywhere_is_stored_whole_by_a_retry(
    tmp_path: Path, part: float
) -> None:
    given, path = long(2500), path_of(tmp_path)
    async with opened(tmp_path) as storage:
        await filled(storage, 100)
    begun = path.stat().st_size
    async with opened(tmp_path) as storage:
        first = await storage.append(KEY, given)
    data = path.read_bytes()
    path.write_bytes(data[: begun + int((len(data) - begun) * part)])
    for _ in range(2):
        async with opened(tmp_path) as storage:
            again = await storage.append(KEY, given)
            assert first is not None
            assert again is not None
            assert again.new == first.new
    texts = messages(path)
    assert texts[100:] == [turn.content for turn in given]


async def test_the_latest_thousand_turns_are_known_where_others_between_them_were_deleted(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as storage:
        await filled(storage, 4000)
        await storage.delete(KEY, [id for id in range(1, 4001) if id % 4])
    for later in (0, 300, 600):
        async with opened(tmp_path) as storage:
            if later:
                await filled(storage, 300, f"{later} " + "{}")
            for number in (4 * (later + 1) - 1, 3999):  # the oldest of the latest thousand
                again = await storage.append(KEY, [user("again", source_id=f"m{number}")])
                assert again is not None
                assert (again.new, again.turns[0].content) == ([False], f"{number}")


async def test_a_new_append_reads_no_more_than_a_thousand_turns_however_long_it_is(
    tmp_path: Path, decoded: list[bytes]
) -> None:
    async with opened(tmp_path) as storage:
        await storage.append(KEY, long(5000))
    for count in (5, 3000):
        async with opened(tmp_path) as storage:
            decoded.clear()
            await storage.append(KEY, long(count, f"new {count}"))
            assert len(decoded) < DEDUPE_TURNS + 20


def test_what_is_known_is_let_go_of_a_thousand_turns_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    discarded: list[int] = []
    discard = Known.discard

    def counted(self: Known, ids: Any) -> None:
        discarded.append(len(ids))
        discard(self, ids)

    monkeypatch.setattr(Known, "discard", counted)
    known = Known()
    for number in range(1, 10 * DEDUPE_TURNS):
        turn = user("x", source_id=[f"{number}", f"{number} again"])
        known.add(replace(turn, id=number))
        known.trim(number)
        assert known.entries >= 2 * min(number, DEDUPE_TURNS)
        assert known.entries <= 4 * DEDUPE_TURNS + 2
    assert len(discarded) <= 9
