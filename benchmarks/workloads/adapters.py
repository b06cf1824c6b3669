"""What an adapter adds to an update: CPU time above the bare framework, in one run."""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from contestants.bots import FRAMEWORKS
from turnkeep import SessionStore

from .exchanges import plan
from .rounds import bars, in_process, medians
from .rounds import table as table_of

TASKS: Final = (64, 1)
COLUMNS: Final = {
    "cpu_64": "CPU µs an update, 64 at a time",
    "added_64": "added",
    "cpu_1": "CPU µs, one by one",
    "added_1": "added, one by one",
    "us_64": "µs on the clock, 64 at a time",
}
BLOCKS: Final = 3
"""The measured blocks of a process, of which the median counts, for each number of tasks."""

LINGER: Final = 5.5
"""The seconds after which the adapter for discord.py lets go of a message: part of its cost."""


class Kind(NamedTuple):
    """What a bot does with an update. `answers` is whether it sends something."""

    answers: bool
    storage: str | None = None
    resume: bool = True


KINDS: Final = {
    "": Kind(answers=False),
    " and turnkeep": Kind(answers=False, storage="jsonl"),
    ", without resume": Kind(answers=False, storage="jsonl", resume=False),
    ", memory": Kind(answers=False, storage="memory"),
    ", disk": Kind(answers=False, storage="disk"),
    ", that answers": Kind(answers=True),
    " and turnkeep, that answers": Kind(answers=True, storage="jsonl"),
}
NAMES: Final = [f"{framework}{kind}" for framework in FRAMEWORKS for kind in KINDS]


def parted(name: str) -> tuple[str, Kind]:
    framework = next(one for one in FRAMEWORKS if name.startswith(one))
    return framework, KINDS[name.removeprefix(framework)]


def bare_of(name: str) -> str:
    """Return the name of the bare framework that a bot is compared with."""
    framework, kind = parted(name)
    return f"{framework}, that answers" if kind.answers else framework


def store_of(kind: Kind, folder: Path) -> SessionStore | None:
    if kind.storage is None:
        return None
    if kind.storage == "memory":
        return SessionStore("memory:")
    return SessionStore(folder, durability="disk" if kind.storage == "disk" else "os")


async def measure(name: str, folder: Path, updates: int, linger: float) -> dict[str, Any]:
    framework, kind = parted(name)
    store = store_of(kind, folder)
    options = {} if store is None or kind.resume else {"resume": timedelta(0)}
    if store is not None:
        await store.__aenter__()
    bot = await FRAMEWORKS[framework](store, answers=kind.answers, **options)
    gc.collect()
    gc.freeze()  # as the templates do: what the imports have made is not swept through
    lingers = framework == "discord.py" and store is not None
    took: dict[str, list[float]] = {}
    first = 1
    for tasks in (TASKS[0], *TASKS * BLOCKS):  # the first time is to get warm
        chats = [int(chat.rpartition(":")[2]) + 1000 for chat in plan(1000, updates)]
        todo = iter(enumerate(chats, first))
        first += updates

        async def work(todo: Any = todo) -> None:
            for number, chat in todo:
                await bot.feed(number, chat)

        cpu, start = time.process_time(), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(tasks)))
        elapsed = time.perf_counter() - start
        if lingers:
            await asyncio.sleep(linger)
        for what, seconds in ("cpu", time.process_time() - cpu), ("us", elapsed):
            took.setdefault(f"{what}_{tasks}", []).append(seconds / updates * 1e6)
    await bot.close()
    if store is not None:
        await store.aclose()
    return {what: round(statistics.median(each[-BLOCKS:]), 1) for what, each in took.items()}


def run(*, short: bool) -> list[dict[str, Any]]:
    updates, linger, count = (50, 0, 1) if short else (2000, LINGER, 5)
    names = [
        name for name in NAMES if not short or name.removesuffix(" and turnkeep") in FRAMEWORKS
    ]
    found = [measured_round(names, turn, updates, linger) for turn in range(count)]
    return [{"who": name, **medians([one[name] for one in found])} for name in names]


def measured_round(
    names: Sequence[str], turn: int, *arguments: object
) -> dict[str, dict[str, Any]]:
    """Measure each bot once, a different one first at each turn, and subtract the bare ones.

    The differences are taken within a round, where the machine is as busy for both.
    """
    turn %= len(names)
    one = {
        name: in_process("workloads.adapters", name, *arguments)
        for name in [*names[turn:], *names[:turn]]
    }
    for name, figures in one.items():
        bare = one[bare_of(name)]
        if "missing" not in figures and "missing" not in bare:
            for tasks in TASKS:
                added = figures[f"cpu_{tasks}"] - bare[f"cpu_{tasks}"]
                figures[f"added_{tasks}"] = round(added, 1)
    return one


def table(results: list[dict[str, Any]]) -> str:
    return table_of(results, COLUMNS, "cpu_64")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    bars(results, "cpu_64", "CPU µs for an update, 64 at a time", file)


def main() -> None:
    name, folder, updates, linger = sys.argv[1:]
    try:
        figures = asyncio.run(measure(name, Path(folder), int(updates), float(linger)))
    except ModuleNotFoundError as error:
        figures = {"missing": f"{error.name} is not installed"}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
