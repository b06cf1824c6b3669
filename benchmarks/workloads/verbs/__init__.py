"""Each verb over many sizes: how its CPU grows with what is stored, and with what is asked for.

The exponent is the slope of time over size, both in logarithms: 0 is flat, 1 is linear.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from ..rounds import in_process
from .fit import judged
from .subjects import AXES

CONTESTANTS = (
    "turnkeep, os",
    "turnkeep, disk",
    "turnkeep, sqlite, os",
    "turnkeep, memory",
)
SECONDS = 40
"""For each storage and axis; sizes that are not reached by then are left out."""


def run(*, short: bool, seconds: float = SECONDS) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for axis, sizes in AXES.items():
        for who in CONTESTANTS:
            arguments = (axis, 2 if short else seconds, sizes[1] if short else sizes[-1])
            found = in_process("workloads.verbs.measure", who, *arguments)
            if "missing" in found:
                results.append({"who": who, "axis": axis, "verb": "", **found})
                continue
            results += [{"who": who, "axis": axis, **one, **judged(one)} for one in found["verbs"]]
    return results


def table(results: list[dict[str, Any]]) -> str:
    """Return a row for each verb, and for each storage its exponent and µs at the largest size."""
    lines = [
        f"| verb, by size | {' | '.join(CONTESTANTS)} |",
        f"|{'---|' * (len(CONTESTANTS) + 1)}",
    ]
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one in results:
        rows.setdefault((one["axis"], one["verb"]), {})[one["who"]] = _cell(one)
    for (axis, verb), cells in rows.items():
        shown = [cells.get(who, "-") for who in CONTESTANTS]
        lines.append(f"| {axis}: {verb} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _cell(one: dict[str, Any]) -> str:
    if "missing" in one:
        return str(one["missing"])
    if one["exponent"] is None:
        return f"{one['us'][-1]:,.0f} at {one['sizes'][-1]:,}"
    text = f"{one['exponent']:.2f}, {one['us'][-1]:,.0f} at {one['sizes'][-1]:,}"
    return f"**{text}: grows**" if one["grows"] else text


def plot(results: list[dict[str, Any]], file: Path) -> None:
    pyplot: Any = import_module("matplotlib.pyplot")
    figure, all_axes = pyplot.subplots(1, len(AXES), figsize=(5 * len(AXES), 5), squeeze=False)
    for axes, axis in zip(all_axes[0], AXES, strict=True):
        axes.set(title=axis, xscale="log", yscale="log", xlabel="size", ylabel="µs of CPU")
        for one in results:
            if one["axis"] == axis and one["who"] == CONTESTANTS[0] and "us" in one:
                axes.plot(one["sizes"], one["us"], label=one["verb"])
        axes.legend(fontsize=5)
    figure.tight_layout()
    figure.savefig(file)
