"""Opening, closing, and verbs that run at the same time."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest

from ..storage.base import Change, Storage
from ._base import KEY, ContractBase, info_of, put, texts, user


class LifeContract(ContractBase):
    """Opening, closing, and verbs that run at the same time."""

    # Life.

    def test_the_constructor_does_no_io(self, tmp_path: Path) -> None:
        before = sorted(tmp_path.iterdir())
        self.make_storage(tmp_path)
        assert sorted(tmp_path.iterdir()) == before

    @pytest.mark.anyio
    async def test_closing_stores_all_that_was_accepted(self, storage: Storage) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(storage.append, KEY, [user(f"{number:02}")])
        await storage.aclose()
        await storage.open()
        assert sorted(await texts(storage)) == [f"{number:02}" for number in range(50)]

    @pytest.mark.anyio
    async def test_it_may_be_opened_again_after_closing(self, storage: Storage) -> None:
        await storage.append(KEY, [user("one")])
        await storage.aclose()
        await storage.open()
        await storage.append(KEY, [user("two")])
        assert await texts(storage) == ["one", "two"]

    @pytest.mark.anyio
    async def test_another_storage_in_the_same_place_finds_what_this_one_stored(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        stored = await put(storage, KEY, [user("kept", source_id="s", sender="me")])
        await storage.update_metadata(KEY, {"a": [1, {"b": None}]})
        await storage.consolidate(KEY, 1, "so far", epoch=(await info_of(storage)).epoch_id)
        before = await info_of(storage)
        await storage.aclose()
        later = self.make_storage(tmp_path) if self.survives else storage
        await later.open()
        try:
            after, turns = await later.read(KEY)
        finally:
            await later.aclose()
        await storage.open()
        assert list(turns) == stored.turns
        assert after is not None
        assert msgspec.structs.replace(after, updated_at=before.updated_at) == before

    # Concurrency.

    @pytest.mark.anyio
    async def test_verbs_of_one_session_take_effect_in_the_order_they_were_first_run(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user("first", source_id="first")])
        storage = await self.again(storage, tmp_path)
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

    @pytest.mark.anyio
    async def test_one_source_id_from_many_tasks_at_once_is_stored_once(
        self, storage: Storage
    ) -> None:
        new: list[bool] = []

        async def receive() -> None:
            appended = await put(storage, KEY, [user("a", source_id="s")])
            new.extend(appended.new)

        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(receive)
        assert sorted(new) == [False] * 29 + [True]
        assert await texts(storage) == ["a"]

    @pytest.mark.anyio
    async def test_changes_of_metadata_at_the_same_time_are_all_kept(
        self, storage: Storage
    ) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(storage.update_metadata, KEY, {f"{number}": number})
        assert (await info_of(storage)).metadata == {f"{n}": n for n in range(20)}

    @pytest.mark.anyio
    async def test_edits_deletes_and_appends_at_the_same_time_lose_nothing(
        self, storage: Storage
    ) -> None:
        await storage.append(KEY, [user(f"{n}") for n in range(1, 21)])
        async with anyio.create_task_group() as tasks:
            for turn_id in range(1, 11):
                tasks.start_soon(storage.append, KEY, [user(f"new {turn_id}")])
                tasks.start_soon(storage.edit, KEY, turn_id, Change(content=f"edited {turn_id}"))
                tasks.start_soon(storage.delete, KEY, [turn_id + 10])
        assert sorted(await texts(storage)) == sorted(
            [f"{what} {turn_id}" for turn_id in range(1, 11) for what in ("edited", "new")]
        )

    @pytest.mark.anyio
    async def test_a_cancelled_verb_has_had_its_whole_effect_or_none(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        group = [user("a"), user("b"), user("c")]
        for round in range(24):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(storage.append, KEY, group)
                for _ in range(round % 8):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            if round % 8 == 7:
                storage = await self.again(storage, tmp_path)
        stored = await texts(storage)
        assert stored == ["a", "b", "c"] * (len(stored) // 3)
        info = await info_of(storage)
        assert info.turns == info.last_id == len(stored)
        appended = await put(storage, KEY, [user("after")])
        assert appended.turns[0].id == len(stored) + 1
