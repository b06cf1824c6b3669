"""The number of generated examples that a test tries: `HYPOTHESIS_PROFILE` chooses.

- `ci`, the default, tries a quarter of them, and the same ones at each run, so that no change is
  blamed for what chance has found. A test whose sentence is proved by its examples alone is
  marked `proof=True`, and tries all of them.
- `quick` tries a tenth of all: enough to see that the code runs on a Python.
- `nightly` tries all, and other ones each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings

__all__ = ["PROFILE", "many", "number_of"]

PROFILE: Final = os.environ.get("HYPOTHESIS_PROFILE", "ci")

Test = TypeVar("Test", bound=Callable[..., object])

for _name in ("ci", "quick", "nightly"):
    settings.register_profile(
        _name,
        deadline=None,
        print_blob=True,
        derandomize=_name != "nightly",
        suppress_health_check=[HealthCheck.too_slow],  # a busy machine draws slowly
    )


def number_of(examples: int, *, proof: bool = False) -> int:
    """Return how many of so many examples the profile tries."""
    if PROFILE == "nightly" or (proof and PROFILE == "ci"):
        return examples
    return max(1, examples // (10 if PROFILE == "quick" else 4))


def many(examples: int, *, proof: bool = False, **more: Any) -> Callable[[Test], Test]:
    """Try as many of these examples as the profile says, and mark the test `generated`."""
    chosen = settings(max_examples=number_of(examples, proof=proof), **more)
    return lambda test: pytest.mark.generated(chosen(test))
