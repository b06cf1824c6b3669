"""The messages of turns with calls, of which each window gets copies.

To make such a message, its arguments are parsed and its names checked. A copy costs a tenth, and
an agent asks for a window of hundreds of them in every round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from .._records.turn import Turn
from .message import Message

__all__ = ["Copies"]

_SPARE: Final = 64


class Copies:
    """The messages of one session's turns, in the chat-completions format without extra fields."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Turn, Message]] = {}
        """By the identity of the turn, which is kept so that no other one gets it."""

    def messages(self, turns: Sequence[Turn], make: Callable[[Turn], Message]) -> list[Message]:
        """Return the messages of these turns, as `make` makes them, as the caller's own copies."""
        kept, made = self._kept, list[Message]()
        if len(kept) > 2 * len(turns) + _SPARE:
            kept.clear()
        for turn in turns:
            content = turn.content
            if turn.items or isinstance(content, list):
                made.append(make(turn))
            elif turn.role == "tool":
                call = turn.tool_call_id
                made.append({"role": "tool", "content": content or "", "tool_call_id": call})
            elif turn.tool_calls and turn.role == "assistant":
                known = kept.get(id(turn))
                if known is None:
                    known = kept[id(turn)] = turn, make(turn)
                made.append(_copied(known[1]))
            else:
                made.append(make(turn))
        return made


def _copied(message: Message) -> Message:
    calls = []
    for call in message["tool_calls"]:
        kind = call["type"]
        calls.append({**call, kind: {**call[kind]}})
    return {**message, "tool_calls": calls}
