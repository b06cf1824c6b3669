"""What an append stores, and what it knows already."""

from __future__ import annotations

from pathlib import Path

import anyio
import msgspec
import pytest

from .._records.turn import new_turn
from ..storage.base import DEDUPE_TURNS, Storage
from ._base import KEY, OTHER, ContractBase, info_of, put, texts, user


class AppendContract(ContractBase):
    """What an append stores, and what it knows already."""

    @pytest.mark.anyio
    async def test_append_gives_the_turns_the_next_ids_from_one(self, storage: Storage) -> None:
        first = await put(storage, KEY, [user("a"), user("b")])
        second = await put(storage, KEY, [user("c")])
        assert [turn.id for turn in first.turns + second.turns] == [1, 2, 3]
        assert first.new == [True, True]

    @pytest.mark.anyio
    async def test_append_gives_back_the_turns_as_they_are_stored(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        odd = 'a\n"b"\\\t\x01\u2028\u202e\N{GRINNING FACE}\N{REPLACEMENT CHARACTER} e\u0301\x7f'
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        given = [
            user(odd, source_id=[odd, "2"], sender=odd, name=odd, extra={odd: [odd, -(2**63)]}),
            new_turn("assistant", None, tool_calls=[call], answers=1, interrupted=True),
            new_turn("tool", [{"type": "text", "text": odd}], tool_call_id=odd, hidden=True),
            new_turn("system", "", extra={"a": {"b": [None, True, 2**64 - 1, 1e300]}}),
        ]
        stored = await put(storage, KEY, given)
        expected = [
            msgspec.structs.replace(turn, id=place, epoch=1) for place, turn in enumerate(given, 1)
        ]
        assert stored.turns == expected
        storage = await self.again(storage, tmp_path)
        assert list((await storage.read(KEY)).turns) == expected

    @pytest.mark.anyio
    async def test_an_empty_append_stores_nothing_and_begins_no_session(
        self, storage: Storage
    ) -> None:
        assert await storage.append(KEY, []) == ([], [])
        assert (await storage.read(KEY)).info is None

    @pytest.mark.anyio
    async def test_a_stored_turn_has_the_current_epoch(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a", source_id="a")])
        await storage.clear(KEY)
        appended = await put(storage, KEY, [msgspec.structs.replace(user("b"), epoch=7)])
        assert [turn.epoch for turn in appended.turns] == [2]

    @pytest.mark.anyio
    async def test_a_known_source_id_stores_nothing_and_gives_the_first_turn(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        first = await put(storage, KEY, [user("first", source_id=["a", "b"])])
        for source_id in ("a", "b", ["c", "b"]):
            again = await put(storage, KEY, [user("again", source_id=source_id)])
            assert (again.turns, again.new) == (first.turns, [False])
        storage = await self.again(storage, tmp_path)
        again = await put(storage, KEY, [user("new"), user("again", source_id="a")])
        assert again.new == [True, False]
        assert again.turns[1:] == first.turns
        assert await texts(storage) == ["first", "new"]

    @pytest.mark.anyio
    async def test_a_source_id_that_stands_earlier_in_the_append_is_known(
        self, storage: Storage
    ) -> None:
        appended = await put(
            storage, KEY, [user("a", source_id="s"), user("b", source_id="s"), user("c")]
        )
        assert appended.new == [True, False, True]
        assert [turn.id for turn in appended.turns] == [1, 1, 2]

    @pytest.mark.anyio
    async def test_source_ids_are_known_per_session_only(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a", source_id="s")])
        appended = await put(storage, OTHER, [user("b", source_id="s")])
        assert appended.new == [True]

    @pytest.mark.anyio
    async def test_without_dedupe_a_known_source_id_is_stored_again(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a", source_id="s")])
        appended = await put(storage, KEY, [user("b", source_id="s")], dedupe=False)
        assert appended.new == [True]

    @pytest.mark.anyio
    async def test_the_latest_turns_are_known_in_any_epoch(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user("oldest", source_id="s")])
        await storage.clear(KEY)
        await storage.append(KEY, [user(f"{n}") for n in range(DEDUPE_TURNS - 1)])
        storage = await self.again(storage, tmp_path)
        appended = await put(storage, KEY, [user("again", source_id="s")])
        assert (appended.new, appended.turns[0].content) == ([False], "oldest")

    @pytest.mark.anyio
    async def test_append_to_the_current_epoch_is_stored(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a")])
        epoch = (await info_of(storage)).epoch_id
        assert await storage.append(KEY, [user("b")], epoch=epoch) is not None

    @pytest.mark.anyio
    async def test_append_to_an_epoch_that_has_ended_stores_nothing(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a")])
        epoch = (await info_of(storage)).epoch_id
        await storage.clear(KEY)
        assert await storage.append(KEY, [user("late")], epoch=epoch) is None
        assert await texts(storage) == ["a"]

    @pytest.mark.anyio
    async def test_append_to_an_epoch_of_a_forgotten_session_stores_nothing(
        self, storage: Storage
    ) -> None:
        await storage.append(KEY, [user("a")])
        epoch = (await info_of(storage)).epoch_id
        await storage.forget(KEY)
        assert await storage.append(KEY, [user("late")], epoch=epoch) is None
        assert (await storage.read(KEY)).info is None
        await anyio.sleep(0.002)
        await storage.append(KEY, [user("anew")])
        assert await storage.append(KEY, [user("late")], epoch=epoch) is None
