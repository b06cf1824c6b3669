"""How much of each prompt a provider has in its cache, and what the bill is.

A conversation is replayed, and the model called wherever its turn comes. The beginning of a
window that is the same as in the call before, message by message, is in the provider's cache, and
billed at a tenth of its price. Tokens are counted the same for everybody: two for seven
characters, and 4 a message.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from turnkeep import SessionStore

from .conversations import Messages, agent, chat, group
from .sliding import PEERS, Slider

CACHED_PRICE = 0.1
SLACKS = (0.25, 0.5, 0.75)
COLUMNS = (
    *("conversation", "bound", "window", "shared", "bill per token", "bill per call"),
    *("tokens", "messages", "empty windows"),
)
BOUNDS = (("messages", 20), ("messages", 50), ("tokens", 1000), ("tokens", 4000))


def cost(message: dict[str, Any]) -> int:
    text = message["content"] or ""
    calls = message.get("tool_calls", ())
    return 4 + tokens(text) + sum(4 + tokens("look{}") for _ in calls)


def tokens(text: str) -> int:
    return -(-len(text) * 2 // 7)


def ours(unit: str, most: int, slack: float) -> Slider:
    """turnkeep's `get_history`, over a session in memory."""
    session = SessionStore("memory:").session("benchmark:1")
    loop = asyncio.new_event_loop()
    bound: dict[str, Any] = {f"max_{unit}": most, "slack": slack, "count_tokens": tokens}
    return Slider(
        lambda message: loop.run_until_complete(session.extend([message])),  # type: ignore[arg-type]
        lambda: loop.run_until_complete(session.get_history(**bound)),
    )


def windows(messages: Messages, slider: Slider) -> Iterator[Messages]:
    """The windows of all calls: before each message of the assistant's."""
    for before, after in itertools.pairwise(messages):
        slider.add(before)
        if after["role"] == "assistant":
            yield slider.window()


def measure(made: Iterator[Messages]) -> dict[str, float]:
    """The share of cached tokens, the bill per token sent, and what a call sends on average."""
    calls = sent = cached = length = empty = 0
    last: Messages = []
    for window in made:
        costs = [cost(message) for message in window]
        pairs = zip(last, window, strict=False)
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        calls, length, empty = calls + 1, length + len(window), empty + (not window)
        sent, cached = sent + sum(costs), cached + sum(costs[:same])
        last = window
    share = cached / sent if sent else 0.0
    return {
        "calls": calls,
        "shared": round(share, 3),
        "bill_per_token": round(1 - (1 - CACHED_PRICE) * share, 3),
        "bill_per_call": round((sent - (1 - CACHED_PRICE) * cached) / calls, 1),
        "tokens": round(sent / calls, 1),
        "messages": round(length / calls, 1),
        "empty": empty,
    }


def run(*, short: bool) -> list[dict[str, Any]]:
    size = 20 if short else 1
    conversations = {
        "chat": chat(2000 // size),
        "agent": agent(300 // size),
        "group": group(2000 // size),
    }
    results: list[dict[str, Any]] = []
    for name, messages in conversations.items():
        for unit, most in BOUNDS[1:2] if short else BOUNDS:
            for who, make in contestants(unit, most):
                about = {"conversation": name, "bound": f"{most} {unit}", "who": who}
                try:
                    slider = make()
                except ModuleNotFoundError as error:
                    results.append({**about, "missing": f"{error.name} is not installed"})
                except NotImplementedError as error:
                    results.append({**about, "missing": str(error)})
                else:
                    results.append({**about, **measure(windows(messages, slider))})
    return results


def contestants(unit: str, most: int) -> Iterator[tuple[str, Callable[[], Slider]]]:
    for slack in SLACKS:
        yield f"turnkeep, slack {slack}", partial(ours, unit, most, slack)
    for name, make in PEERS.items():
        yield name, partial(make, most, None if unit == "messages" else cost)


def table(results: list[dict[str, Any]]) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for one in results:
        head = f"| {one['conversation']} | {one['bound']} | {one['who']} |"
        if "missing" in one:
            lines.append(f"{head} {one['missing']} | | | | | |")
            continue
        bills = f"{one['bill_per_token']:.3f} | {one['bill_per_call']:.0f}"
        lengths = f"{one['tokens']:.0f} | {one['messages']:.0f}"
        empty = f"{one['empty']} of {one['calls']}"
        lines.append(f"{head} {one['shared']:.3f} | {bills} | {lengths} | {empty} |")
    return "\n".join(lines)


def plot(results: list[dict[str, Any]], file: Path) -> None:
    """A bar for each window's bill per token sent, a panel for each conversation."""
    pyplot: Any = import_module("matplotlib.pyplot")
    names = list(dict.fromkeys(one["conversation"] for one in results))
    figure, panels = pyplot.subplots(1, len(names), figsize=(5 * len(names), 6), squeeze=False)
    for panel, name in zip(panels[0], names, strict=True):
        shown = [one for one in results if one["conversation"] == name and "missing" not in one]
        labels = [f"{one['who']}, {one['bound']}" for one in shown]
        colors = ["tab:blue" if one["who"].startswith("turnkeep") else "tab:gray" for one in shown]
        panel.barh(labels, [one["bill_per_token"] for one in shown], color=colors)
        panel.invert_yaxis()
        panel.set_title(name)
        panel.set_xlabel("bill per token sent")
    figure.tight_layout()
    figure.savefig(file)
