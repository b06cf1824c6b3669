"""The ready-made buttons under an answer: one stops it, one asks the model again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from .._records.turn import Turn
from .._session.desk import Desk

__all__ = [
    "AGAIN",
    "AGAIN_LABEL",
    "STOP",
    "STOP_LABEL",
    "Regenerate",
    "UnderWay",
    "authors_of",
    "under_way",
]

STOP: Final = "turnkeep:stop"
AGAIN: Final = "turnkeep:again"
"""The data of the buttons. They stay the same in later versions: old messages have them."""

STOP_LABEL: Final = "⏹"
AGAIN_LABEL: Final = "🔄"

Regenerate: TypeAlias = Callable[[Any], Awaitable[object]]
"""A function that gets a `ChatSession` bound to a message, and answers it once more."""


class Stoppable(Protocol):
    """An answer that is being given."""

    @property
    def names(self) -> Iterable[str]:
        """The source ids of its messages, and the name of its draft."""
        ...

    def stop(self) -> None: ...


class UnderWay:
    """The answers that one store's bots are giving now, and the people who asked."""

    def __init__(self) -> None:
        self._answers: dict[Stoppable, frozenset[str]] = {}
        self._again: set[str] = set()

    def begin(self, answer: Stoppable, asked: Iterable[Turn]) -> None:
        """Let the people who wrote these messages stop an answer; without any, everybody may."""
        self._answers[answer] = authors_of(asked)

    def end(self, answer: Stoppable) -> None:
        """Forget an answer that has ended."""
        self._answers.pop(answer, None)

    def stop(self, name: str, by: str) -> bool:
        """Stop the answer in a message; return False if this person may not, or there is none."""
        for answer, people in self._answers.items():
            if name in answer.names and (not people or by in people):
                answer.stop()
                return True
        return False

    def begin_again(self, name: str) -> bool:
        """Return False if the answer in this message is being given once more already."""
        if name in self._again:
            return False
        self._again.add(name)
        return True

    def end_again(self, name: str) -> None:
        """Let the answer in this message be given once more."""
        self._again.discard(name)


_under_way: Final[WeakKeyDictionary[Desk, UnderWay]] = WeakKeyDictionary()


def under_way(desk: Desk) -> UnderWay:
    """Return the answers of a store, by its desk."""
    return _under_way.get(desk) or _under_way.setdefault(desk, UnderWay())


def authors_of(turns: Iterable[Turn]) -> frozenset[str]:
    """Return the ids of the people who wrote these messages."""
    return frozenset(turn.sender.id for turn in turns if turn.sender is not None)
