"""The words that a caller chooses a window's options by; see `get_history` for each."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = [
    "IdStyle",
    "Overflow",
    "Results",
    "Speakers",
    "SummaryRole",
    "SystemTurns",
    "Unanswered",
]

IdStyle: TypeAlias = Literal["mistral"]
Overflow: TypeAlias = Literal["error", "truncate"]
Results: TypeAlias = Literal["last", "first"]
Speakers: TypeAlias = Literal["prefix", "name"]
SummaryRole: TypeAlias = Literal["user", "system"]
SystemTurns: TypeAlias = Literal["drop", "keep"]
Unanswered: TypeAlias = Literal["result", "drop"]
