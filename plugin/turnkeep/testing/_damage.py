"""Damaged places cost nothing but themselves."""

from __future__ import annotations

from ._hooks import Hooks
from ._lab import Lab, clause
from ._read_back import paged
from ._sessions import ORDERS
from ._tools import KEY, OTHER, THIRD, info_of, keys, put, texts, user, users


class DamageContract(Hooks):
    """Damaged places cost nothing but themselves."""

    @clause("damage")
    async def test_a_damaged_turn_never_makes_a_reader_raise_and_is_counted(self, lab: Lab) -> None:
        await put(lab.storage, KEY, users(*"abcde"))
        storage = await lab.damage(KEY, 3)
        assert await texts(storage) == ["a", "b", "d", "e"]
        assert (await storage.read(KEY)).complete
        assert (await info_of(storage)).damaged == 1
        assert await storage.find(KEY, "s c") is None
        found = await storage.find_all(["s a", "s c", "s e"])
        assert [turn.content for _, turn in found.turns] == ["a", "e"]

    @clause("damage")
    async def test_a_damaged_turn_costs_neither_the_turns_behind_it_nor_the_pages_after_it(
        self, lab: Lab
    ) -> None:
        await put(lab.storage, KEY, [user(f"{n}") for n in range(1, 41)])
        damaged = (1, 10, 11, 12, 13, 14, 15, 38, 39, 40)
        storage = await lab.damage(KEY, *damaged)
        left = [n for n in range(1, 41) if n not in damaged]
        for limit in (1, 3, 7, 30, 50):
            for newest in (True, False):
                pages = await paged(storage, limit, newest=newest)
                assert [turn.id for turn in pages] == left, (limit, newest)

    @clause("damage")
    async def test_a_session_with_a_damaged_turn_goes_on(self, lab: Lab) -> None:
        await put(lab.storage, KEY, users("a", "b"))
        storage = await lab.damage(KEY, 2)
        appended = await put(storage, KEY, users("c"))
        assert (appended.turns[0].id, appended.new) == (3, [True])
        storage = await lab.again()
        assert await texts(storage) == ["a", "c"]
        assert (await info_of(storage)).damaged == 1

    @clause("block")
    async def test_find_all_names_a_session_that_can_not_be_read_and_looks_through_the_rest(
        self, lab: Lab
    ) -> None:
        for key in (THIRD, KEY, OTHER):
            await put(lab.storage, key, [user("a", source_id="s")])
        storage = await lab.block(KEY)
        found = await storage.find_all(["s"])
        assert sorted(key for key, _ in found.turns) == [THIRD, OTHER]
        assert found.unread == [KEY]
        found = await storage.find_all(["s"], prefix=OTHER.text)
        assert ([key for key, _ in found.turns], found.unread) == ([OTHER], [])

    @clause("block")
    async def test_a_session_that_can_not_be_read_is_left_out_of_the_list(self, lab: Lab) -> None:
        for key in (THIRD, KEY, OTHER):
            await put(lab.storage, key, users("a"))
        storage = await lab.block(KEY)
        for order in ORDERS:
            assert sorted(await keys(storage, order=order)) == [THIRD, OTHER]
            page, complete = await storage.sessions(limit=2, order=order)
            assert (len(page), complete) == (2, True)
