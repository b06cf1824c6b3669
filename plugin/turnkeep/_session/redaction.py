"""A function of the user's that sees each turn before it is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import asdict

from .._errors import InvalidTurnError, TurnRefusedError, kind_of
from .._records.key import SessionKey
from .._records.making import new_turn
from .._records.turn import Turn

__all__ = ["Redact", "redactor"]

Redact: TypeAlias = Callable[[SessionKey, Turn], "Turn | None"]
"""A function of a session's key and a turn, which returns the turn to store, or None for none."""

_IDENTITY: Final = (
    *("id", "role", "time", "source_ids", "answers", "also_answers", "epoch"),
    *("interrupted", "hidden", "variant", "token", "generation", "tool_call_id"),
)
_CHECKED: Final = ("content", "name", "tool_calls", "sender", "extra", "shape", "items", "usage")


def _says(turn: Turn) -> object:
    return turn.content, turn.tool_calls


def redactor(redact: Redact, max_bytes: int) -> Callable[[SessionKey, Turn], Turn]:
    """Return the function that gives each turn to `redact`, and checks what comes back.

    The turn keeps what identifies it and places it. Its items may repeat its text, so other
    content or calls take them away, unless `redact` changed them too. It raises
    `TurnRefusedError` for None, and `InvalidTurnError` for what can't be stored.
    """

    def redacted(key: SessionKey, turn: Turn) -> Turn:
        made: object = redact(key, turn)
        if made is turn:
            return turn
        where = f"session {key}: "
        if made is None:
            raise TurnRefusedError(f"{where}redact refused a {turn.role} turn; it is not stored")
        if not isinstance(made, Turn):
            raise InvalidTurnError(
                f"{where}redact returns the turn to store, or None to refuse it, not "
                f"{kind_of(made)}: change it with msgspec.structs.replace(turn, content=…)"
            )
        if made.items is turn.items and _says(made) != _says(turn):
            made = msgspec.structs.replace(made, shape=None, items=None)
        checked = new_turn(
            turn.role,
            tool_call_id=turn.tool_call_id,
            max_bytes=max_bytes,
            inline_media="keep",  # the rule for them was kept before
            where=where,
            **{name: getattr(made, name) for name in _CHECKED},
        )
        kept = {name: value for name, value in asdict(turn).items() if name in _IDENTITY}
        fields = {name: getattr(checked, name) for name in _CHECKED}
        return msgspec.structs.replace(made, **fields, **kept)

    return redacted
