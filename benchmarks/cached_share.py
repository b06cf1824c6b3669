"""The share of all prompt tokens that a provider has in its cache, by the rule that cuts.

`python benchmarks/cached_share.py` prints two tables: windows by tokens over chats of many
lengths, and windows by messages while several replies are open. Beside turnkeep's rule stands
what others reach on the same chats, and what none can pass.

Windows are followed question by question. Nothing is stored or sent, so the figures are the same
on each machine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import accumulate, pairwise
from statistics import fmean
from typing import Final, TypeAlias

from msgspec.structs import replace

from turnkeep import Turn, estimate_tokens
from turnkeep._records.turn import Role
from turnkeep._window.arrange import Arrangement
from turnkeep._window.cut import first_kept
from turnkeep._window.fit import Bound
from turnkeep._window.ledger import one_message

MOST: Final = 4000
MESSAGES: Final = 50
SLACK: Final = 0.5
SEEDS: Final = range(1, 21)
MEDIANS: Final = ((30, 30), (30, 120), (40, 160), (60, 60), (60, 180), (120, 180), (180, 180))
"""Characters of what a user writes, and of an answer."""
_NOW: Final = datetime(2026, 1, 1, tzinfo=timezone.utc)

Starts: TypeAlias = Sequence[int]
"""The first exchange of each question's window."""


def talk(exchanges: int, seed: int, user: int, answer: int) -> list[Turn]:
    """Return a chat with lognormal lengths; each turn's id is its place."""
    lengths = random.Random(seed)
    turns: list[Turn] = []
    for id in range(1, 2 * exchanges + 1):
        median, spread = (user, 0.9) if id % 2 else (answer, 0.8)
        size = max(2, int(lengths.lognormvariate(math.log(median), spread)))
        text = ("lorem ipsum dolor sit amet " * (size // 27 + 1))[:size]
        role: Role = "user" if id % 2 else "assistant"
        answers = None if id % 2 else id - 1
        turns.append(Turn(id=id, role=role, content=text, time=_NOW, answers=answers))
    return turns


def cost(turn: Turn) -> int:
    """Return the tokens of a turn's message."""
    return estimate_tokens(turn.text) + 4


# By tokens.


class Chat:
    """A chat of one exchange after the other, and the tokens of its windows."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.turns = turns
        self.costs: list[int] = [cost(turn) for turn in turns]
        self._before: list[int] = [0, *accumulate(self.costs)]
        self.questions = range(len(turns) // 2)

    def tokens(self, start: int, question: int) -> int:
        """Return the tokens of the window of a question that begins at an exchange."""
        return self._before[2 * question + 1] - self._before[2 * start]

    def share(self, starts: Starts) -> float:
        """Return the cached share of the windows that begin at these exchanges."""
        sent = sum(map(self.tokens, starts, self.questions))
        same = sum(
            self.tokens(start, question)
            for question, (start, after) in enumerate(pairwise(starts))
            if start == after
        )
        return same / sent


def ours(chat: Chat) -> list[int]:
    """The rule of `turnkeep._window.cut`, a pure function of the end of the chat."""
    costs = {turn.id: tokens for turn, tokens in zip(chat.turns, chat.costs, strict=True)}
    messages = Bound(10**9, one_message, SLACK)
    tokens = Bound(MOST, lambda turn: costs[turn.id], SLACK)
    arrangement, starts = Arrangement(), []
    for question in chat.questions:
        arrangement.extend(chat.turns[max(0, 2 * question - 1) : 2 * question + 1])
        cut = first_kept(arrangement, 0, messages, tokens, complete=True)
        assert cut is not None
        starts.append(cut.start)
    return starts


def with_memory(chat: Chat) -> list[int]:
    """The rule that knows its last cut: the most that any rule with this slack can reach.

    It keeps the start until the window is full; then it cuts to the smallest that is allowed.
    """
    start, starts = 0, []
    for question in chat.questions:
        if chat.tokens(start, question) > MOST:
            while start < question and chat.tokens(start + 1, question) >= (1 - SLACK) * MOST:
                start += 1
            if chat.tokens(start, question) > MOST:
                start += 1
        starts.append(start)
    return starts


# While several replies are open.


def overlapping(turns: Sequence[Turn], others: int) -> list[Turn]:
    """Return the turns as they are stored if each answer comes after so many further questions."""
    asked, answers = turns[::2], turns[1::2]
    places = {turn.id: n for n, turn in enumerate(asked)}
    order = [(float(places[turn.id]), turn) for turn in asked]
    order += [(n + others + 0.5, turn) for n, turn in enumerate(answers)]
    stored = [turn for _, turn in sorted(order, key=lambda one: one[0])]
    new = {turn.id: place for place, turn in enumerate(stored, 1)}
    return [
        Turn(
            id=new[turn.id],
            role=turn.role,
            content=turn.content,
            time=turn.time,
            answers=None if turn.answers is None else new[turn.answers],
        )
        for turn in stored
    ]


def open_windows(turns: Sequence[Turn], *, behind: bool = True) -> list[list[Turn]]:
    """Return the windows of at most 50 messages, one for each question.

    With `behind` an answer stands behind its question, as turnkeep shows it. Without, each turn
    stays where it was stored, and nothing says which question an answer is for.
    """
    bound = Bound(MESSAGES, one_message, SLACK)
    arrangement, last = Arrangement(), 0
    windows = []
    for place, turn in enumerate(turns, 1):
        if turn.role == "user":
            new = turns[last:place]
            last = place
            arrangement.extend(new if behind else [replace(one, answers=None) for one in new])
            cut = first_kept(arrangement, 0, bound, complete=True)
            assert cut is not None
            windows.append(arrangement.turns[arrangement.starts[cut.start] :])
    return windows


def open_share(windows: Sequence[Sequence[Turn]]) -> float:
    """Return the cached share of these windows."""
    sent = same = 0
    before: Sequence[Turn] = ()
    for window in windows:
        sent += sum(map(cost, window))
        for old, new in zip(before, window, strict=False):
            if old.id != new.id:
                break
            same += cost(new)
        before = window
    return same / sent


def limit(turns: Sequence[Turn], others: int) -> float:
    """Return the most that a rule can reach which shows each answer directly behind its question.

    See `docs/caching.md` for the proof. `turns` are those of the chat without overlap.
    """
    windows = open_windows(turns)
    user, answer = (sum(map(cost, turns[at::2])) / len(windows) for at in (0, 1))
    cuts = sum(a[0].id != b[0].id for a, b in pairwise(windows))
    again = (len(windows) - cuts) * min(others * user, user + answer)
    return open_share(windows) - again / sum(cost(turn) for window in windows for turn in window)


def main() -> None:
    """Print both tables."""
    rules = {
        "turnkeep": ours,
        "with memory": with_memory,
    }
    print(f"cached share at max_tokens={MOST}, least and mean of {len(SEEDS)} seeds")
    print(f"{'medians':>12}", *(f"{name:>16}" for name in rules))
    for user, answer in MEDIANS:
        chats = [Chat(talk(500, seed, user, answer)) for seed in SEEDS]
        shares = [[chat.share(rule(chat)) for chat in chats] for rule in rules.values()]
        print(
            f"{user:>6}, {answer:>4}",
            *(f"{min(one):>9.3f} {sum(one) / len(one):>6.3f}" for one in shares),
        )
    print(
        f"\ncached share at max_messages={MESSAGES} while other replies are open, mean of 3 seeds"
    )
    names = ("turnkeep", "limit", "as stored")
    print(f"{'others':>12}", *(f"{name:>11}" for name in names * 2))
    for others in (0, 1, 2, 4, 8):
        row: list[float] = []
        for user, answer in ((40, 160), (100, 100)):
            talks = [talk(500, seed, user, answer) for seed in (1, 2, 3)]
            chats_ = [overlapping(one, others) for one in talks]
            row.append(fmean(open_share(open_windows(one)) for one in chats_))
            row.append(fmean(limit(one, others) for one in talks))
            row.append(fmean(open_share(open_windows(one, behind=False)) for one in chats_))
        print(f"{others:>12}", *(f"{one:>11.3f}" for one in row))
    print("with medians of 40 and 160 characters; then of 100 and 100")


if __name__ == "__main__":
    main()
