"""Several storages over one place, as several processes have them."""

from __future__ import annotations

from ..storage.base import Change
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, THIRD, at_once, expected_of, info_of, keys, put, take, texts, user
from ._verbs import VERBS, prepare, view

SOURCES = [f"s {text}" for text in "abcdefg"]


class SharedContract(Hooks):
    """Several storages over one place, as several processes have them."""

    @clause("second", capability="shared")
    async def test_a_read_sees_what_another_process_acknowledged_before(self, lab: Lab) -> None:
        mine, theirs = lab.storage, await lab.second()
        for name, verb in VERBS.items():
            await prepare(mine)
            # Looking at both before the change fills whatever they may cache.
            for _ in ("before", "after"):
                assert await view(mine) == await view(theirs), name
                assert await mine.claims() == await theirs.claims(), name
                assert await keys(mine) == await keys(theirs), name
                found = await mine.find_all(SOURCES), await theirs.find_all(SOURCES)
                assert len(found[0].turns) == len(found[1].turns), name
                await verb(theirs)

    @clause("second", capability="shared")
    async def test_ids_go_on_where_another_process_wrote_meanwhile(self, lab: Lab) -> None:
        mine, theirs = lab.storage, await lab.second()
        for number in range(6):
            await put((mine, theirs)[number % 2], KEY, [user(f"{number}")])
        turns = (await mine.read(KEY)).turns
        assert [(turn.id, turn.content) for turn in turns] == [(n + 1, f"{n}") for n in range(6)]

    @clause("second", capability="shared")
    async def test_two_writers_at_once_lose_nothing(self, lab: Lab) -> None:
        mine, theirs = lab.storage, await lab.second()
        await at_once(
            *(
                lambda number=number, storage=storage: put(storage, KEY, [user(f"{number:02}")])
                for number in range(40)
                for storage in ((mine, theirs)[number % 2],)
            )
        )
        turns = (await mine.read(KEY)).turns
        assert [turn.id for turn in turns] == list(range(1, 41))
        assert sorted(await texts(theirs)) == [f"{number:02}" for number in range(40)]

    @clause("second", capability="shared")
    async def test_what_two_processes_are_given_at_once_is_stored_once(self, lab: Lab) -> None:
        both = lab.storage, await lab.second()
        await at_once(
            *(
                lambda storage=storage: storage.append(KEY, [user("a", source_id="s")])
                for storage in both * 5
            )
        )
        await at_once(
            *(
                lambda storage=storage: storage.append(KEY, [user("b", token="t")])
                for storage in both * 5
            )
        )
        assert await texts(lab.storage) == ["a", "b"]

    @clause("second", capability="shared")
    async def test_what_one_process_deleted_the_other_one_does_not_know(self, lab: Lab) -> None:
        mine, theirs = lab.storage, await lab.second()
        await put(mine, KEY, [user("a", source_id="s", token="t")])
        for storage in (mine, theirs):
            assert await storage.find(KEY, "s") is not None
        await theirs.delete(KEY, [1])
        assert await mine.find(KEY, "s") is None
        appended = await put(mine, KEY, [user("b", source_id="s")])
        assert (appended.new, appended.turns[0].id) == ([True], 2)

    @clause("second", capability="shared")
    async def test_of_two_changes_decided_on_the_same_state_one_is_made(self, lab: Lab) -> None:
        both = lab.storage, await lab.second()
        await put(lab.storage, KEY, [user("a")])
        expected = await expected_of(lab.storage)
        done = await at_once(
            *(lambda storage=storage: storage.clear(KEY, expected=expected) for storage in both * 4)
        )
        assert done.count(True) == 1
        expected = await expected_of(lab.storage)
        edited = await at_once(
            *(
                lambda storage=storage, n=n: storage.edit(
                    KEY, 1, Change(content=f"{n}"), expected=expected
                )
                for n, storage in enumerate(both * 4)
            )
        )
        assert len([turn for turn in edited if turn]) == 1
        assert (await info_of(lab.storage)).revision == 1

    @clause("second", capability="shared")
    async def test_a_claim_of_one_process_is_seen_by_the_other(self, lab: Lab) -> None:
        mine, theirs = lab.storage, await lab.second()
        assert await theirs.claims() == []
        claim = await take(mine, KEY, "work", "me", payload={"a": 1})
        assert await theirs.claims() == [claim]
        assert await theirs.claim(KEY, "work", owner="you", ttl=1000) is None
        await mine.renew(claim, ttl=0)
        taken = await take(theirs, KEY, "work", "you")
        assert (taken.payload, taken.taken_over) == ({"a": 1}, True)
        assert not await mine.renew(claim, ttl=1000)
        assert not await mine.release(claim)

    @clause("second", capability="shared")
    async def test_an_append_and_a_rename_by_two_processes_lose_nothing(self, lab: Lab) -> None:
        mine, theirs = lab.storage, await lab.second()
        await put(mine, KEY, [user("a")])
        await put(mine, OTHER, [user("b")])
        assert await texts(theirs) == ["a"]
        await at_once(
            lambda: mine.rename(KEY, OTHER),
            *[lambda: put(theirs, KEY, [user("late")]) for _ in range(5)],
        )
        assert sorted(await texts(mine, OTHER)) == ["a", "b", *["late"] * 5]
        assert await texts(theirs, KEY) == await texts(mine, OTHER)
        await theirs.unlink(KEY)
        assert (await mine.read(KEY)).info is None

    @clause("second", capability="shared")
    async def test_one_that_closes_takes_nothing_from_the_other(self, lab: Lab) -> None:
        theirs = await lab.second()
        await put(lab.storage, KEY, [user("a")])
        await put(theirs, OTHER, [user("b")])
        await lab.close_second(theirs)
        await put(lab.storage, KEY, [user("c")])
        assert await texts(lab.storage) == ["a", "c"]
        assert await texts(lab.storage, OTHER) == ["b"]
        assert (await lab.storage.read(THIRD)).info is None
