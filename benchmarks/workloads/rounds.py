"""Runs contestants in interleaved rounds, each in a process and a folder of its own."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from contestants import Contestant, make

HERE = Path(__file__).parents[1]
LIMIT = 600
"""Seconds, after which a contestant's process is given up."""


def in_process(module: str, name: str, *arguments: object, limit: int = LIMIT) -> dict[str, Any]:
    """What one contestant measured; `missing` says why it measured nothing."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", module, name, f"{folder}/data", *map(str, arguments)]
        try:
            ran = subprocess.run(
                command, cwd=HERE, capture_output=True, text=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            return {"missing": f"it did not end within {limit} seconds"}
    if ran.returncode:
        return {"missing": f"it failed: {ran.stderr.strip().splitlines()[-1][:200]}"}
    measured: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return measured


def tell(name: str, measure: Callable[[Contestant], Awaitable[dict[str, Any]]]) -> None:
    """Print what a contestant measured, or that its package is missing, for `in_process`."""
    try:
        contestant = make(name)
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": f"{error.name} is not installed"}))
        return

    async def run() -> dict[str, Any]:
        return await measure(contestant)

    print(json.dumps(asyncio.run(run())))


def rounds(
    module: str, names: Sequence[str], *arguments: object, count: int, limit: int = LIMIT
) -> list[dict[str, Any]]:
    """The medians of each contestant over some rounds, and the range of each figure.

    Each round begins with another contestant, so that no one has the quiet hour.
    """
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(count):
        for name in [*names[turn:], *names[:turn]]:
            if not (measured[name] and "missing" in measured[name][-1]):
                measured[name].append(in_process(module, name, *arguments, limit=limit))
    return [{"who": name, **medians(found)} for name, found in measured.items()]


def medians(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if "missing" in found[-1]:
        return found[-1]
    result: dict[str, Any] = {}
    for figure, value in found[0].items():
        if isinstance(value, int | float):
            values = [one[figure] for one in found]
            result[figure] = statistics.median(values)
            result[f"{figure}_range"] = [min(values), max(values)]
        else:
            result[figure] = value
    return result


def table(results: Sequence[dict[str, Any]], columns: dict[str, str], ratio: str) -> str:
    """A table of the figures, and of `ratio`'s to that of the first contestant."""
    heads = ["", *columns.values(), f"{columns[ratio]}, ratio to {results[0]['who']}"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for one in results:
        if "missing" in one:
            lines.append(f"| {one['who']} | {one['missing']} |{' |' * len(columns)}")
            continue
        cells = [str(one["who"])]
        for figure in columns:
            low, high = one.get(f"{figure}_range", (None, None))
            spread = f" ({low:g} to {high:g})" if low is not None and low != high else ""
            value = one.get(figure, "not reached")
            cells.append(f"{value:g}{spread}" if isinstance(value, int | float) else str(value))
        first = results[0].get(ratio)
        cells.append(f"{one[ratio] / first:.3g}" if first and ratio in one else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def bars(results: Sequence[dict[str, Any]], figure: str, label: str, file: Path) -> None:
    """A bar for each contestant, on a logarithmic scale."""
    pyplot: Any = import_module("matplotlib.pyplot")
    shown = [one for one in results if figure in one]
    figure_, axes = pyplot.subplots(figsize=(9, 0.5 * len(shown) + 1.5))
    colors = ["tab:blue" if one["who"].startswith("turnkeep") else "tab:gray" for one in shown]
    axes.barh([one["who"] for one in shown], [one[figure] for one in shown], color=colors)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(label)
    figure_.tight_layout()
    figure_.savefig(file)
