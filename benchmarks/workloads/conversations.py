"""Conversations with realistic lengths, the same at every run."""

from __future__ import annotations

import math
import random
from typing import Any

Messages = list[dict[str, Any]]


class Writer:
    """Writes messages whose lengths are those of a messenger.

    What a user writes has a median of 40 characters, what a model answers 160, a tool's result
    120; many are short, some long. Each begins with its number, so that no two are the same.
    """

    def __init__(self, seed: int) -> None:
        self.messages: Messages = []
        self._random = random.Random(seed)

    def _text(self, median: int) -> str:
        size = max(2, int(self._random.lognormvariate(math.log(median), 0.85)))
        words = ("lorem ipsum dolor sit amet " * (size // 27 + 1))[:size]
        return f"#{len(self.messages)} {words}"

    def user(self) -> None:
        self.messages.append({"role": "user", "content": self._text(40)})

    def answer(self) -> None:
        self.messages.append({"role": "assistant", "content": self._text(160)})

    def call(self) -> None:
        id = f"call_{len(self.messages)}"
        call = {"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}}
        self.messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        self.messages.append({"role": "tool", "content": self._text(120), "tool_call_id": id})

    def chance(self, share: float) -> bool:
        return self._random.random() < share


def chat(turns: int) -> Messages:
    """One person and a bot, in turn."""
    writer = Writer(seed=1)
    while len(writer.messages) < turns:
        writer.user()
        writer.answer()
    return writer.messages


def agent(calls: int) -> Messages:
    """A short talk, and then one question that takes an agent many calls."""
    writer = Writer(seed=2)
    for _ in range(10):
        writer.user()
        writer.answer()
    writer.user()
    for _ in range(calls):
        writer.call()
    writer.answer()
    return writer.messages


def group(turns: int) -> Messages:
    """Many people who talk with each other; the bot answers about every fifth message."""
    writer = Writer(seed=3)
    while len(writer.messages) < turns:
        writer.user()
        if writer.chance(0.2):
            writer.answer()
    return writer.messages
