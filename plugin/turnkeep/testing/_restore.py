"""Sessions that are stored as they are elsewhere, names that turns must get, and aliases."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Final

from msgspec.structs import replace

from .._records.identity import Origin, TurnRef
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from ..storage.base import Storage
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, THIRD, at_once, info_of, keys, put, texts, user, users

LONG_AGO: Final = datetime(2019, 2, 3, 4, 5, 6, 789012, timezone.utc)
RECORD: Final = SessionInfo(
    key=KEY,
    created_at=LONG_AGO,
    updated_at=LONG_AGO + timedelta(days=3, microseconds=1),
    metadata={"a": [1, {"b": None}], "c": "é"},
    turns=3,
    last_id=9,
    epoch=3,
    last_consolidated=4,
    summary="They spoke of \N{SPOUTING WHALE}.",
    generation="0123456789abcdef",
    revision=5,
    origins=(Origin("fedcba9876543210", 0, 0, 2, 1, 3),),
)


def elsewhere() -> list[Turn]:
    """Return turns as another storage has them: their ids have gaps."""
    second = replace(
        user("b", source_id=["s b", "s b2"], token="t b", sender="me", extra={"x": [1]}),
        answers=1,
        also_answers=(2,),
        interrupted=True,
    )
    turns = [user("a", source_id="s a", token="t a"), second, user("c", token="t c")]
    places = ((2, 1), (5, 2), (8, 3))
    return [
        replace(turn, id=id, epoch=epoch, time=LONG_AGO, generation=RECORD.generation)
        for (id, epoch), turn in zip(places, turns, strict=True)
    ]


async def whole(
    storage: Storage, key: SessionKey = KEY
) -> tuple[SessionInfo | None, list[Turn], bool]:
    """Return all that is stored of a session."""
    info, turns, complete = await storage.read(key)
    return info, list(turns), complete


class RestoreContract(Hooks):
    """Sessions that are stored as they are elsewhere, names that turns must get, and aliases."""

    @clause()
    async def test_a_restored_session_is_as_it_was_elsewhere(self, lab: Lab) -> None:
        assert await lab.storage.restore(RECORD, elsewhere())
        for storage in [lab.storage, None]:
            storage = storage or await lab.again()
            assert await whole(storage) == (RECORD, elsewhere(), True)
            assert (await storage.sessions()).sessions == [RECORD]
            assert await storage.find(KEY, "s b2") == elsewhere()[1]
            assert (await storage.find_all(["s a"])).turns == [(KEY, elsewhere()[0])]

    @clause()
    async def test_a_session_is_restored_in_parts_and_a_part_twice_is_stored_once(
        self, lab: Lab
    ) -> None:
        first, *others = elsewhere()
        part = replace(RECORD, last_id=first.id)
        for _ in range(2):
            assert await lab.storage.restore(part, [first])
            assert await whole(lab.storage) == (replace(part, turns=1), [first], True)
        for given in ([first, *others], others, []):
            assert await lab.storage.restore(RECORD, given)
            assert await whole(lab.storage) == (RECORD, elsewhere(), True)

    @clause()
    async def test_a_restored_session_goes_on(self, lab: Lab) -> None:
        await lab.storage.restore(RECORD, elsewhere())
        again = await put(lab.storage, KEY, [user("x", source_id="s a"), user("y", token="t c")])
        assert [turn.id for turn in again.turns] == [2, 8]
        appended = await put(lab.storage, KEY, users("d"))
        assert [(turn.id, turn.epoch) for turn in appended.turns] == [(10, 3)]
        storage = await lab.again()
        assert await texts(storage) == ["a", "b", "c", "d"]
        info = await info_of(storage)
        assert (info.turns, info.last_id, info.created_at) == (4, 10, RECORD.created_at)
        assert info.updated_at > RECORD.updated_at

    @clause()
    async def test_a_session_without_turns_is_restored(self, lab: Lab) -> None:
        assert await lab.storage.restore(replace(RECORD, turns=0), [])
        storage = await lab.again()
        assert await whole(storage) == (replace(RECORD, turns=0), [], True)

    @clause()
    async def test_a_long_session_is_restored_with_turns_of_any_size(self, lab: Lab) -> None:
        turns = [
            replace(user(f"{n} {'x' * (n * 37 % 5000)}"), id=2 * n, generation=RECORD.generation)
            for n in range(1, 201)
        ]
        info = replace(RECORD, turns=200, last_id=400, epoch=1)
        assert await lab.storage.restore(info, turns)
        storage = await lab.again()
        assert await whole(storage) == (info, turns, True)
        page = await storage.read(KEY, before=100, limit=3)
        assert [turn.id for turn in page.turns] == [94, 96, 98]

    @clause()
    async def test_nothing_is_restored_over_another_generation_or_what_was_written_since(
        self, lab: Lab
    ) -> None:
        await lab.storage.restore(RECORD, elsewhere())
        earlier = replace(RECORD, updated_at=RECORD.updated_at - timedelta(microseconds=1))
        for record in (
            replace(RECORD, generation="another"),
            earlier,
            replace(RECORD, last_id=8),
        ):
            new = replace(elsewhere()[0], id=record.last_id)
            assert not await lab.storage.restore(replace(record, summary="other"), [new])
            assert await whole(lab.storage) == (RECORD, elsewhere(), True)

    @clause()
    async def test_nothing_is_restored_at_an_alias(self, lab: Lab) -> None:
        await put(lab.storage, OTHER, users("a"))
        await lab.storage.rename(KEY, OTHER)
        before = await lab.storage.read(OTHER)
        assert not await lab.storage.restore(RECORD, elsewhere())
        await lab.storage.forget(OTHER)
        assert not await lab.storage.restore(RECORD, elsewhere())
        assert before.info is not None
        assert await keys(lab.storage) == []

    # Names.

    @clause()
    async def test_an_append_at_a_name_is_stored_under_it_or_not_at_all(self, lab: Lab) -> None:
        for at in (TurnRef("named", 2), TurnRef("named", 0)):
            assert await lab.storage.append(KEY, users("a"), at=at) is None
            assert await keys(lab.storage) == []
        first = await put(lab.storage, KEY, users("a", "b"), at=TurnRef("named", 1))
        assert [turn.ref for turn in first.turns] == [("named", 1), ("named", 2)]
        for at in (TurnRef("named", 2), TurnRef("named", 4), TurnRef("other", 3)):
            assert await lab.storage.append(KEY, users("c"), at=at) is None
        await put(lab.storage, KEY, users("c"), at=TurnRef("named", 3))
        storage = await lab.again()
        assert await texts(storage) == ["a", "b", "c"]
        assert (await info_of(storage)).generation == "named"

    @clause()
    async def test_known_turns_come_back_at_any_name_and_none_is_stored_beside_them(
        self, lab: Lab
    ) -> None:
        await put(lab.storage, KEY, users("a", "b"), at=TurnRef("named", 1))
        for at in (TurnRef("named", 1), TurnRef("named", 3), TurnRef("other", 7)):
            again = await put(lab.storage, KEY, users("a", "b"), at=at)
            assert [turn.id for turn in again.turns] == [1, 2]
        for given in (users("b", "c"), users("c", "b")):
            assert await lab.storage.append(KEY, given, at=TurnRef("named", 3)) is None
        assert await texts(lab.storage) == ["a", "b"]
        twins = [user("d", source_id="s d"), user("e", source_id="s d")]
        for key, at in ((KEY, TurnRef("named", 3)), (OTHER, TurnRef("other", 1))):
            assert await lab.storage.append(key, twins, at=at) is None
        assert await keys(lab.storage) == [KEY]

    @clause()
    async def test_of_two_appends_at_one_name_one_is_stored(self, lab: Lab) -> None:
        for number in range(10):
            at = TurnRef("named", number + 1)
            given = [user(f"{number} {n}") for n in range(4)]
            done = await at_once(
                *(lambda turn=turn: lab.storage.append(KEY, [turn], at=at) for turn in given)
            )
            assert sum(one is not None for one in done) == 1

    # Aliases.

    @clause()
    async def test_aliases_lead_to_the_key_of_the_session_through_every_rename(
        self, lab: Lab
    ) -> None:
        long = SessionKey("test", "\N{LATIN SMALL LETTER E WITH ACUTE}" * 200)
        assert await lab.storage.aliases() == {}
        await put(lab.storage, KEY, users("a"))
        await lab.storage.rename(KEY, OTHER)
        await lab.storage.rename(long, KEY)
        assert await lab.storage.aliases() == {KEY: OTHER, long: OTHER}
        await lab.storage.rename(OTHER, THIRD)
        expected = {KEY: THIRD, OTHER: THIRD, long: THIRD}
        for storage in [lab.storage, None]:
            storage = storage or await lab.again()
            assert await storage.aliases() == expected
            assert await storage.aliases(prefix="test:1") == {KEY: THIRD}
            assert await storage.aliases(prefix="te_t") == {}
        storage = lab.storage
        await storage.unlink(KEY)
        assert await storage.aliases() == {OTHER: THIRD, long: THIRD}
        await storage.rename(THIRD, OTHER)
        assert await storage.aliases() == {THIRD: OTHER, long: OTHER}

    @clause()
    async def test_an_alias_of_a_session_that_has_not_begun_does_not_change_what_begins_there(
        self, lab: Lab
    ) -> None:
        await lab.storage.rename(OTHER, KEY)
        assert await lab.storage.aliases() == {OTHER: KEY}
        assert await lab.storage.restore(RECORD, elsewhere())
        await lab.storage.rename(OTHER, KEY)
        await lab.storage.rename(THIRD, KEY)
        storage = await lab.again()
        assert await whole(storage, OTHER) == (RECORD, elsewhere(), True)
        assert await whole(storage, THIRD) == (RECORD, elsewhere(), True)
