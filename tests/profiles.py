"""The number of generated examples that a test tries: `HYPOTHESIS_PROFILE` chooses.

- `ci`, the default, tries a quarter of them, and the same ones at each run, so that no change is
  blamed for what chance has found. A test whose sentence is proved by its examples alone is
  marked `proof=True`, and tries all of them.
- `quick` tries a quarter of the proofs too: they are proved elsewhere.
- `nightly` tries all, and other ones each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings

__all__ = ["PROFILE", "many"]

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


def many(examples: int, *, proof: bool = False, **more: Any) -> Callable[[Test], Test]:
    """Try so many examples at night, and by day a quarter of them where they are no proof."""
    whole = PROFILE == "nightly" or (proof and PROFILE == "ci")
    chosen = settings(max_examples=examples if whole else max(1, examples // 4), **more)

    def decorate(test: Test) -> Test:
        decorated = chosen(test)
        return pytest.mark.proof(decorated) if proof else decorated

    return decorate
