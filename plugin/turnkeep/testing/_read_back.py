"""Stored turns are read and found."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from .._errors import UnsupportedError
from .._records.making import new_turn
from .._records.turn import Turn
from ..storage.base import Change, Storage
from ..storage.words import SNIPPET
from ._hooks import Hooks
from ._lab import Lab, clause
from ._life import NOON
from ._tools import KEY, OTHER, THIRD, info_of, texts, user, users


async def paged(storage: Storage, limit: int, *, newest: bool) -> list[Turn]:
    """Return all turns by their pages, each going on where the one before says it is not done."""
    paged: list[Turn] = []
    edge: dict[str, Any] = {}
    complete = False
    while not complete:
        _, turns, complete = await storage.read(KEY, limit=limit, newest=newest, **edge)
        assert complete or turns, "a page that is not complete has no turn"
        assert len(turns) <= limit
        paged = [*turns, *paged] if newest else [*paged, *turns]
        if turns:
            edge = {"before": turns[0].id} if newest else {"after": turns[-1].id}
    return paged


class ReadContract(Hooks):
    """Stored turns are read and found."""

    # read

    @clause()
    async def test_read_gives_the_turns_between_after_and_before_ascending(self, lab: Lab) -> None:
        storage = lab.storage
        await storage.append(KEY, [user(f"{n}") for n in range(1, 301)])
        for _ in range(2):
            for after, before in ((0, None), (295, None), (0, 4), (100, 104), (299, 2), (0, 999)):
                end = 301 if before is None else min(before, 301)
                expected = [f"{n}" for n in range(after + 1, end)]
                assert await texts(storage, after=after, before=before) == expected
            storage = await lab.again()

    @clause()
    async def test_read_gives_the_newest_of_them_or_the_oldest(self, lab: Lab) -> None:
        storage = lab.storage
        await storage.append(KEY, [user(f"{n}") for n in range(1, 301)])
        for _ in range(2):
            assert await texts(storage, limit=2) == ["299", "300"]
            assert await texts(storage, limit=2, newest=False) == ["1", "2"]
            assert await texts(storage, limit=2, before=100) == ["98", "99"]
            assert await texts(storage, limit=2, after=100, newest=False) == ["101", "102"]
            assert await texts(storage, limit=2, after=299) == ["300"]
            assert await texts(storage, limit=0) == []
            storage = await lab.again()

    @clause()
    async def test_a_read_says_whether_it_reached_the_end(self, lab: Lab) -> None:
        storage = lab.storage
        await storage.append(KEY, users(*"abcde"))
        for _ in range(2):
            selections: list[tuple[dict[str, Any], bool]] = [
                ({}, True),
                ({"limit": 5}, True),
                ({"limit": 4}, False),
                ({"limit": 9}, True),
                ({"limit": 0}, False),
                ({"limit": 2, "after": 3}, True),
                ({"limit": 1, "after": 3}, False),
                ({"limit": 2, "before": 3, "newest": False}, True),
                ({"limit": 1, "before": 3, "newest": False}, False),
                ({"limit": 0, "after": 5}, True),
            ]
            for selection, complete in selections:
                snapshot = await storage.read(KEY, **selection)
                assert snapshot.complete is complete, selection
            storage = await lab.again()
        assert (await storage.read(OTHER, limit=5)).complete

    @clause()
    async def test_pages_that_go_on_until_one_is_complete_have_all_turns(self, lab: Lab) -> None:
        storage = lab.storage
        for start in range(1, 2201, 550):
            await storage.append(KEY, [user(f"{n}") for n in range(start, start + 550)])
        await storage.delete(KEY, range(300, 800))
        storage = await lab.again()
        whole = list((await storage.read(KEY)).turns)
        assert len(whole) == 1700
        for limit in (60, 1100, 5000):
            assert await paged(storage, limit, newest=True) == whole
            assert await paged(storage, limit, newest=False) == whole

    @clause()
    async def test_read_gives_turns_of_any_epoch(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        await lab.storage.clear(KEY)
        await lab.storage.append(KEY, [user("b")])
        assert [turn.epoch for turn in (await lab.storage.read(KEY)).turns] == [1, 2]

    @clause()
    async def test_a_session_that_does_not_exist_has_no_info_and_no_turns(self, lab: Lab) -> None:
        info, turns, complete = await lab.storage.read(KEY, limit=5)
        assert info is None
        assert list(turns) == []
        assert complete

    @clause()
    async def test_the_record_counts_turns_and_ids(self, lab: Lab) -> None:
        storage = lab.storage
        await storage.append(KEY, [user("a"), user("b"), user("c")])
        await storage.delete(KEY, [3])
        for _ in range(2):
            info = await info_of(storage)
            assert (info.key, info.turns, info.last_id, info.epoch) == (KEY, 2, 3, 1)
            assert (info.last_consolidated, info.summary, info.damaged) == (0, None, 0)
            assert (info.revision, info.origins) == (1, ())
            assert info.created_at <= info.updated_at
            storage = await lab.again()

    # find

    @clause()
    async def test_find_gives_the_latest_turn_with_the_source_id(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a", source_id="s"), user("b", source_id="t")])
        await lab.storage.append(KEY, [user("c", source_id=["u", "s"])], dedupe=False)
        found = await lab.storage.find(KEY, "s")
        assert found is not None
        assert found.content == "c"

    @clause()
    async def test_find_gives_a_turn_however_old(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user('"old"', source_id='"s"\n')])
        await lab.storage.append(KEY, [user(f'"s"\n{n}', source_id=f"{n}") for n in range(2500)])
        storage = await lab.again()
        found = await storage.find(KEY, '"s"\n')
        assert found is not None
        assert found.id == 1

    @clause()
    async def test_find_gives_none_for_what_is_only_text(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("s", source_id="t", extra={"source_ids": ["s"]})])
        assert await lab.storage.find(KEY, "s") is None
        assert await lab.storage.find(OTHER, "t") is None

    # find_all

    @clause()
    async def test_find_all_gives_every_turn_with_one_of_the_source_ids_in_all_sessions(
        self, lab: Lab
    ) -> None:
        await lab.storage.append(KEY, [user("a", source_id=["s", "t"]), user("b", source_id="u")])
        await lab.storage.append(KEY, [user("c", source_id="s")], dedupe=False)
        await lab.storage.clear(KEY)
        await lab.storage.append(OTHER, [user("d", source_id="t"), user("s")])
        await lab.storage.append(THIRD, [user("e", source_id="s")])
        storage = await lab.again()
        found = await storage.find_all(["s", "t"])
        assert sorted((key, turn.content) for key, turn in found.turns) == [
            (THIRD, "e"),
            (KEY, "a"),
            (KEY, "c"),
            (OTHER, "d"),
        ]
        assert found.unread == []
        found = await storage.find_all(["s", "t"], prefix="test:")
        assert {key for key, _ in found.turns} == {KEY, OTHER}
        assert await storage.find_all([]) == ([], [])
        assert await storage.find_all(["none"]) == ([], [])

    @clause()
    async def test_find_all_finds_what_was_linked_and_moved_and_not_what_is_gone(
        self, lab: Lab
    ) -> None:
        await lab.storage.append(KEY, users("a", "b"))
        await lab.storage.edit(KEY, 1, Change(link=("linked",)))
        await lab.storage.delete(KEY, [2])
        await lab.storage.append(OTHER, users("c"))
        await lab.storage.rename(KEY, OTHER)
        storage = await lab.again()
        found = await storage.find_all(["linked", "s b"])
        assert [(key, turn.content, turn.id) for key, turn in found.turns] == [(OTHER, "a", 1)]

    @clause("set_clock")
    async def test_find_all_looks_through_sessions_that_were_written_since(self, lab: Lab) -> None:
        lab.set_clock(NOON)
        await lab.storage.append(KEY, [user("a", source_id="s")])
        found = await lab.storage.find_all(["s"], since=NOON - timedelta(seconds=1))
        assert [key for key, _ in found.turns] == [KEY]

    # search

    @clause(capability="search")
    async def test_search_gives_the_turns_with_all_the_words_the_newest_first(
        self, lab: Lab
    ) -> None:
        for hour, (key, text) in enumerate(
            [(KEY, "The cat sat"), (OTHER, "a CAT that sat"), (KEY, "cat"), (KEY, "category sat")]
        ):
            await lab.storage.append(key, [user(text, time=NOON + timedelta(hours=hour))])
        await lab.storage.append(KEY, [user("the cat that sat, hidden", hidden=True)])
        storage = await lab.again()
        hits = await storage.search("sat cat")
        assert [(hit.key, hit.turn.content) for hit in hits] == [
            (OTHER, "a CAT that sat"),
            (KEY, "The cat sat"),
        ]

    @clause(capability="search")
    async def test_search_gives_at_most_as_many_as_the_limit_of_those_with_the_prefix(
        self, lab: Lab
    ) -> None:
        for hour, key in enumerate((KEY, KEY, KEY, OTHER, OTHER)):
            await lab.storage.append(key, [user(f"word {hour}", time=NOON + timedelta(hours=hour))])
        hits = await lab.storage.search("word", prefix=KEY.text, limit=2)
        assert [hit.turn.content for hit in hits] == ["word 2", "word 1"]

    @clause(capability="search")
    async def test_search_goes_by_sender_and_time(self, lab: Lab) -> None:
        for hour, sender in enumerate(("7", "70", "7")):
            turn = user("word", sender=sender, time=NOON + timedelta(hours=hour))
            await lab.storage.append(KEY, [turn])
        await lab.storage.append(KEY, [new_turn("assistant", "word", time=NOON)])
        find = partial(lab.storage.search, "word")
        assert [hit.turn.id for hit in await find(sender_id="7")] == [3, 1]
        assert [hit.turn.id for hit in await find(after=NOON)] == [3, 2]
        assert [hit.turn.id for hit in await find(sender_id="7", after=NOON, limit=1)] == [3]
        assert await find(sender_id="") == []

    @clause(capability="search")
    async def test_a_snippet_is_the_text_around_the_words(self, lab: Lab) -> None:
        text = f"{'before ' * 50}the Needle\nin a haystack{' after' * 50}"
        await lab.storage.append(KEY, [user(text), user("needle")])
        short, long = (hit.snippet for hit in await lab.storage.search("needle"))
        assert short == "needle"
        assert "before the Needle in a haystack after" in long
        assert len(long) <= SNIPPET + 2
        assert long.startswith("…")
        assert long.endswith("…")

    @clause(capability="search")
    async def test_a_text_without_a_word_finds_nothing(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a ? * % b")])
        for text in ("", " ", "?", "*", "%", '"'):
            assert await lab.storage.search(text) == []

    @clause(capability="search")
    async def test_search_finds_no_text_that_was_edited_or_deleted(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("secret one"), user("secret two")])
        await lab.storage.edit(KEY, 1, Change(content="changed"))
        await lab.storage.delete(KEY, [2])
        assert await lab.storage.search("secret") == []
        assert [hit.turn.id for hit in await lab.storage.search("changed")] == [1]

    @clause(capability="search")
    async def test_search_finds_a_turn_while_it_is_not_hidden(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("word one"), user("word two", hidden=True)])
        await lab.storage.change(KEY, {1: Change(hidden=True), 2: Change(hidden=False)})
        assert [hit.turn.id for hit in await lab.storage.search("word")] == [2]
        await lab.storage.edit(KEY, 1, Change(hidden=False))
        assert [hit.turn.id for hit in await lab.storage.search("word")] == [2, 1]

    @clause()
    async def test_search_raises_where_it_is_not_among_the_capabilities(self, lab: Lab) -> None:
        if lab.capabilities.search:
            assert await lab.storage.search("word") == []
        else:
            with pytest.raises(UnsupportedError):
                await lab.storage.search("word")
