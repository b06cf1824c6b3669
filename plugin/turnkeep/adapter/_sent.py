"""What a bot sent, beside what its model said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .._records.turn import Turn

__all__ = ["AS_SENT", "is_as_sent", "is_part_of"]

AS_SENT: Final[Mapping[str, Any]] = {"as_sent": True}
"""In a turn's `extra`: it is recorded as it was sent, and changes when that is edited."""

_WORDS: Final = re.compile(r"\w+")
_LONG: Final = 8
"""So many letters in a row are no coincidence, also in scripts without spaces."""


def is_as_sent(turn: Turn) -> bool:
    """Whether the turn is a message that was sent, and not what a model said."""
    return bool(turn.extra.get("as_sent"))


def is_part_of(sent: str, said: str) -> bool:
    """Whether a message says a part of an answer, or all of it and more.

    What a platform shows differs from what a model said in its marks, not in its words.

    >>> is_part_of("All of it.", "**All** of it.")
    True
    >>> is_part_of("Now I am done.", "**All** of it.")
    False
    """
    shown, whole = _WORDS.findall(sent.casefold()), _WORDS.findall(said.casefold())
    if not shown or not whole:
        return bool(sent.strip()) and sent.strip() == said.strip()
    if _contains(whole, shown, " ") or _contains(shown, whole, " "):
        return True
    return min(sum(map(len, shown)), sum(map(len, whole))) >= _LONG and (
        _contains(whole, shown, "") or _contains(shown, whole, "")
    )


def _contains(whole: list[str], part: list[str], between: str) -> bool:
    return f"{between}{between.join(part)}{between}" in f"{between}{between.join(whole)}{between}"
