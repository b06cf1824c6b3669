"""The axes: which sizes there are, and how a store of each is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from turnkeep import Session, SessionStore

AXES = {
    "turns": (100, 1000, 10_000, 100_000, 1_000_000),
    "chats": (100, 1000, 10_000, 100_000),
    "rounds": (10, 30, 100, 300, 1000),
    "asked": (10, 100, 1000, 10_000),
}
TEXT = "lorem ipsum dolor sit amet, consectetur adipiscing elit " * 3
AT_ONCE = 64
CHAT = "benchmark:0"
SENDERS = 50
"""Of a long chat's messages one in so many is by the same person."""


class Subject:
    """The store that the verbs are tried on, grown to one size after the other.

    `size` counts what the axis is about, `unique` gives numbers that were not given before.
    """

    def __init__(self, store: SessionStore, again: Callable[[], SessionStore] | None) -> None:
        self.store = store
        self.again = again
        """Opens the same place once more; None where that is not possible."""
        self.size = 0
        self._unique = 0
        self.long = CHAT
        """The key of the long chat, which is renamed now and then."""
        self.kept: dict[str, Any] = {}

    @property
    def session(self) -> Session:
        return self.store.session(self.long)

    async def reopen(self) -> None:
        """Close the store, and open the same place."""
        assert self.again is not None
        await self.store.aclose()
        self.store = self.again()
        await self.store.__aenter__()

    def unique(self) -> int:
        self._unique += 1
        return self._unique


async def grow_turns(on: Subject, size: int) -> None:
    """Make the long chat so many turns long: half of them questions, with source ids."""
    while on.size < size:
        count = min(1000, size - on.size)
        await on.session.extend(
            [
                {"role": "assistant", "content": f"{number} {TEXT}"}
                if number % 2
                else {
                    "role": "user",
                    "content": f"{number} word{number} {TEXT}",
                    "source_id": f"m{number}",
                    "sender": f"person{number % (2 * SENDERS)}",
                }
                for number in range(on.size, on.size + count)
            ]
        )
        on.size += count


async def grow_chats(on: Subject, size: int) -> None:
    """Make so many chats, of a question and an answer each."""
    for first in range(on.size, size, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, size))
        await asyncio.gather(*(_begin(on.store, number) for number in numbers))
    on.size = size


async def _begin(store: SessionStore, number: int) -> None:
    session = store.session(f"benchmark:{number}")
    await session.extend(
        [
            {
                "role": "user",
                "content": f"{number} word{number}",
                "source_id": f"m{number}",
                "sender": f"person{number}",
            },
            {"role": "assistant", "content": TEXT},
        ]
    )


async def grow_alone(on: Subject, size: int) -> None:
    """Keep only the size: the verb makes what it asks for."""
    on.size = size


GROW = {"turns": grow_turns, "chats": grow_chats, "rounds": grow_alone, "asked": grow_alone}
