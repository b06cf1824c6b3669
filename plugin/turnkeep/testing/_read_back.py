"""What is stored is read, and found."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..storage.base import Storage
from ._base import KEY, OTHER, ContractBase, info_of, texts, user


class ReadContract(ContractBase):
    """What is stored is read, and found."""

    # read

    @pytest.mark.anyio
    async def test_read_gives_the_turns_between_after_and_before_ascending(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user(f"{n}") for n in range(1, 301)])
        for _ in range(2):
            for after, before in ((0, None), (295, None), (0, 4), (100, 104), (299, 2), (0, 999)):
                end = 301 if before is None else min(before, 301)
                expected = [f"{n}" for n in range(after + 1, end)]
                assert await texts(storage, after=after, before=before) == expected
            storage = await self.again(storage, tmp_path)

    @pytest.mark.anyio
    async def test_read_gives_the_newest_of_them_or_the_oldest(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user(f"{n}") for n in range(1, 301)])
        for _ in range(2):
            assert await texts(storage, limit=2) == ["299", "300"]
            assert await texts(storage, limit=2, newest=False) == ["1", "2"]
            assert await texts(storage, limit=2, before=100) == ["98", "99"]
            assert await texts(storage, limit=2, after=100, newest=False) == ["101", "102"]
            assert await texts(storage, limit=2, after=299) == ["300"]
            assert await texts(storage, limit=0) == []
            storage = await self.again(storage, tmp_path)

    @pytest.mark.anyio
    async def test_read_gives_turns_of_any_epoch(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a")])
        await storage.clear(KEY)
        await storage.append(KEY, [user("b")])
        assert [turn.epoch for turn in (await storage.read(KEY)).turns] == [1, 2]

    @pytest.mark.anyio
    async def test_a_session_that_does_not_exist_has_no_info_and_no_turns(
        self, storage: Storage
    ) -> None:
        info, turns = await storage.read(KEY, limit=5)
        assert info is None
        assert list(turns) == []

    @pytest.mark.anyio
    async def test_the_record_counts_turns_and_ids(self, storage: Storage, tmp_path: Path) -> None:
        await storage.append(KEY, [user("a"), user("b"), user("c")])
        await storage.delete(KEY, [3])
        for _ in range(2):
            info = await info_of(storage)
            assert (info.key, info.turns, info.last_id, info.epoch) == (KEY, 2, 3, 1)
            assert (info.last_consolidated, info.summary, info.damaged) == (0, None, 0)
            assert info.created_at <= info.updated_at
            storage = await self.again(storage, tmp_path)

    # find

    @pytest.mark.anyio
    async def test_find_gives_the_latest_turn_with_the_source_id(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a", source_id="s"), user("b", source_id="t")])
        await storage.append(KEY, [user("c", source_id=["u", "s"])], dedupe=False)
        found = await storage.find(KEY, "s")
        assert found is not None
        assert found.content == "c"

    @pytest.mark.anyio
    async def test_find_gives_a_turn_however_old(self, storage: Storage, tmp_path: Path) -> None:
        await storage.append(KEY, [user('"old"', source_id='"s"\n')])
        await storage.append(KEY, [user(f'"s"\n{n}', source_id=f"{n}") for n in range(2500)])
        storage = await self.again(storage, tmp_path)
        found = await storage.find(KEY, '"s"\n')
        assert found is not None
        assert found.id == 1

    @pytest.mark.anyio
    async def test_find_gives_none_for_what_is_only_text(self, storage: Storage) -> None:
        await storage.append(KEY, [user("s", source_id="t", extra={"source_ids": ["s"]})])
        assert await storage.find(KEY, "s") is None
        assert await storage.find(OTHER, "t") is None
