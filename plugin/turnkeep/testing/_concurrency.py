"""Verbs that run at the same time."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from ..storage.base import Change
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, info_of, put, texts, user
from ._verbs import IDEMPOTENT, prepare, view


class ConcurrencyContract(Hooks):
    """Verbs that run at the same time."""

    @clause()
    async def test_verbs_of_one_session_take_effect_in_the_order_they_were_first_run(
        self, lab: Lab
    ) -> None:
        await lab.storage.append(KEY, [user("first", source_id="first")])
        storage = await lab.again()
        order = ["first"]

        async def append(number: int) -> None:
            order.append(f"{number}")
            # Some need more than the end of the session, which must not let others pass.
            source_id = f"{number}" if number % 3 == 0 else None
            await storage.append(KEY, [user(f"{number}", source_id=source_id)])

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(append, number)
        assert len(order) == 201
        assert await texts(storage) == order

    @clause()
    async def test_one_source_id_from_many_tasks_at_once_is_stored_once(self, lab: Lab) -> None:
        new: list[bool] = []

        async def receive() -> None:
            appended = await put(lab.storage, KEY, [user("a", source_id="s")])
            new.extend(appended.new)

        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(receive)
        assert sorted(new) == [False] * 29 + [True]
        assert await texts(lab.storage) == ["a"]

    @clause()
    async def test_one_token_from_many_tasks_at_once_is_stored_once(self, lab: Lab) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(lab.storage.append, KEY, [user("a", token="t")])
        assert await texts(lab.storage) == ["a"]

    @clause()
    async def test_changes_of_metadata_at_the_same_time_are_all_kept(self, lab: Lab) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(lab.storage.update_metadata, KEY, {f"{number}": number})
        assert (await info_of(lab.storage)).metadata == {f"{n}": n for n in range(20)}

    @clause()
    async def test_edits_deletes_and_appends_at_the_same_time_lose_nothing(self, lab: Lab) -> None:
        storage = lab.storage
        await storage.append(KEY, [user(f"{n}") for n in range(1, 21)])
        async with anyio.create_task_group() as tasks:
            for turn_id in range(1, 11):
                tasks.start_soon(storage.append, KEY, [user(f"new {turn_id}")])
                tasks.start_soon(storage.edit, KEY, turn_id, Change(content=f"edited {turn_id}"))
                tasks.start_soon(storage.delete, KEY, [turn_id + 10])
        assert sorted(await texts(storage)) == sorted(
            [f"{what} {turn_id}" for turn_id in range(1, 11) for what in ("edited", "new")]
        )
        assert (await info_of(storage)).revision == 20

    @clause()
    async def test_appends_and_a_rename_at_the_same_time_lose_nothing(self, lab: Lab) -> None:
        await put(lab.storage, OTHER, [user("there")])
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(lab.storage.append, KEY, [user(f"{number:02}")])
                if number == 10:
                    tasks.start_soon(lab.storage.rename, KEY, OTHER)
        stored = await texts(lab.storage, OTHER)
        assert sorted(stored) == [*(f"{number:02}" for number in range(20)), "there"]
        turns = (await lab.storage.read(OTHER)).turns
        assert [turn.id for turn in turns] == list(range(1, 22))

    @clause()
    async def test_a_cancelled_verb_has_had_its_whole_effect_or_none(self, lab: Lab) -> None:
        storage = lab.storage
        group = [user("a"), user("b"), user("c")]
        for round in range(24):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(storage.append, KEY, group)
                for _ in range(round % 8):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            if round % 8 == 7:
                storage = await lab.again()
        stored = await texts(storage)
        assert stored == ["a", "b", "c"] * (len(stored) // 3)
        assert len(stored) % 3 == 0
        appended = await put(storage, KEY, [user("after")])
        assert appended.turns[0].id == len(stored) + 1
        assert (await info_of(storage)).turns == len(stored) + 1

    @clause()
    async def test_each_cancelled_change_is_whole_or_not_there(self, lab: Lab) -> None:
        for name, verb in IDEMPOTENT.items():
            for steps in (0, 1, 2, 3, 5, 8):
                await prepare(lab.storage)
                before = await view(lab.storage)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(verb, lab.storage)
                    for _ in range(steps):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                after = await view(lab.storage)
                if after != before:
                    # It was done: to do it once more changes nothing.
                    await verb(lab.storage)
                    assert await view(lab.storage) == after, (name, steps)

    # Reads.

    @clause()
    async def test_a_read_sees_what_was_acknowledged_before_it_began(self, lab: Lab) -> None:
        async def chat(number: int) -> None:
            appended = await put(lab.storage, KEY, [user(f"{number}")])
            snapshot = await lab.storage.read(KEY, after=appended.turns[0].id - 1, limit=1000)
            assert appended.turns[0] in snapshot.turns
            assert snapshot.info is not None
            assert snapshot.info.last_id >= appended.turns[0].id

        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(chat, number)

    @clause()
    async def test_a_read_never_sees_a_part_of_an_append(self, lab: Lab) -> None:
        await put(lab.storage, KEY, [user("a"), user("b"), user("c")])
        done = False

        async def look() -> None:
            while not done:
                assert len(await texts(lab.storage)) % 3 == 0
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            for _ in range(20):
                await put(lab.storage, KEY, [user("a"), user("b"), user("c")])
            done = True

    @clause()
    async def test_a_read_never_sees_a_part_of_a_change(self, lab: Lab) -> None:
        await put(lab.storage, KEY, [user("0"), user("0"), user("0"), user("0")])
        done = False

        async def look() -> None:
            while not done:
                assert len({*await texts(lab.storage)}) == 1
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            for number in range(1, 11):
                change = Change(content=f"{number}")
                await lab.storage.change(KEY, dict.fromkeys(range(1, 5), change))
            done = True

    @clause()
    async def test_the_record_and_the_turns_of_one_answer_are_of_one_moment(self, lab: Lab) -> None:
        await put(lab.storage, KEY, [user("0")])
        done = False

        async def look() -> None:
            while not done:
                info, turns, _ = await lab.storage.read(KEY)
                assert info is not None
                assert info.turns == len(turns)
                assert info.last_id == max((turn.id for turn in turns), default=info.last_id)
                assert all(turn.epoch <= info.epoch for turn in turns)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(look)
            for number in range(1, 15):
                appended = await put(lab.storage, KEY, [user(f"{number}")])
                await lab.storage.delete(KEY, [appended.turns[0].id - 1])
                await lab.storage.clear(KEY)
                await put(lab.storage, KEY, [user("next")])
            done = True

    @clause()
    async def test_the_record_of_an_append_is_of_the_moment_of_its_turns(self, lab: Lab) -> None:
        await put(lab.storage, KEY, [user("0")])

        async def append(number: int) -> None:
            appended = await put(lab.storage, KEY, [user(f"{number}")])
            assert appended.info is not None
            assert appended.info.last_id == appended.turns[0].id
            assert appended.info.turns == appended.turns[0].id

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(append, number)
