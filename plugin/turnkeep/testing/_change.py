"""Turns edited and deleted."""

from __future__ import annotations

import anyio

from .._records.making import new_turn
from ..storage.base import Change
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, info_of, put, state, texts, user


class ChangeContract(Hooks):
    """Turns edited and deleted."""

    # edit

    @clause()
    async def test_edit_applies_the_change_and_returns_the_turn(self, lab: Lab) -> None:
        storage = lab.storage
        await storage.append(KEY, [user("a"), user("b", source_id="s"), user("c")])
        change = Change(content="much longer than b", extra={"x": 1}, link=("s", "t"))
        edited = await storage.edit(KEY, 2, change)
        assert edited is not None
        assert (edited.id, edited.content, edited.extra) == (2, "much longer than b", {"x": 1})
        assert edited.source_ids == ("s", "t")
        for _ in range(2):
            assert (await storage.read(KEY)).turns[1] == edited
            assert await texts(storage) == ["a", "much longer than b", "c"]
            storage = await lab.again()

    @clause()
    async def test_a_field_that_is_unset_stays_in_an_edit(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a", extra={"x": 1}, token="t")])
        edited = await lab.storage.edit(KEY, 1, Change(link=("s",)))
        assert edited is not None
        assert (edited.content, edited.extra, edited.source_ids) == ("a", {"x": 1}, ("s",))
        assert edited.token == "t"

    @clause()
    async def test_a_source_id_that_was_linked_is_found_and_known(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        await lab.storage.edit(KEY, 1, Change(link=("s",)))
        found = await lab.storage.find(KEY, "s")
        appended = await put(lab.storage, KEY, [user("again", source_id="s")])
        assert found is not None
        assert (found.id, appended.new) == (1, [False])

    @clause()
    async def test_edit_gives_none_where_there_is_no_such_turn(self, lab: Lab) -> None:
        assert await lab.storage.edit(KEY, 1, Change(content="x")) is None
        assert (await lab.storage.read(KEY)).info is None
        await lab.storage.append(KEY, [user("a")])
        assert await lab.storage.edit(KEY, 2, Change(content="x")) is None

    @clause()
    async def test_a_change_that_changes_nothing_writes_nothing(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a", source_id="s")])
        before = await state(lab.storage)
        await anyio.sleep(0.015)
        change = Change(content="a", extra={}, link=("s",))
        assert await lab.storage.edit(KEY, 1, change) is not None
        assert await state(lab.storage) == before

    @clause()
    async def test_true_is_not_1_in_an_edit(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a", extra={"x": 1, "y": [0]})])
        for extra in ({"x": True, "y": [0]}, {"x": True, "y": [False]}, {"x": 1.5, "y": [0]}):
            await lab.storage.edit(KEY, 1, Change(extra=extra))
            storage = await lab.again()
            (turn,) = (await storage.read(KEY)).turns
            assert repr(turn.extra) == repr(extra)
        assert (await info_of(lab.storage)).revision == 3

    @clause()
    async def test_a_change_of_a_turn_raises_the_revision_by_one(self, lab: Lab) -> None:
        storage = lab.storage
        await storage.append(KEY, [user("a"), user("b")])
        assert (await info_of(storage)).revision == 0
        for revision, change in enumerate(
            (Change(content="x"), Change(extra={"y": 1}), Change(link=("s",))), 1
        ):
            await storage.edit(KEY, 1, change)
            assert (await info_of(storage)).revision == revision
        storage = await lab.again()
        assert (await info_of(storage)).revision == 3

    @clause()
    async def test_nothing_but_a_change_of_a_turn_raises_the_revision(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a", source_id="s")])
        await lab.storage.append(KEY, [user("b", source_id="s"), user("c")])
        await lab.storage.edit(KEY, 9, Change(content="x"))
        await lab.storage.edit(KEY, 1, Change(content="a", link=("s",)))
        await lab.storage.delete(KEY, [9])
        await lab.storage.delete(KEY, [])
        await lab.storage.update_metadata(KEY, {"a": 1})
        await lab.storage.clear(KEY)
        assert (await info_of(lab.storage)).revision == 0

    # delete

    @clause()
    async def test_delete_takes_turns_away_and_returns_those_there_were_ascending(
        self, lab: Lab
    ) -> None:
        await lab.storage.append(KEY, [user(f"{n}") for n in range(1, 6)])
        gone = await lab.storage.delete(KEY, [4, 9, 2])
        assert [turn.content for turn in gone] == ["2", "4"]
        assert await lab.storage.delete(KEY, [4]) == []
        assert await lab.storage.delete(KEY, []) == []
        assert await lab.storage.delete(OTHER, [1]) == []
        storage = await lab.again()
        assert await texts(storage) == ["1", "3", "5"]

    @clause()
    async def test_a_deletion_raises_the_revision_by_one(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a"), user("b"), user("c")])
        await lab.storage.delete(KEY, [1, 3])
        assert (await info_of(lab.storage)).revision == 1

    @clause()
    async def test_a_deleted_turns_id_is_not_used_again(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a"), user("b")])
        await lab.storage.delete(KEY, [1, 2])
        storage = await lab.again()
        appended = await put(storage, KEY, [user("c")])
        assert appended.turns[0].id == 3

    @clause()
    async def test_a_deleted_turns_source_id_may_be_used_again(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a", source_id="s")])
        await lab.storage.delete(KEY, [1])
        assert await lab.storage.find(KEY, "s") is None
        assert await lab.storage.find_all(["s"]) == ([], [])
        appended = await put(lab.storage, KEY, [user("b", source_id="s")])
        assert appended.new == [True]

    # change

    @clause()
    async def test_change_edits_and_deletes_several_turns(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user(f"{n}", source_id=f"s {n}") for n in range(1, 7)])
        changes = {9: None, 5: Change(content="five"), 2: None, 3: Change(), 1: Change(link=("t",))}
        there = await lab.storage.change(KEY, changes)
        assert [turn.content for turn in there] == ["1", "2", "3", "five"]
        assert there[0].source_ids == ("s 1", "t")
        storage = await lab.again()
        left = list((await storage.read(KEY)).turns)
        assert [turn.content for turn in left] == ["1", "3", "4", "five", "6"]
        assert [turn for turn in there if turn.id != 2] == [left[0], left[1], left[3]]
        assert await storage.find(KEY, "s 2") is None
        assert await storage.find(KEY, "t") == left[0]

    @clause()
    async def test_change_hides_and_shows_turns_and_says_what_they_answer(self, lab: Lab) -> None:
        storage = lab.storage
        await storage.append(KEY, [user("a"), user("b"), user("c", hidden=True)])
        one = Change(hidden=True, variant="1", answers=1)
        there = await storage.change(KEY, {2: one, 3: Change(hidden=False, variant="2")})
        for _ in range(2):
            turns = [*(await storage.read(KEY)).turns]
            assert [turn.hidden for turn in turns] == [False, True, False]
            assert [turn.variant for turn in turns] == ["", "1", "2"]
            assert [turn.answers for turn in turns] == [None, 1, None]
            assert there == turns[1:]
            storage = await lab.again()

    @clause()
    async def test_change_sets_what_a_model_said_beside_its_text(self, lab: Lab) -> None:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        said = new_turn("assistant", "both", tool_calls=[call], shape="x", items=[{"part": 0}])
        await lab.storage.append(KEY, [user("q"), said])
        left = new_turn("assistant", "one", shape="y", items=[{"item": {"n": 1}}])
        (there,) = await lab.storage.change(KEY, {2: Change.to_what(left)})
        storage = await lab.again()
        assert [*(await storage.read(KEY)).turns][1] == there
        made = there.content, there.tool_calls, there.shape, there.items
        assert made == ("one", None, "y", [{"item": {"n": 1}}])

    @clause()
    async def test_changes_of_several_turns_raise_the_revision_by_one(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a"), user("b"), user("c")])
        await lab.storage.change(KEY, {1: Change(content="x"), 2: None, 3: Change(extra={"y": 1})})
        info = await info_of(lab.storage)
        assert (info.revision, info.turns, info.last_id) == (1, 2, 3)

    @clause()
    async def test_changes_that_change_nothing_write_nothing(self, lab: Lab) -> None:
        assert await lab.storage.change(KEY, {1: None, 2: Change(content="x")}) == []
        await lab.storage.append(KEY, [user("a"), user("b")])
        before = await state(lab.storage)
        await anyio.sleep(0.015)
        there = await lab.storage.change(KEY, {1: Change(content="a"), 2: Change(), 3: None})
        assert [turn.content for turn in there] == ["a", "b"]
        assert await lab.storage.change(KEY, {}) == []
        assert await state(lab.storage) == before
