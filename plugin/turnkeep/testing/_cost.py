"""The cost of a verb does not depend on the length of the session; nothing is timed."""

from __future__ import annotations

from ..storage.base import DEDUPE_TURNS
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, expected_of, user

SHORT = 2 * DEDUPE_TURNS
LONG = 4 * SHORT


async def _fill(lab: Lab) -> None:
    for key, count in ((KEY, SHORT), (OTHER, LONG)):
        for start in range(0, count, 500):
            turns = [user("a" * 50, source_id=f"{start + n}") for n in range(500)]
            await lab.storage.append(key, turns)


def _is_alike(short: int, long: int) -> bool:
    return long <= 1.5 * short + 200


class CostContract(Hooks):
    """The cost of a verb does not depend on the length of the session; nothing is timed."""

    @clause()
    async def test_the_cost_of_an_append_does_not_depend_on_the_length_of_the_session(
        self, lab: Lab
    ) -> None:
        await _fill(lab)
        for key in (KEY, OTHER):
            await lab.storage.append(key, [user("first", source_id="first")])
        costs = [
            await lab.cost(lab.storage.append(key, [user("b", source_id="new", token="t")]))
            for key in (KEY, OTHER)
        ]
        assert _is_alike(*costs), f"{SHORT} turns cost {costs[0]}, and {LONG} cost {costs[1]}"
        expected = {key: await expected_of(lab.storage, key, 5) for key in (KEY, OTHER)}
        costs = [
            await lab.cost(lab.storage.append(key, [user("c")], expected=expected[key]))
            for key in (KEY, OTHER)
        ]
        assert _is_alike(*costs), f"{SHORT} turns cost {costs[0]}, and {LONG} cost {costs[1]}"

    @clause()
    async def test_the_cost_of_reading_the_newest_does_not_depend_on_the_length_of_the_session(
        self, lab: Lab
    ) -> None:
        await _fill(lab)
        storage = await lab.again()
        for _ in range(2):
            costs = [await lab.cost(storage.read(key, limit=20)) for key in (KEY, OTHER)]
            assert _is_alike(*costs), f"{SHORT} turns cost {costs[0]}, and {LONG} cost {costs[1]}"
