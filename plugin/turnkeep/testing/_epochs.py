"""Epochs, summaries and metadata: what a session's record holds."""

from __future__ import annotations

import pytest

from .._errors import InvalidMetadataError
from ..storage.base import MAX_METADATA_BYTES
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, expected_of, info_of, put, texts, user


class EpochContract(Hooks):
    """Epochs, summaries and metadata: what a session's record holds."""

    # clear

    @clause()
    async def test_clear_begins_a_new_epoch_and_keeps_turns_and_record(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        await lab.storage.update_metadata(KEY, {"m": 1})
        before = await info_of(lab.storage)
        assert await lab.storage.clear(KEY) is True
        storage = await lab.again()
        info = await info_of(storage)
        assert (info.epoch, info.turns, info.last_id, info.metadata) == (2, 1, 1, {"m": 1})
        assert (info.generation, info.created_at) == (before.generation, before.created_at)
        assert await texts(storage) == ["a"]

    @clause()
    async def test_clear_takes_the_summary_away(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        await lab.storage.consolidate(KEY, 1, "sum", expected=await expected_of(lab.storage))
        await lab.storage.clear(KEY)
        storage = await lab.again()
        assert (await info_of(storage)).summary is None

    @clause()
    async def test_a_session_whose_current_epoch_is_empty_begins_another_one_too(
        self, lab: Lab
    ) -> None:
        await lab.storage.append(KEY, [user("a")])
        for epoch in (2, 3, 4):
            assert await lab.storage.clear(KEY, erase=epoch == 4) is True
            assert (await info_of(lab.storage)).epoch == epoch
        await lab.storage.update_metadata(OTHER, {"m": 1})
        assert await lab.storage.clear(OTHER) is True
        assert (await info_of(lab.storage, OTHER)).epoch == 2

    @clause()
    async def test_clear_with_erase_takes_the_turns_away_and_ids_go_on(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a", source_id="s")])
        await lab.storage.update_metadata(KEY, {"m": 1})
        await lab.storage.clear(KEY, erase=True)
        storage = await lab.again()
        info = await info_of(storage)
        assert (info.epoch, info.turns, info.metadata) == (2, 0, {"m": 1})
        appended = await put(storage, KEY, [user("b", source_id="s")])
        assert (appended.new, appended.turns[0].id) == ([True], 2)
        assert await texts(storage) == ["b"]

    @clause()
    async def test_erasing_turns_raises_the_revision_by_one(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a"), user("b")])
        await lab.storage.clear(KEY, erase=True)
        assert (await info_of(lab.storage)).revision == 1
        await lab.storage.clear(KEY, erase=True)
        assert (await info_of(lab.storage)).revision == 1

    @clause()
    async def test_clear_does_nothing_without_a_session(self, lab: Lab) -> None:
        for erase in (False, True):
            assert await lab.storage.clear(KEY, erase=erase) is False
            assert (await lab.storage.read(KEY)).info is None

    # consolidate

    @clause()
    async def test_consolidate_sets_summary_and_id_and_leaves_the_turns(self, lab: Lab) -> None:
        storage = lab.storage
        await storage.append(KEY, [user("a"), user("b")])
        assert await storage.consolidate(KEY, 1, "sum", expected=await expected_of(storage))
        for _ in range(2):
            info = await info_of(storage)
            assert (info.last_consolidated, info.summary) == (1, "sum")
            assert await texts(storage) == ["a", "b"]
            storage = await lab.again()

    @clause()
    async def test_consolidate_refuses_an_id_that_is_not_greater(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a"), user("b")])
        expected = await expected_of(lab.storage)
        assert await lab.storage.consolidate(KEY, 2, "first", expected=expected) is True
        for last_consolidated in (2, 1, 9):
            assert not await lab.storage.consolidate(
                KEY, last_consolidated, "second", expected=expected
            )
        assert (await info_of(lab.storage)).summary == "first"

    @clause()
    async def test_to_consolidate_an_id_beyond_the_last_one_means_the_last_one(
        self, lab: Lab
    ) -> None:
        await lab.storage.append(KEY, [user("a"), user("b")])
        expected = await expected_of(lab.storage)
        assert await lab.storage.consolidate(KEY, 999, "sum", expected=expected)
        assert (await info_of(lab.storage)).last_consolidated == 2
        await lab.storage.append(KEY, [user("c")])
        assert (await info_of(lab.storage)).last_consolidated == 2

    # update_metadata

    @clause()
    async def test_metadata_is_merged_and_a_none_takes_its_key_away(self, lab: Lab) -> None:
        await lab.storage.update_metadata(KEY, {"a": 1, "b": {"x": 1}})
        merged = await lab.storage.update_metadata(KEY, {"a": None, "b": {"y": 2}, "c": 3})
        assert merged == {"b": {"y": 2}, "c": 3}
        storage = await lab.again()
        assert (await info_of(storage)).metadata == merged

    @clause()
    async def test_metadata_begins_a_session_without_turns(self, lab: Lab) -> None:
        await lab.storage.update_metadata(KEY, {"a": 1})
        info = await info_of(lab.storage)
        assert (info.turns, info.last_id, info.epoch) == (0, 0, 1)
        await put(lab.storage, KEY, [user("a")], expected=info.expected())
        assert (await info_of(lab.storage)).generation == info.generation != ""

    @clause()
    async def test_metadata_over_its_limit_is_refused_and_changes_nothing(self, lab: Lab) -> None:
        with pytest.raises(InvalidMetadataError, match=str(KEY)):
            await lab.storage.update_metadata(KEY, {"b": "x" * MAX_METADATA_BYTES})
        assert (await lab.storage.read(KEY)).info is None
        await lab.storage.update_metadata(KEY, {"a": 1})
        with pytest.raises(InvalidMetadataError, match=str(KEY)):
            await lab.storage.update_metadata(KEY, {"b": "x" * MAX_METADATA_BYTES})
        assert (await info_of(lab.storage)).metadata == {"a": 1}
