"""Changes that are made only to the session that they were decided on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from .._records.turn import Turn
from ..storage.base import Change, Expected, Storage
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, after_steps, at_once, expected_of, info_of, put, state, users

Verb: TypeAlias = Callable[[Storage, Expected], Awaitable[Any]]


async def _prepared(storage: Storage) -> None:
    """Store a session whose turn 2 is gone, and whose epoch and revision are 2 and 1."""
    await put(storage, KEY, users("a", "b"))
    await storage.clear(KEY)
    await put(storage, KEY, users("c", "d"))
    await storage.delete(KEY, [2])


async def _check_refused(lab: Lab, verb: Verb, nothing: object) -> None:
    """Check that a verb does nothing to a session that is not as expected."""
    await put(lab.storage, OTHER, users("x"))
    other = (await info_of(lab.storage, OTHER)).generation
    assert await verb(lab.storage, Expected(other)) == nothing, "there is no session"
    assert (await lab.storage.read(KEY)).info is None
    await _prepared(lab.storage)
    info = await info_of(lab.storage)
    assert (info.epoch, info.revision) == (2, 1)
    before = await state(lab.storage)
    for unexpected in (
        Expected(other),
        Expected(info.generation, epoch=1),
        Expected(info.generation, epoch=3),
        Expected(info.generation, revision=0),
        Expected(info.generation, revision=2),
        Expected(info.generation, turn=2),
        Expected(info.generation, turn=5),
        Expected(other, epoch=2, revision=1, turn=1),
    ):
        assert await verb(lab.storage, unexpected) == nothing, unexpected
        assert await state(lab.storage) == before, unexpected
    await lab.storage.forget(KEY)
    await _prepared(lab.storage)
    before = await state(lab.storage)
    assert await verb(lab.storage, Expected(info.generation)) == nothing, "it has begun again"
    assert await state(lab.storage) == before


async def _check_done(lab: Lab, verb: Verb) -> None:
    """Check that a verb is done to a session that is as expected."""
    for fields in (
        {},
        {"epoch": 2},
        {"revision": 1},
        {"turn": 1},
        {"epoch": 2, "revision": 1, "turn": 4},
    ):
        await _prepared(lab.storage)
        before = await state(lab.storage)
        expected = Expected((await info_of(lab.storage)).generation, **fields)
        assert await verb(lab.storage, expected), fields
        assert await state(lab.storage) != before, fields
        await lab.storage.forget(KEY)


def _append(storage: Storage, expected: Expected) -> Awaitable[Any]:
    return storage.append(KEY, users("late"), expected=expected)


def _edit(storage: Storage, expected: Expected) -> Awaitable[Any]:
    return storage.edit(KEY, 3, Change(content="late"), expected=expected)


def _delete(storage: Storage, expected: Expected) -> Awaitable[Any]:
    return storage.delete(KEY, [3], expected=expected)


def _change(storage: Storage, expected: Expected) -> Awaitable[Any]:
    return storage.change(KEY, {3: Change(content="late"), 4: None}, expected=expected)


def _clear(storage: Storage, expected: Expected) -> Awaitable[Any]:
    return storage.clear(KEY, expected=expected)


def _erase(storage: Storage, expected: Expected) -> Awaitable[Any]:
    return storage.clear(KEY, erase=True, expected=expected)


def _consolidate(storage: Storage, expected: Expected) -> Awaitable[Any]:
    return storage.consolidate(KEY, 3, "sum", expected=expected)


class ExpectedContract(Hooks):
    """Changes that are made only to the session that they were decided on."""

    @clause()
    async def test_append_stores_nothing_where_the_session_is_not_as_expected(
        self, lab: Lab
    ) -> None:
        await _check_refused(lab, _append, None)

    @clause()
    async def test_edit_does_nothing_where_the_session_is_not_as_expected(self, lab: Lab) -> None:
        await _check_refused(lab, _edit, None)

    @clause()
    async def test_delete_does_nothing_where_the_session_is_not_as_expected(self, lab: Lab) -> None:
        await _check_refused(lab, _delete, [])

    @clause()
    async def test_change_does_nothing_where_the_session_is_not_as_expected(self, lab: Lab) -> None:
        await _check_refused(lab, _change, [])

    @clause()
    async def test_clear_does_nothing_where_the_session_is_not_as_expected(self, lab: Lab) -> None:
        await _check_refused(lab, _clear, False)

    @clause()
    async def test_erasing_does_nothing_where_the_session_is_not_as_expected(
        self, lab: Lab
    ) -> None:
        await _check_refused(lab, _erase, False)

    @clause()
    async def test_consolidate_does_nothing_where_the_session_is_not_as_expected(
        self, lab: Lab
    ) -> None:
        await _check_refused(lab, _consolidate, False)

    @clause()
    async def test_each_change_is_made_where_the_session_is_as_expected(self, lab: Lab) -> None:
        for verb in (_append, _edit, _delete, _change, _clear, _erase, _consolidate):
            await _check_done(lab, verb)

    # In one step.

    @clause()
    async def test_append_compares_and_stores_in_one_step(self, lab: Lab) -> None:
        for steps in range(6):
            await lab.storage.forget(KEY)
            await put(lab.storage, KEY, users("a"))
            expected = await expected_of(lab.storage)
            appended, _ = await at_once(
                lambda: lab.storage.append(KEY, users("b"), expected=expected),
                lambda: after_steps(steps, lambda: lab.storage.clear(KEY)),
            )
            turns = (await lab.storage.read(KEY)).turns
            assert [turn.epoch for turn in turns] == ([1] if appended is None else [1, 1])

    @clause()
    async def test_edit_compares_and_changes_in_one_step(self, lab: Lab) -> None:
        await put(lab.storage, KEY, users("a"))
        expected = await expected_of(lab.storage)

        async def edit(number: int) -> bool:
            change = Change(content=f"{number}")
            return await lab.storage.edit(KEY, 1, change, expected=expected) is not None

        done = await at_once(*(lambda number=number: edit(number) for number in range(10)))
        assert sum(done) == 1
        assert [turn.content for turn in (await lab.storage.read(KEY)).turns] == [
            f"{done.index(True)}"
        ]

    @clause()
    async def test_delete_compares_and_deletes_in_one_step(self, lab: Lab) -> None:
        await put(lab.storage, KEY, users(*"abcdefghij"))
        expected = await expected_of(lab.storage)
        gone = await at_once(
            *(
                lambda turn_id=turn_id: lab.storage.delete(KEY, [turn_id], expected=expected)
                for turn_id in range(1, 11)
            )
        )
        assert sum(map(len, gone)) == 1
        assert (await info_of(lab.storage)).turns == 9

    @clause()
    async def test_change_compares_and_changes_in_one_step(self, lab: Lab) -> None:
        await put(lab.storage, KEY, users(*"abcdefghij"))
        expected = await expected_of(lab.storage)

        async def change(number: int) -> list[Turn]:
            changes = {number: None, 11 - number: Change(content=f"{number}")}
            return await lab.storage.change(KEY, changes, expected=expected)

        done = await at_once(*(lambda number=number: change(number) for number in range(1, 11)))
        assert sorted(map(len, done)) == [0] * 9 + [2]
        assert (await info_of(lab.storage)).turns == 9

    @clause()
    async def test_clear_compares_and_begins_an_epoch_in_one_step(self, lab: Lab) -> None:
        await put(lab.storage, KEY, users("a"))
        expected = await expected_of(lab.storage)
        done = await at_once(
            *[lambda: lab.storage.clear(KEY, expected=expected) for _ in range(10)]
        )
        assert sorted(done) == [False] * 9 + [True]
        assert (await info_of(lab.storage)).epoch == 2

    @clause()
    async def test_consolidate_compares_and_sets_in_one_step(self, lab: Lab) -> None:
        for steps in range(6):
            await lab.storage.forget(KEY)
            await put(lab.storage, KEY, users("a", "b"))
            expected = await expected_of(lab.storage)
            await at_once(
                lambda: lab.storage.consolidate(KEY, 1, "sum", expected=expected),
                lambda: after_steps(steps, lambda: lab.storage.clear(KEY)),
            )
            assert (await info_of(lab.storage)).summary is None
