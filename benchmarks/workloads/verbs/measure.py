"""One storage's verbs on one axis, in a process of its own; prints JSON.

python -m workloads.verbs.measure NAME FOLDER AXIS SECONDS LARGEST
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

from contestants import make
from turnkeep import UnsupportedError

from . import of_asked, of_chats, of_rounds, of_turns
from .subjects import AXES, GROW, Subject
from .verb import Verb

ON = {"turns": of_turns.ON, "chats": of_chats.ON, "rounds": of_rounds.ON, "asked": of_asked.ON}
TRIES = 3
"""Each verb is tried so often at least, unless it has its own bound."""

SHARE = 1 / 400
"""Of the seconds there are: so much CPU, after which a verb was tried often enough."""

SLOW = 2
"""Seconds of CPU, from which on a verb is not tried at the next size."""


async def measure(
    name: str, folder: Path, axis: str, seconds: float, largest: int
) -> dict[str, Any]:
    contestant: Any = make(name)
    await contestant.open(folder)
    again = None if contestant.durable == "nothing" else lambda: contestant.make(folder)
    on = Subject(contestant.store, again)
    sizes: dict[str, list[int]] = {}
    took: dict[str, list[float]] = {}
    begin = time.perf_counter()
    growing = 0.0
    for size in AXES[axis]:
        # What is as much larger takes as much longer to make: not begun if there is no time.
        left = seconds - (time.perf_counter() - begin)
        if size > largest or (on.size > AXES[axis][0] and left < 10 * growing):
            break
        start = time.perf_counter()
        await GROW[axis](on, size)
        growing = time.perf_counter() - start
        for verb in ON[axis]:
            before = took.get(verb.name, [])
            is_late = time.perf_counter() - begin > 2 * seconds
            if len(before) > 1 and (is_late or before[-1] > 1e6 * SLOW):
                continue
            print(f"verbs: {name}: {axis} {size:,}: {verb.name}", file=sys.stderr)
            spent = await spend(on, verb, seconds * SHARE)
            if spent:
                sizes.setdefault(verb.name, []).append(size)
                # The least: other work on the machine makes calls dearer, never cheaper.
                took.setdefault(verb.name, []).append(round(min(spent) * 1e6, 1))
    await on.store.aclose()
    return {
        "verbs": [
            {
                "verb": verb.name,
                "sizes": sizes[verb.name],
                "us": took[verb.name],
                "linear": verb.is_linear(name),
            }
            for verb in ON[axis]
            if verb.name in took
        ]
    }


async def spend(on: Subject, verb: Verb, enough: float) -> list[float]:
    """Return the seconds of CPU that each of some calls of a verb took, on all threads."""
    spent: list[float] = []
    while len(spent) < verb.most and (len(spent) < TRIES or sum(spent) < enough):
        called = await verb.prepare(on)
        if called is None:
            break
        if not spent:
            gc.collect()
        begin = time.process_time()
        try:
            await called
        except UnsupportedError:
            break
        spent.append(time.process_time() - begin)
    return spent


def main() -> None:
    name, folder, axis, seconds, largest = sys.argv[1:]
    try:
        run = measure(name, Path(folder), axis, float(seconds), int(largest))
        print(json.dumps(asyncio.run(run)))
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": f"{error.name} is not installed"}))


if __name__ == "__main__":
    main()
