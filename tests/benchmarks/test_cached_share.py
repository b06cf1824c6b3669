"""The rules that cut come near the limits that `docs/caching.md` tells."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

# They are counted, the same on each Python.
pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def rules() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "cached_share.py"
    spec = importlib.util.spec_from_file_location("cached_share", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["cached_share"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "medians", [(30, 30), (30, 120), (40, 160), (60, 60), (60, 180), (120, 180), (180, 180)]
)
def test_at_4000_tokens_92_percent_are_cached_with_each_of_20_seeds_and_these_lengths(
    rules: ModuleType, medians: tuple[int, int]
) -> None:
    for seed in range(1, 21):
        chat = rules.Chat(rules.talk(500, seed, *medians))
        best = chat.share(rules.with_memory(chat))
        # No rule has more, and ours nearly as much as one that remembers its last cut.
        assert max(0.92, best - 0.01) <= chat.share(rules.ours(chat)) <= best, f"seed {seed}"


@pytest.mark.parametrize(("others", "least"), [(0, 0.89), (1, 0.88), (2, 0.865), (4, 0.835)])
def test_while_others_are_open_the_share_is_at_most_a_point_below_the_limit(
    rules: ModuleType, others: int, least: float
) -> None:
    for seed in (1, 2):
        talk = rules.talk(500, seed, 40, 160)
        windows = rules.open_windows(rules.overlapping(talk, others))
        share, limit = rules.open_share(windows), rules.limit(talk, others)
        assert share >= least
        assert limit - 0.01 <= share <= limit + 0.003


def test_no_rule_that_keeps_answers_behind_their_questions_has_088_at_4_or_085_at_8(
    rules: ModuleType,
) -> None:
    for seed, medians in ((1, (40, 160)), (2, (100, 100))):
        talk = rules.talk(500, seed, *medians)
        assert rules.limit(talk, 4) < 0.88
        assert rules.limit(talk, 8) < 0.85
