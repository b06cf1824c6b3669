"""Sessions renamed."""

from __future__ import annotations

from itertools import pairwise

import anyio
import anyio.lowlevel

from .._records.key import SessionKey
from .._records.making import new_turn
from ..storage.base import Change, Expected, Storage
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, THIRD, expected_of, info_of, keys, put, state, take, texts, user


async def _two_sessions(storage: Storage) -> None:
    """Store an old session of three turns and two epochs, and a new one of two turns."""
    await storage.append(KEY, [user("old 1"), user("old 2")])
    await storage.clear(KEY)
    await storage.append(KEY, [user("old 3")])
    await storage.update_metadata(KEY, {"a": "old", "b": "old"})
    answer = new_turn("assistant", "new 2", answers=1, also_answers=(1,))
    await storage.append(OTHER, [user("new 1", source_id="s"), answer])
    await storage.update_metadata(OTHER, {"b": "new"})


class RenameContract(Hooks):
    """Sessions renamed."""

    # rename

    @clause()
    async def test_rename_moves_a_session_and_each_verb_given_the_alias_means_the_new_key(
        self, lab: Lab
    ) -> None:
        storage = lab.storage
        await storage.append(KEY, [user("a", source_id="s")])
        await storage.rename(KEY, OTHER)
        for _ in range(2):
            for key in (KEY, OTHER):
                assert (await info_of(storage, key)).key == OTHER
                assert await texts(storage, key) == ["a"]
                assert await storage.find(key, "s") is not None
            storage = await lab.again()
        await storage.append(KEY, [user("b")])
        await storage.edit(KEY, 1, Change(content="A"))
        await storage.update_metadata(KEY, {"m": 1})
        await storage.consolidate(KEY, 1, "sum", expected=await expected_of(storage))
        await storage.clear(KEY)
        await storage.append(OTHER, [user("c")])
        assert [turn.id for turn in await storage.delete(KEY, [2])] == [2]
        assert await texts(storage, OTHER) == ["A", "c"]
        info = await info_of(storage, OTHER)
        assert (info.epoch, info.metadata, info.last_consolidated) == (2, {"m": 1}, 1)
        claim = await take(storage, KEY, "work", "me")
        assert claim.key == OTHER
        assert await storage.claims(key=OTHER) == await storage.claims(key=KEY) == [claim]

    @clause()
    async def test_a_session_that_only_moves_keeps_its_generation(self, lab: Lab) -> None:
        appended = await put(lab.storage, KEY, [user("a")])
        before = await info_of(lab.storage)
        await lab.storage.rename(KEY, OTHER)
        storage = await lab.again()
        info, turns, _ = await storage.read(OTHER)
        assert info is not None
        assert (info.generation, info.revision, info.origins) == (before.generation, 0, ())
        assert list(turns) == appended.turns

    @clause()
    async def test_renaming_again_does_nothing(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        await lab.storage.append(OTHER, [user("b")])
        await lab.storage.rename(KEY, OTHER)
        before = await state(lab.storage)
        await lab.storage.rename(KEY, OTHER)
        await lab.storage.rename(OTHER, OTHER)
        assert await state(lab.storage) == before

    @clause()
    async def test_renaming_back_moves_the_session_back(self, lab: Lab) -> None:
        storage = lab.storage
        await storage.append(KEY, [user("a", source_id="s")])
        await take(storage, KEY, "work", "me")
        before = await info_of(storage)
        for _ in range(2):
            await storage.rename(KEY, OTHER)
            await storage.rename(OTHER, THIRD)
            await storage.rename(KEY, KEY)
            storage = await lab.again()
            info = await info_of(storage, OTHER)
            assert (info.key, info.generation, info.last_id) == (KEY, before.generation, 1)
            assert await keys(storage) == [KEY]
            for key in (KEY, OTHER, THIRD):
                assert await texts(storage, key) == ["a"]
            assert [claim.key for claim in await storage.claims()] == [KEY]
        assert await storage.unlink(KEY) is False
        assert await storage.unlink(THIRD) is True
        await storage.forget(KEY)
        assert (await storage.read(KEY)).info is None
        await storage.append(OTHER, [user("b")])
        assert (await info_of(storage, KEY)).key == KEY

    @clause()
    async def test_renaming_back_what_does_not_exist_turns_the_alias(self, lab: Lab) -> None:
        await lab.storage.rename(KEY, OTHER)
        await lab.storage.rename(OTHER, KEY)
        storage = await lab.again()
        await storage.append(OTHER, [user("a")])
        assert (await info_of(storage, OTHER)).key == KEY
        assert await keys(storage) == [KEY]

    @clause()
    async def test_where_both_have_turns_the_old_become_earlier_epochs_of_the_new(
        self, lab: Lab
    ) -> None:
        storage = lab.storage
        await _two_sessions(storage)
        await storage.consolidate(OTHER, 1, "sum", expected=await expected_of(storage, OTHER))
        await storage.rename(KEY, OTHER)
        for _ in range(2):
            info, turns, _ = await storage.read(OTHER)
            assert [(turn.id, turn.epoch, turn.content, turn.answers) for turn in turns] == [
                (1, 1, "old 1", None),
                (2, 1, "old 2", None),
                (3, 2, "old 3", None),
                (4, 3, "new 1", None),
                (5, 3, "new 2", 4),
            ]
            assert turns[-1].also_answers == (4,)
            assert info is not None
            assert (info.turns, info.last_id, info.epoch) == (5, 5, 3)
            assert (info.last_consolidated, info.summary) == (4, "sum")
            assert info.metadata == {"a": "old", "b": "new"}
            found = await storage.find(KEY, "s")
            assert found is not None
            assert found.id == 4
            storage = await lab.again()

    @clause()
    async def test_a_merge_begins_a_generation(self, lab: Lab) -> None:
        await _two_sessions(lab.storage)
        before = {(await info_of(lab.storage, key)).generation for key in (KEY, OTHER)}
        await lab.storage.rename(KEY, OTHER)
        storage = await lab.again()
        info, turns, _ = await storage.read(OTHER)
        assert info is not None
        assert info.generation not in {"", *before}
        assert {turn.generation for turn in turns} == {info.generation}
        for generation in before:
            expected = Expected(generation)
            assert await storage.append(OTHER, [user("late")], expected=expected) is None

    @clause()
    async def test_the_origins_of_a_merged_session_say_where_each_turn_is(self, lab: Lab) -> None:
        await _two_sessions(lab.storage)
        await lab.storage.append(THIRD, [user("third")])
        looked_up = {
            turn.content: turn.ref
            for key in (KEY, OTHER, THIRD)
            for turn in (await lab.storage.read(key)).turns
        }
        await lab.storage.rename(KEY, OTHER)
        await lab.storage.rename(OTHER, THIRD)
        storage = await lab.again()
        info, turns, _ = await storage.read(THIRD)
        assert info is not None
        assert len(turns) == 6
        for turn in turns:
            assert info.place(looked_up[turn.content]) == turn.id, turn.content

    @clause()
    async def test_where_one_has_no_turns_the_other_one_goes_on_in_its_generation(
        self, lab: Lab
    ) -> None:
        for old, new, erased in (
            (KEY, OTHER, False),
            (OTHER, KEY, False),
            (KEY, OTHER, True),
            (OTHER, KEY, True),
        ):
            await lab.storage.append(KEY, [user("a"), user("b")])
            await lab.storage.update_metadata(OTHER, {"m": 1})
            if erased:
                await lab.storage.append(OTHER, [user("gone") for _ in range(9)])
                await lab.storage.clear(OTHER, erase=True)
            before = await info_of(lab.storage)
            await lab.storage.rename(old, new)
            info = await info_of(lab.storage, new)
            assert (info.generation, info.epoch, info.last_id) == (before.generation, 1, 2)
            assert (info.key, info.metadata, info.turns) == (new, {"m": 1}, 2)
            assert await texts(lab.storage, old) == ["a", "b"]
            assert (await put(lab.storage, old, [user("c")])).turns[0].id == 3
            await lab.storage.forget(old)

    @clause()
    async def test_a_chain_of_renames_leads_to_the_last_key(self, lab: Lab) -> None:
        chain = [SessionKey("test", number) for number in range(25)]
        await lab.storage.append(chain[0], [user("a")])
        for old, new in pairwise(chain):
            await lab.storage.rename(old, new)
        storage = await lab.again()
        assert await texts(storage, chain[0]) == ["a"]

    @clause()
    async def test_renaming_what_does_not_exist_leaves_an_alias(self, lab: Lab) -> None:
        await lab.storage.rename(KEY, OTHER)
        assert (await lab.storage.read(OTHER)).info is None
        await lab.storage.append(KEY, [user("a")])
        assert (await info_of(lab.storage, OTHER)).key == OTHER

    @clause()
    async def test_claims_move_along_and_that_of_the_new_key_stays(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        moved = await take(lab.storage, KEY, "moved", "me", payload={"a": 1})
        old = await take(lab.storage, KEY, "both", "old")
        new = await take(lab.storage, OTHER, "both", "new")
        await lab.storage.rename(KEY, OTHER)
        storage = await lab.again()
        claims = {claim.name: claim for claim in await storage.claims(key=OTHER)}
        assert {name: claim.owner for name, claim in claims.items()} == {
            "moved": "me",
            "both": "new",
        }
        assert claims["moved"].key == OTHER
        assert claims["moved"].payload == {"a": 1}
        assert await storage.renew(moved, ttl=1000)
        assert not await storage.release(old)
        assert await storage.release(new)

    @clause()
    async def test_a_reader_sees_a_rename_done_or_not_begun(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user(f"{n}") for n in range(2500)])
        await lab.storage.append(OTHER, [user(f"{n}") for n in range(2500)])
        seen: set[tuple[int, int]] = set()

        async def look() -> None:
            while True:
                old = await lab.storage.read(KEY)
                new = await lab.storage.read(OTHER)
                for info, turns, _ in (old, new):
                    assert info is not None
                    assert info.turns == len(turns)
                    assert {turn.generation for turn in turns} == {info.generation}
                seen.add((len(old.turns), len(new.turns)))
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            await anyio.lowlevel.checkpoint()
            await lab.storage.rename(KEY, OTHER)
            tasks.cancel_scope.cancel()
        # Between its two reads the rename may have been done.
        assert seen <= {(2500, 2500), (2500, 5000), (5000, 5000)}

    @clause()
    async def test_changes_during_a_rename_take_effect_after_it(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user(f"{n}") for n in range(2500)])
        await lab.storage.append(OTHER, [user(f"{n}") for n in range(2500)])
        renaming = anyio.Event()
        appended = None

        async def rename() -> None:
            renaming.set()
            await lab.storage.rename(KEY, OTHER)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rename)
            await renaming.wait()
            appended = await put(lab.storage, KEY, [user("late")])
        assert appended is not None
        assert appended.turns[0].id == 5001
        assert (await texts(lab.storage, OTHER, limit=1)) == ["late"]

    @clause()
    async def test_a_long_session_that_is_merged_does_not_hold_up_the_others(
        self, lab: Lab
    ) -> None:
        for key in (KEY, OTHER):
            for _ in range(5):
                await lab.storage.append(key, [user("a", answers=1) for _ in range(2000)])
        steps = cost = 0

        async def others() -> None:
            nonlocal steps
            while True:
                steps += 1
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(others)
            await anyio.lowlevel.checkpoint()
            cost = await lab.cost(lab.storage.rename(KEY, OTHER))
            tasks.cancel_scope.cancel()
        assert (await info_of(lab.storage, OTHER)).turns == 20_000
        # Where a merge moves no turn, it is over before many steps.
        stands_still = steps < 10 and cost > 2000
        assert not stands_still, "the event loop stood still while 20,000 turns were merged"
