"""Conversations as they are when nothing goes wrong, and how they grow turn by turn."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from turnkeep import Turn, estimate_tokens
from turnkeep._window.options import WindowOptions
from turnkeep._window.tokens import message_tokens

from .chats import Chat, Messages, id_of, info_of, read_window
from .writer import NOW


def plain_chat(exchanges: Sequence[int]) -> Chat:
    """Exchanges of so many messages each: a user's, calls with their results, an answer."""
    turns: list[Turn] = []

    def add(role: str, content: str | None, to: int | None, **fields: object) -> int:
        mark = None if content is None else f"#{len(turns) + 1} {content}"
        turns.append(
            Turn(id=len(turns) + 1, role=role, content=mark, time=NOW, answers=to, **fields)  # type: ignore[arg-type]
        )
        return len(turns)

    for length in exchanges:
        user = add("user", "Hi", None)
        for _ in range((length - 1) // 2):
            call = {"id": f"call_{len(turns)}", "function": {"name": "f", "arguments": "{}"}}
            add("assistant", None, user, tool_calls=[call])
            add("tool", "21°", user, tool_call_id=call["id"])
        if length % 2 == 0:
            add("assistant", "Done.", user)
    return Chat(turns, info_of(len(turns)))


def talk(exchanges: int, seed: int) -> Chat:
    """A talk with lengths as in a messenger: many short ones, some long, an answer longer.

    The median of what a user writes is 40 characters, of what the model answers 160; the
    mean is half as much again.
    """
    lengths = random.Random(seed)
    turns = []
    for id in range(1, 2 * exchanges + 1):
        role, median, spread = ("user", 40, 0.9) if id % 2 else ("assistant", 160, 0.8)
        size = max(2, int(lengths.lognormvariate(math.log(median), spread)))
        text = f"#{id} " + ("lorem ipsum dolor sit amet " * (size // 27 + 1))[:size]
        answers = None if id % 2 else id - 1
        turns.append(Turn(id=id, role=role, content=text, time=NOW, answers=answers))  # type: ignore[arg-type]
    return Chat(turns, info_of(len(turns)))


def mixed_talk(exchanges: int, seed: int, median: int) -> Chat:
    """A talk in which the model calls tools, answers late, or writes first, now and then."""
    chance = random.Random(seed)
    turns: list[Turn] = []
    late: list[int] = []

    def add(role: str, to: int | None, **fields: object) -> int:
        id = len(turns) + 1
        size = max(2, int(chance.lognormvariate(math.log(median), 0.9)))
        text = f"#{id} " + ("lorem ipsum dolor sit amet " * (size // 27 + 1))[:size]
        turns.append(Turn(id=id, role=role, content=text, time=NOW, answers=to, **fields))  # type: ignore[arg-type]
        return id

    for _ in range(exchanges):
        user = add("user", None)
        for _ in range(chance.choice((0, 0, 0, 0, 1, 8))):
            call = {"id": f"call_{user}", "function": {"name": "f", "arguments": "{}"}}
            add("assistant", user, tool_calls=[call])
            add("tool", user, tool_call_id=call["id"])
        if chance.random() < 0.1:
            late.append(user)
            continue
        add("assistant", user)
        if chance.random() < 0.2:
            add("assistant", None)
        if late and chance.random() < 0.5:
            add("assistant", late.pop())
    return Chat(turns, info_of(len(turns)))


@dataclass
class Call:
    """One call of the model: the id of the chat's last turn, and what was sent."""

    last_id: int
    window: Messages
    tokens: int
    shared: int
    """Tokens of the beginning that is the same as in the call before."""

    @property
    def start(self) -> int | None:
        return id_of(self.window[0]["content"])


def calls(chat: Chat, options: WindowOptions) -> Iterator[Call]:
    """The calls of the model as the chat grows: after each turn that it is to go on from."""
    before: Messages = []
    for count, turn in enumerate(chat.turns, 1):
        if turn.role == "assistant":
            continue
        grown = Chat(chat.turns[max(0, count - 2500) : count], info_of(turn.id))
        window, _ = read_window(grown, options)
        assert not isinstance(window, str)
        costs = [message_tokens(message, estimate_tokens) for message in window]
        same = 0
        while same < min(len(before), len(window)) and before[same] == window[same]:
            same += 1
        yield Call(turn.id, window, sum(costs), sum(costs[:same]))
        before = window


def share(made: Sequence[Call]) -> float:
    """The share of all prompt tokens that a provider has in its cache."""
    return sum(call.shared for call in made) / sum(call.tokens for call in made)


def cuts(made: Sequence[Call]) -> list[int]:
    """After which turns a window did not begin and go on as the one before it."""
    return [
        call.last_id
        for before, call in itertools.pairwise(made)
        if call.window[: len(before.window)] != before.window
    ]
