"""An agent's loop: what the CPU spends on a round, after 100, 300 and 1,000 rounds.

A round is a call, its result, and the window for the model's next answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from contestants import WINDOW
from turnkeep import Reply, Session, SessionStore

from .rounds import bars, rounds
from .rounds import table as table_of

CONTESTANTS = tuple(
    f"turnkeep, {where}, {whose}, {bound}"
    for where in ("os", "memory")
    for whose in ("reply", "session")
    for bound in ("50 messages", "32,000 tokens")
)
ROUNDS = (100, 300, 1000)
SAMPLE = 20
ARGUMENTS = '{"where": "' + "somewhere " * 8 + '"}'
RESULT = "a cat on the table " * 6

Step = Callable[[int], Awaitable[None]]


def in_reply(reply: Reply) -> Step:
    async def step(number: int) -> None:
        reply.add_tool_call(f"c{number}", "look", ARGUMENTS)
        reply.add_tool_result(f"c{number}", RESULT)

    return step


def at_session(session: Session) -> Step:
    async def step(number: int) -> None:
        call = {"id": f"c{number}", "function": {"name": "look", "arguments": ARGUMENTS}}
        await session.append("assistant", None, tool_calls=[call])
        await session.append("tool", RESULT, tool_call_id=f"c{number}")

    return step


async def measure(name: str, folder: Path, longest: int) -> dict[str, Any]:
    _, where, whose, bound = name.split(", ", 3)
    options: Any = {"max_messages": WINDOW} if "messages" in bound else {"max_tokens": 32_000}
    async with SessionStore(folder if where == "os" else "memory:") as store:
        session = store.session("benchmark:1")
        await session.append("user", "What is there?")
        if whose == "session":
            return await spent(at_session(session), session, options, longest)
        async with session.reply() as reply:
            return await spent(in_reply(reply), reply, options, longest)


async def spent(step: Step, window: Reply | Session, options: Any, longest: int) -> dict[str, Any]:
    """Milliseconds of CPU a round, the mean of the last rounds before each length."""
    figures: dict[str, Any] = {}
    begin = time.process_time()
    for number in range(1, longest + 1):
        if number + SAMPLE in ROUNDS:
            begin = time.process_time()
        await step(number)
        await window.get_history(**options)
        if number in ROUNDS:
            figures[f"at_{number}"] = round((time.process_time() - begin) / SAMPLE * 1000, 3)
    return figures


def run(*, short: bool) -> list[dict[str, Any]]:
    longest = ROUNDS[0] if short else ROUNDS[-1]
    return rounds("workloads.loops", CONTESTANTS, longest, count=1 if short else 3)


def table(results: list[dict[str, Any]]) -> str:
    there = [length for length in ROUNDS if f"at_{length}" in results[0]]
    columns = {f"at_{length}": f"ms of CPU at round {length:,}" for length in there}
    return table_of(results, columns, f"at_{there[-1]}")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    longest = max(length for length in ROUNDS if f"at_{length}" in results[0])
    bars(results, f"at_{longest}", f"ms of CPU for round {longest:,} of an agent's loop", file)


def main() -> None:
    name, folder, longest = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(name, Path(folder), int(longest)))))


if __name__ == "__main__":
    main()
