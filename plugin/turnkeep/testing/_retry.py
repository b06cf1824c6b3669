"""A long append can be tried again as safely as a short one."""

from __future__ import annotations

from collections.abc import Sequence

from .._records.key import SessionKey
from .._records.turn import Turn
from ..storage.base import DEDUPE_TURNS, Appended
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, expected_of, info_of, put, user

_LONG = 2 * DEDUPE_TURNS + 500


def _long(count: int = _LONG) -> list[Turn]:
    """Return so many turns, each with a token."""
    return [user(f"long {n}", token=f"t {n}") for n in range(count)]


async def _check_known(
    lab: Lab, given: Sequence[Turn], first: Appended, key: SessionKey = KEY
) -> None:
    """Try an append again: it gives what it gave, and stores nothing."""
    before = await info_of(lab.storage, key)
    again = await put(lab.storage, key, given)
    assert again.new == first.new
    assert [turn.content for turn in again.turns] == [turn.content for turn in first.turns]
    assert (again.info, await info_of(lab.storage, key)) == (before, before)


class RetryContract(Hooks):
    """A long append can be tried again as safely as a short one."""

    @clause()
    async def test_an_append_of_any_length_is_stored_once_under_its_tokens(self, lab: Lab) -> None:
        for count in (DEDUPE_TURNS, DEDUPE_TURNS + 1, _LONG):
            key = SessionKey("test", f"{count}")
            await put(lab.storage, key, [user("before")])
            given = _long(count)
            first = await put(lab.storage, key, given)
            await _check_known(lab, given, first, key)
            await lab.again()
            await _check_known(lab, given, first, key)
            assert (await info_of(lab.storage, key)).turns == 1 + count

    @clause("kill")
    async def test_an_append_of_any_length_is_stored_once_under_its_tokens_after_a_kill(
        self, lab: Lab
    ) -> None:
        given = _long()
        first = await put(lab.storage, KEY, given)
        await lab.killed()
        await _check_known(lab, given, first)

    @clause(capability="shared")
    async def test_another_process_knows_the_tokens_of_a_long_append(self, lab: Lab) -> None:
        given = _long()
        first = await put(lab.storage, KEY, given)
        lab.storage = await lab.second()
        await _check_known(lab, given, first)

    @clause()
    async def test_a_long_append_is_known_while_its_last_turn_is_among_the_latest(
        self, lab: Lab
    ) -> None:
        await put(lab.storage, KEY, [user("before", source_id="s")])
        expected = await expected_of(lab.storage)
        given = [user("again", source_id="s", token="t again"), *_long()]
        first = await put(lab.storage, KEY, given, expected=expected)
        await lab.storage.clear(KEY)
        between = [user(f"between {n}") for n in range(DEDUPE_TURNS // 2)]
        await put(lab.storage, KEY, between)
        for n in range(DEDUPE_TURNS // 2 - 1):
            await put(lab.storage, KEY, [user(f"later {n}", token=f"t later {n}")])
        await _check_known(lab, given, first)
        await lab.again()
        again = await put(lab.storage, KEY, given, expected=expected)
        assert (again.turns, again.new) == (first.turns, first.new)
        await _check_known(lab, given, first)

    @clause()
    async def test_a_long_append_is_known_after_its_session_was_renamed_or_merged(
        self, lab: Lab
    ) -> None:
        given = _long()
        first = await put(lab.storage, KEY, given)
        await lab.storage.rename(KEY, OTHER)
        await _check_known(lab, given, first)
        await lab.again()
        await _check_known(lab, given, first)
        third = SessionKey("test", "3")
        await put(lab.storage, third, [user(f"there {n}") for n in range(10)])
        await lab.storage.rename(OTHER, third)
        await _check_known(lab, given, first)
        await lab.again()
        await _check_known(lab, given, first, third)

    @clause()
    async def test_of_a_long_append_that_is_tried_again_only_deleted_turns_are_stored(
        self, lab: Lab
    ) -> None:
        given = _long()
        first = await put(lab.storage, KEY, given)
        gone = [turn.id for turn in first.turns[5:9]]
        await lab.storage.delete(KEY, gone)
        await lab.again()
        again = await put(lab.storage, KEY, given)
        ids = [turn.id for turn in first.turns]
        ids[5:9] = range(_LONG + 1, _LONG + 5)
        assert [turn.id for turn in again.turns] == ids
        assert again.new == first.new
        assert (await info_of(lab.storage)).turns == _LONG
        await _check_known(lab, given, again)
