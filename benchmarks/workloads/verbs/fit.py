"""The exponent of time over size, and whether it is what was asked for."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

FLAT = 0.1
LINEAR = 1.1


def exponent(sizes: Sequence[int], took: Sequence[float]) -> float | None:
    """Return the slope of the logarithms by least squares; None with fewer than two sizes.

    The smallest of more than two sizes is left out: a window of 50 costs less in a chat of 10.
    """
    if len(sizes) > 2:
        sizes, took = sizes[1:], took[1:]
    if len(sizes) < 2:
        return None
    slope, _ = statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(max(one, 1e-9)) for one in took]
    )
    return slope


def judged(one: dict[str, Any]) -> dict[str, Any]:
    """Return a verb's exponent, and True in `grows` if it is neither flat nor linear as asked.

    What grows does so over all sizes and over the last two: where a cache ends is one step.
    """
    sizes, took = one["sizes"], one["us"]
    slope, last = exponent(sizes, took), exponent(sizes[-2:], took[-2:])
    most = LINEAR if one["linear"] else FLAT
    return {
        "exponent": None if slope is None else round(slope, 3),
        "grows": slope is not None and last is not None and min(slope, last) >= most,
        "largest_us": one["us"][-1],
    }
