"""The life of a reply as a table of states and events. `Reply` describes each of them."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["EVENTS", "Event", "State"]


class State(Enum):
    """The states of a reply, see `Reply`."""

    NEW = "new"
    OPEN = "open"
    GONE = "gone"
    STORED = "stored"
    EMPTY = "empty"
    DISCARDED = "discarded"
    FAILED = "failed"


class Event(Enum):
    """The events in a reply's life, see `Reply`."""

    ENTER = "enter"
    LOSE = "lose"
    STORE = "store"
    SAY_NOTHING = "say nothing"
    REFUSE = "refuse"
    FAIL = "fail"


EVENTS: Final[dict[State, dict[Event, State]]] = {
    State.NEW: {Event.ENTER: State.OPEN, Event.LOSE: State.DISCARDED},
    State.OPEN: {
        Event.LOSE: State.GONE,
        Event.STORE: State.STORED,
        Event.SAY_NOTHING: State.EMPTY,
        Event.REFUSE: State.DISCARDED,
        Event.FAIL: State.FAILED,
    },
    State.GONE: {Event.REFUSE: State.DISCARDED, Event.FAIL: State.FAILED},
    State.STORED: {},
    State.EMPTY: {},
    State.DISCARDED: {},
    State.FAILED: {},
}
"""The table in `Reply`'s docstring. Every change of a reply's state uses it."""
