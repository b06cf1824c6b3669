"""The contract *Append*: what is stored, in which order, and what is known again."""

from __future__ import annotations

from datetime import datetime, timezone

import anyio
import pytest
from anyio.lowlevel import checkpoint

from turnkeep import InvalidTurnError, Session, SessionStore, StorageError

from .conftest import Place
from .tools import Gated, answer, said, stored

pytestmark = pytest.mark.anyio


async def test_what_was_appended_is_there_after_a_restart(place: Place) -> None:
    async with place() as store:
        first = await store.session("telegram:1").append("user", "My name is Ada.")
    async with place() as store:
        assert await stored(store.session("telegram:1")) == [first]


async def test_ids_count_from_one_and_are_never_used_twice(session: Session) -> None:
    turns = [await session.append("user", text) for text in ("a", "b", "c")]
    await session.delete(turns[2])
    assert [turn.id for turn in turns] == [1, 2, 3]
    assert (await session.append("user", "d")).id == 4


async def test_ids_go_on_after_a_restart_even_behind_a_deleted_turn(place: Place) -> None:
    async with place() as store:
        await store.session("t:1").append("user", "a")
        await store.session("t:1").delete((await store.session("t:1").append("user", "b")).id)
    async with place() as store:
        assert (await store.session("t:1").append("user", "c")).id == 3


async def test_sessions_of_one_store_are_apart(store: SessionStore) -> None:
    await store.session("telegram:1").append("user", "for one")
    await store.session("telegram:2").append("user", "for two")
    assert await said(store.session("telegram:1")) == ["for one"]


async def test_two_handles_of_one_key_are_one_session(store: SessionStore) -> None:
    await store.session("telegram:7:user:1:account:2").append("user", "hi")
    assert await said(store.session("telegram:7:account:2:user:1")) == ["hi"]


async def test_turns_stand_in_the_order_in_which_the_appends_first_ran(session: Session) -> None:
    async with anyio.create_task_group() as tasks:
        started: list[int] = []

        async def append(number: int) -> None:
            started.append(number)
            await session.append("user", str(number))

        for number in range(50):
            tasks.start_soon(append, number)
    assert await said(session) == [str(number) for number in started]


async def test_appends_that_wait_for_the_first_opening_keep_their_order(place: Place) -> None:
    store = place()
    session = store.session("telegram:1")
    started: list[int] = []

    async def append(number: int) -> None:
        started.append(number)
        await session.append("user", str(number))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(append, number)
            await checkpoint()
    assert await said(session) == [str(number) for number in started]
    await store.aclose()


async def test_an_append_does_not_overtake_those_that_wait_for_the_opening() -> None:
    storage = Gated()
    storage.gated = {"open"}
    session = SessionStore(storage).session("telegram:1")

    async with anyio.create_task_group() as tasks:

        async def first() -> None:
            await session.append("user", "first")
            # The store is open now, and the second append has not been woken yet.
            await session.append("user", "third")

        tasks.start_soon(first)
        await storage.reached.wait()
        tasks.start_soon(session.append, "user", "second")
        await anyio.wait_all_tasks_blocked()
        storage.gate.set()
    assert await said(session) == ["first", "second", "third"]


async def test_a_cancelled_append_is_stored_whole_or_not_at_all(session: Session) -> None:
    kept = await session.append("user", "before")
    batch = [{"role": "user", "content": f"{number}"} for number in range(10)]
    for steps in range(4):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.extend, batch)
            for _ in range(steps):
                await checkpoint()
            tasks.cancel_scope.cancel()
    last = await session.append("user", "after")
    texts = await said(session)
    assert texts[0] == kept.content
    assert texts[-1] == last.content
    between = texts[1:-1]
    assert between == [turn["content"] for turn in batch] * (len(between) // 10)


async def test_a_known_source_id_gives_the_first_turn_back_and_stores_nothing(
    session: Session,
) -> None:
    first = await session.append("user", "Hi", source_id="m1")
    again = await session.append("user", "something else", source_id="m1")
    assert again == first
    assert await stored(session) == [first]


async def test_source_ids_of_two_sessions_are_apart(store: SessionStore) -> None:
    await store.session("telegram:1").append("user", "one", source_id="m1")
    await store.session("telegram:2").append("user", "two", source_id="m1")
    assert await said(store.session("telegram:2")) == ["two"]


@pytest.mark.parametrize("source_id", ["m1", 0, 17, -5, " "])
async def test_every_source_id_is_told_again_the_number_zero_too(
    session: Session, source_id: str | int
) -> None:
    first = await session.append("user", "Hi", source_id=source_id)
    assert first.source_ids == (str(source_id),)
    assert await session.append("user", "Hi", source_id=source_id) == first


async def test_a_number_and_its_digits_are_one_source_id(session: Session) -> None:
    first = await session.append("user", "Hi", source_id=17)
    assert await session.append("user", "Hi", source_id="17") == first


async def test_any_of_several_source_ids_is_told_again(session: Session) -> None:
    album = await session.append("user", "two pictures", source_id=["m1", "m2"])
    assert await session.append("user", "again", source_id="m2") == album
    assert await session.append("user", "again", source_id=["m9", "m1"]) == album
    assert await stored(session) == [album]


async def test_turns_without_a_source_id_are_never_taken_for_each_other(session: Session) -> None:
    for _ in range(3):
        await session.append("user", "ok")
    assert await said(session) == ["ok"] * 3


async def test_the_latest_thousand_turns_are_looked_back_over(session: Session) -> None:
    first = await session.append("user", "first", source_id="m0")
    await session.extend([{"role": "user", "content": "x"}] * 999)
    assert await session.append("user", "again", source_id="m0") == first


async def test_the_latest_thousand_turns_are_looked_back_over_after_a_restart(
    place: Place,
) -> None:
    async with place() as store:
        first = await store.session("t:1").append("user", "first", source_id="m0")
        await store.session("t:1").extend([{"role": "user", "content": "x"}] * 999)
    async with place() as store:
        assert await store.session("t:1").append("user", "again", source_id="m0") == first
        info = await store.session("t:1").info()
        assert info is not None
        assert info.turns == 1000


async def test_a_source_id_is_known_in_the_next_epoch_too(session: Session) -> None:
    first = await session.append("user", "Hi", source_id="m1")
    await session.clear()
    again = await session.append("user", "Hi", source_id="m1")
    assert (again.id, again.epoch) == (first.id, 1)
    assert await session.get_history() == []


async def test_the_same_message_delivered_twice_at_once_is_stored_once(session: Session) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(lambda: session.append("user", "Hi", source_id="m1"))
    assert await said(session) == ["Hi"]


async def test_extend_stores_the_new_turns_among_known_ones(session: Session) -> None:
    await session.append("user", "one", source_id="m1")
    back = await session.extend(
        [
            {"role": "user", "content": "ONE", "source_id": "m1"},
            {"role": "user", "content": "two", "source_id": "m2"},
            {"role": "user", "content": "two again", "source_id": "m2"},
        ]
    )
    assert [turn.id for turn in back] == [1, 2, 2]
    assert await said(session) == ["one", "two"]


async def test_extend_stores_all_or_nothing(session: Session) -> None:
    good = {"role": "user", "content": "fine"}
    with pytest.raises(InvalidTurnError, match="number 2 of the turns"):
        await session.extend([good, {"role": "nobody", "content": "bad"}, good])
    assert await stored(session) == []


async def test_extending_by_nothing_begins_no_session(session: Session) -> None:
    assert await session.extend([]) == []
    assert await session.info() is None


async def test_a_turn_has_the_epoch_in_which_it_was_appended(session: Session) -> None:
    await session.append("user", "old")
    await session.clear()
    assert (await session.append("user", "new")).epoch == 2


async def test_a_turn_is_given_the_time_at_which_it_is_appended(session: Session) -> None:
    before = datetime.now(timezone.utc)
    turn = await session.append("user", "Hi")
    assert before <= turn.time <= datetime.now(timezone.utc)


async def test_a_failed_write_is_raised_and_leaves_no_turn() -> None:
    storage = Gated()
    async with SessionStore(storage) as store:
        session = store.session("telegram:1")
        storage.append_error = StorageError("session telegram:1: the disk is full")
        with pytest.raises(StorageError, match="disk is full"):
            await session.append("user", "lost")
        with pytest.raises(StorageError, match="disk is full"):
            await answer(session)
        storage.append_error = None
        await session.append("user", "kept")
        assert await said(session) == ["kept"]


async def test_a_message_received_is_bound_to_its_turn(session: Session) -> None:
    bound = await session.receive("Hi", source_id="m1", sender="42", name="ada", extra={"k": 1})
    assert bound.turn is not None
    assert bound.turn in await stored(session)
    assert (bound.turn.role, bound.turn.text, bound.key) == ("user", "Hi", session.key)
    assert session.turn is None
