"""Changes to what is stored."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from .._errors import InvalidMetadataError
from ..storage.base import MAX_METADATA_BYTES, Change, Storage
from ._base import KEY, OTHER, ContractBase, info_of, put, texts, user


class ChangeContract(ContractBase):
    """Changes to what is stored."""

    # edit

    @pytest.mark.anyio
    async def test_edit_applies_the_change_and_returns_the_turn(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user("a"), user("b", source_id="s"), user("c")])
        change = Change(content="much longer than b", extra={"x": 1}, link=("s", "t"))
        edited = await storage.edit(KEY, 2, change)
        assert edited is not None
        assert (edited.id, edited.content, edited.extra) == (2, "much longer than b", {"x": 1})
        assert edited.source_ids == ("s", "t")
        for _ in range(2):
            assert (await storage.read(KEY)).turns[1] == edited
            assert await texts(storage) == ["a", "much longer than b", "c"]
            storage = await self.again(storage, tmp_path)

    @pytest.mark.anyio
    async def test_a_field_that_is_unset_stays_in_an_edit(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a", extra={"x": 1})])
        edited = await storage.edit(KEY, 1, Change(link=("s",)))
        assert edited is not None
        assert (edited.content, edited.extra, edited.source_ids) == ("a", {"x": 1}, ("s",))

    @pytest.mark.anyio
    async def test_a_source_id_that_was_linked_is_found_and_known(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a")])
        await storage.edit(KEY, 1, Change(link=("s",)))
        found = await storage.find(KEY, "s")
        appended = await put(storage, KEY, [user("again", source_id="s")])
        assert found is not None
        assert (found.id, appended.new) == (1, [False])

    @pytest.mark.anyio
    async def test_edit_gives_none_where_there_is_no_such_turn(self, storage: Storage) -> None:
        assert await storage.edit(KEY, 1, Change(content="x")) is None
        assert (await storage.read(KEY)).info is None
        await storage.append(KEY, [user("a")])
        assert await storage.edit(KEY, 2, Change(content="x")) is None

    @pytest.mark.anyio
    async def test_a_change_that_changes_nothing_writes_nothing(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a", source_id="s")])
        before = await storage.sessions()
        await anyio.sleep(0.015)
        assert await storage.edit(KEY, 1, Change(content="a", extra={}, link=("s",))) is not None
        assert await storage.sessions() == before

    # delete

    @pytest.mark.anyio
    async def test_delete_takes_turns_away_and_returns_those_there_were_ascending(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user(f"{n}") for n in range(1, 6)])
        gone = await storage.delete(KEY, [4, 9, 2])
        assert [turn.content for turn in gone] == ["2", "4"]
        assert await storage.delete(KEY, [4]) == []
        assert await storage.delete(KEY, []) == []
        assert await storage.delete(OTHER, [1]) == []
        storage = await self.again(storage, tmp_path)
        assert await texts(storage) == ["1", "3", "5"]

    @pytest.mark.anyio
    async def test_a_deleted_turns_id_is_not_used_again(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user("a"), user("b")])
        await storage.delete(KEY, [1, 2])
        storage = await self.again(storage, tmp_path)
        appended = await put(storage, KEY, [user("c")])
        assert appended.turns[0].id == 3

    @pytest.mark.anyio
    async def test_a_deleted_turns_source_id_may_be_used_again(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a", source_id="s")])
        await storage.delete(KEY, [1])
        assert await storage.find(KEY, "s") is None
        appended = await put(storage, KEY, [user("b", source_id="s")])
        assert appended.new == [True]

    # clear

    @pytest.mark.anyio
    async def test_clear_begins_a_new_epoch_and_keeps_turns_and_record(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user("a")])
        await storage.update_metadata(KEY, {"m": 1})
        await storage.clear(KEY)
        storage = await self.again(storage, tmp_path)
        info = await info_of(storage)
        assert (info.epoch, info.turns, info.last_id, info.metadata) == (2, 1, 1, {"m": 1})
        assert await texts(storage) == ["a"]

    @pytest.mark.anyio
    async def test_clear_takes_the_summary_away(self, storage: Storage, tmp_path: Path) -> None:
        await storage.append(KEY, [user("a")])
        await storage.consolidate(KEY, 1, "sum", epoch=(await info_of(storage)).epoch_id)
        await storage.clear(KEY)
        storage = await self.again(storage, tmp_path)
        assert (await info_of(storage)).summary is None

    @pytest.mark.anyio
    async def test_clear_with_erase_takes_the_turns_away_and_ids_go_on(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user("a", source_id="s")])
        await storage.update_metadata(KEY, {"m": 1})
        await storage.clear(KEY, erase=True)
        storage = await self.again(storage, tmp_path)
        info = await info_of(storage)
        assert (info.epoch, info.turns, info.metadata) == (2, 0, {"m": 1})
        appended = await put(storage, KEY, [user("b", source_id="s")])
        assert (appended.new, appended.turns[0].id) == ([True], 2)
        assert await texts(storage) == ["b"]

    @pytest.mark.anyio
    @pytest.mark.parametrize("erase", [False, True])
    async def test_clear_does_nothing_without_a_session(
        self, storage: Storage, erase: bool
    ) -> None:
        await storage.clear(KEY, erase=erase)
        assert (await storage.read(KEY)).info is None

    # consolidate

    @pytest.mark.anyio
    async def test_consolidate_sets_summary_and_id_and_leaves_the_turns(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user("a"), user("b")])
        epoch = (await info_of(storage)).epoch_id
        assert await storage.consolidate(KEY, 1, "sum", epoch=epoch)
        for _ in range(2):
            info = await info_of(storage)
            assert (info.last_consolidated, info.summary) == (1, "sum")
            assert await texts(storage) == ["a", "b"]
            storage = await self.again(storage, tmp_path)

    @pytest.mark.anyio
    async def test_consolidate_refuses_another_epoch(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a")])
        epoch = (await info_of(storage)).epoch_id
        assert not await storage.consolidate(OTHER, 1, "sum", epoch=epoch)
        await storage.clear(KEY)
        assert not await storage.consolidate(KEY, 1, "sum", epoch=epoch)
        assert (await info_of(storage)).summary is None

    @pytest.mark.anyio
    async def test_consolidate_refuses_an_id_that_is_not_greater(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a"), user("b")])
        epoch = (await info_of(storage)).epoch_id
        assert await storage.consolidate(KEY, 2, "first", epoch=epoch)
        assert not await storage.consolidate(KEY, 2, "second", epoch=epoch)
        assert (await info_of(storage)).summary == "first"

    @pytest.mark.anyio
    async def test_to_consolidate_an_id_beyond_the_last_one_means_the_last_one(
        self, storage: Storage
    ) -> None:
        await storage.append(KEY, [user("a"), user("b")])
        epoch = (await info_of(storage)).epoch_id
        assert await storage.consolidate(KEY, 999, "sum", epoch=epoch)
        assert (await info_of(storage)).last_consolidated == 2
        await storage.append(KEY, [user("c")])
        assert (await info_of(storage)).last_consolidated == 2

    # update_metadata

    @pytest.mark.anyio
    async def test_metadata_is_merged_and_a_none_takes_its_key_away(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.update_metadata(KEY, {"a": 1, "b": {"x": 1}})
        merged = await storage.update_metadata(KEY, {"a": None, "b": {"y": 2}, "c": 3})
        assert merged == {"b": {"y": 2}, "c": 3}
        storage = await self.again(storage, tmp_path)
        assert (await info_of(storage)).metadata == merged

    @pytest.mark.anyio
    async def test_metadata_begins_a_session_without_turns(self, storage: Storage) -> None:
        await storage.update_metadata(KEY, {"a": 1})
        info = await info_of(storage)
        assert (info.turns, info.last_id, info.epoch) == (0, 0, 1)
        await put(storage, KEY, [user("a")], epoch=info.epoch_id)

    @pytest.mark.anyio
    async def test_metadata_over_its_limit_is_refused_and_changes_nothing(
        self, storage: Storage
    ) -> None:
        await storage.update_metadata(KEY, {"a": 1})
        with pytest.raises(InvalidMetadataError, match=str(KEY)):
            await storage.update_metadata(KEY, {"b": "x" * MAX_METADATA_BYTES})
        assert (await info_of(storage)).metadata == {"a": 1}
