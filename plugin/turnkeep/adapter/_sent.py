"""Messages that a bot sent beside its model's answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .._records.turn import Turn

__all__ = ["AS_SENT", "is_as_sent", "is_part_of"]

AS_SENT: Final[Mapping[str, Any]] = {"as_sent": True}
"""In a turn's `extra`: it is recorded as it was sent, and an edit of the message changes it."""

_WORDS: Final = re.compile(r"\w+")
_LONG: Final = 8
"""The letters in a row that are no coincidence, also in scripts without spaces."""


def is_as_sent(turn: Turn) -> bool:
    """Return True if the turn is a message as it was sent, and no text of a model."""
    return bool(turn.extra.get("as_sent"))


def is_part_of(sent: str, said: str) -> bool:
    """Return True if a sent message contains a part of an answer, or all of it and more.

    Only words are compared: a platform shows a model's text without its marks.

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
