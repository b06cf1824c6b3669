"""The number of trials, and their count at the end."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

TRIALS = float(os.environ.get("TURNKEEP_TRIALS", "1"))
"""So many times as much as in the short run."""

_counted: Counter[str] = Counter()


class Tally:
    """Counts trials, and chooses among cases."""

    def __init__(self, name: str) -> None:
        self._name = name
        # The long run tries other cases each time; a failure's message has the case.
        self.dice = random.Random(name if TRIALS == 1 else None)

    def some(self, cases: list[tuple[object, ...]], most: int) -> list[tuple[object, ...]]:
        """Return as many of the cases as there is time for."""
        count = min(len(cases), int(most * TRIALS))
        return self.dice.sample(cases, count)

    def times(self, most: int) -> range:
        """Return how often to try something that is random by itself."""
        return range(max(1, int(most * TRIALS)))

    def count(self, what: str, number: int = 1) -> None:
        _counted[f"{self._name}: {what}"] += number


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    return Tally(request.node.originalname or request.node.name)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _counted:
        terminalreporter.section("trials")
        for what, number in sorted(_counted.items()):
            terminalreporter.write_line(f"{number:>9,}  {what}")
