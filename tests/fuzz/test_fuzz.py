"""A minute of fuzzing, and all inputs that are kept."""

from __future__ import annotations

import os
import time
from random import Random

import pytest

from fuzz.corpus import fuzz_one, kept
from fuzz.targets import TARGETS

SECONDS = float(os.environ.get("TURNKEEP_FUZZ_SECONDS", "60"))
"""For all targets together."""


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_of_a_stranger_breaks_what_always_holds(name: str) -> None:
    for path in kept(name):
        fuzz_one(name, path.read_bytes())
    dice = Random(name)  # the same inputs each time; the long run tries others
    end = time.monotonic() + SECONDS / len(TARGETS)
    count = 0
    while count < 20 or time.monotonic() < end:
        fuzz_one(name, dice.randbytes(dice.randrange(2_000)))
        count += 1
