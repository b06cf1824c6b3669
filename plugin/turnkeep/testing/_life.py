"""Opening and closing, what is promised, clocks, and names that are compared exactly."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import anyio
import msgspec
import pytest

from .._errors import StoreLockedError
from .._records.key import SessionKey
from ..storage.base import Change
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, expected_of, info_of, keys, put, take, texts, user

NOON = datetime(2031, 5, 1, 12, tzinfo=timezone.utc)

ALIKE = ("a", "A", "a ", "\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}", "ß")


class LifeContract(Hooks):
    """Opening and closing, what is promised, clocks, and names that are compared exactly."""

    def test_the_constructor_does_no_io(self, tmp_path: Path) -> None:
        self.make_storage(tmp_path)
        assert list(tmp_path.iterdir()) == []

    @clause()
    async def test_closing_stores_all_that_was_accepted(self, lab: Lab) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(lab.storage.append, KEY, [user(f"{number:02}")])
        storage = await lab.again()
        assert sorted(await texts(storage)) == [f"{number:02}" for number in range(50)]

    @clause()
    async def test_a_storage_may_be_opened_again_after_closing(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("one")])
        await lab.storage.aclose()
        await lab.storage.open()
        await lab.storage.append(KEY, [user("two")])
        assert await texts(lab.storage) == ["one", "two"]

    @clause()
    async def test_another_storage_in_the_same_place_finds_what_this_one_stored(
        self, lab: Lab
    ) -> None:
        stored = await put(lab.storage, KEY, [user("kept", source_id="s", sender="me")])
        await lab.storage.update_metadata(KEY, {"a": [1, {"b": None}]})
        await lab.storage.edit(KEY, 1, Change(extra={"x": 1}))
        await lab.storage.consolidate(KEY, 1, "so far", expected=await expected_of(lab.storage))
        claim = await take(lab.storage, KEY, "work", "me", payload={"a": 1})
        before = await info_of(lab.storage)
        storage = await lab.again()
        after, turns, complete = await storage.read(KEY)
        assert list(turns) == [msgspec.structs.replace(stored.turns[0], extra={"x": 1})]
        assert complete
        assert after is not None
        assert msgspec.structs.replace(after, updated_at=before.updated_at) == before
        assert await storage.claims() == [claim]

    @clause()
    async def test_the_capabilities_are_the_same_before_open_and_after_it(self, lab: Lab) -> None:
        assert self.make_storage(lab.place).capabilities == lab.storage.capabilities

    @clause("second")
    async def test_open_raises_where_the_place_is_owned_unless_it_is_shared(self, lab: Lab) -> None:
        if lab.capabilities.shared:
            await lab.second()
        else:
            with pytest.raises(StoreLockedError):
                await lab.second()
        await lab.storage.append(KEY, [user("a")])
        assert await texts(lab.storage) == ["a"]

    # Clocks.

    @clause("set_clock")
    async def test_records_and_claims_are_by_the_storages_clock(self, lab: Lab) -> None:
        lab.set_clock(NOON)
        await lab.storage.append(KEY, [user("a")])
        lab.set_clock(NOON + timedelta(hours=1))
        await lab.storage.append(KEY, [user("b")])
        info = await info_of(lab.storage)
        assert (info.created_at, info.updated_at) == (NOON, NOON + timedelta(hours=1))
        claim = await take(lab.storage, KEY, "work", "me", ttl=60)
        assert claim.expires_at == NOON + timedelta(hours=1, seconds=60)

    @clause()
    async def test_the_time_of_a_turn_is_its_callers(self, lab: Lab) -> None:
        given = datetime(1999, 12, 31, 23, 59, 59, 123456, timezone.utc)
        appended = await put(lab.storage, KEY, [user("a", time=given)])
        storage = await lab.again()
        assert [turn.time for turn in appended.turns] == [given]
        assert [turn.time for turn in (await storage.read(KEY)).turns] == [given]
        assert (await info_of(storage)).created_at > given

    # Turns.

    @clause()
    async def test_a_turn_has_its_sessions_generation_and_its_epoch_in_each_answer(
        self, lab: Lab
    ) -> None:
        first = await put(lab.storage, KEY, [user("a", source_id="s")])
        await lab.storage.clear(KEY)
        await put(lab.storage, KEY, [user("b")])
        storage = await lab.again()
        generation = (await info_of(storage)).generation
        assert generation
        again = await put(storage, KEY, [user("c", source_id="s")])
        edited = await storage.edit(KEY, 1, Change(link=("t",)))
        found = await storage.find(KEY, "t")
        everywhere = (await storage.find_all(["s"])).turns
        turns = (await storage.read(KEY)).turns
        gone = await storage.delete(KEY, [1])
        for turn in (first.turns[0], again.turns[0], edited, found, everywhere[0][1], gone[0]):
            assert turn is not None
            assert (turn.generation, turn.epoch) == (generation, 1)
        assert [(turn.generation, turn.epoch) for turn in turns] == [
            (generation, 1),
            (generation, 2),
        ]

    @clause()
    async def test_a_storage_does_not_change_what_a_turn_holds(self, lab: Lab) -> None:
        given = user("a", extra={"x": [1]}, source_id="s")
        before = msgspec.json.encode(given)
        appended = await put(lab.storage, KEY, [given])
        stored = msgspec.json.encode(appended.turns[0])
        await lab.storage.edit(KEY, 1, Change(content="b", extra={"y": 1}, link=("t",)))
        assert msgspec.json.encode(given) == before
        assert msgspec.json.encode(appended.turns[0]) == stored

    # Keys and ids.

    @clause()
    async def test_keys_are_compared_exactly(self, lab: Lab) -> None:
        for chat in ALIKE:
            await lab.storage.append(SessionKey("test", chat), [user(chat)])
            await take(lab.storage, SessionKey("test", chat), "work", chat)
        storage = await lab.again()
        for chat in ALIKE:
            assert await texts(storage, SessionKey("test", chat)) == [chat]
            assert [one.owner for one in await storage.claims(key=SessionKey("test", chat))] == [
                chat
            ]
        assert len(await keys(storage)) == len(ALIKE)

    @clause()
    async def test_source_ids_are_compared_exactly(self, lab: Lab) -> None:
        for source_id in ALIKE:
            appended = await put(lab.storage, KEY, [user(source_id, source_id=source_id)])
            assert appended.new == [True]
        storage = await lab.again()
        for source_id in ALIKE:
            found = await storage.find(KEY, source_id)
            everywhere = (await storage.find_all([source_id])).turns
            assert found is not None
            assert found.content == source_id
            assert [turn.content for _, turn in everywhere] == [source_id]
        assert await storage.find(KEY, "%") is None

    @clause()
    async def test_no_character_of_a_prefix_is_a_wildcard_and_its_case_counts(
        self, lab: Lab
    ) -> None:
        odd = SessionKey("te_t", "50%*?[a]\\")
        for key in (KEY, OTHER, odd, SessionKey("TEST", "1")):
            await lab.storage.append(key, [user("word", source_id="s")])
            await take(lab.storage, key, "work", "me")
        for prefix, found in (
            ("te_t:", [odd]),
            ("te_t:50%25*?[", [odd]),
            ("t%", []),
            ("t*", []),
            ("te?t", []),
            ("[t]est", []),
            ("TEST", [SessionKey("TEST", "1")]),
            ("test:", [KEY, OTHER]),
        ):
            everywhere = (await lab.storage.find_all(["s"], prefix=prefix)).turns
            claims = await lab.storage.claims(prefix=prefix)
            assert sorted(await keys(lab.storage, prefix=prefix)) == found
            assert sorted(key for key, _ in everywhere) == found
            assert sorted(claim.key for claim in claims) == found
            if lab.capabilities.search:
                hits = await lab.storage.search("word", prefix=prefix)
                assert sorted(hit.key for hit in hits) == found
