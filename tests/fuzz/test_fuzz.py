"""A minute of fuzzing, and all inputs that are kept."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from fuzz.corpus import fuzz_one, kept
from fuzz.targets import TARGETS

HAS_ATHERIS = importlib.util.find_spec("atheris") is not None
SECONDS = float(os.environ.get("TURNKEEP_FUZZ_SECONDS", "60")) / (1 + HAS_ATHERIS)
"""For all targets together, with each engine that is there."""


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


@pytest.mark.parametrize("engine", ["atheris"] if HAS_ATHERIS else ["hypothesis"])
def test_the_command_of_the_long_run_finds_nothing(engine: str) -> None:
    seconds = SECONDS if HAS_ATHERIS else 3  # without it, the test above drew as many
    run = [
        sys.executable,
        "-m",
        "fuzz",
        "--together",
        "--seconds",
        f"{seconds}",
        "--engine",
        engine,
    ]
    found = subprocess.run(
        run, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert "nothing found" in found.stdout
