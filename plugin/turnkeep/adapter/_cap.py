"""The bound of one answer: a model that never stops would be sent in hundreds of messages."""

from __future__ import annotations

from msgspec import json

from .._records.clean import clean_text

__all__ = ["Cap"]


class Cap:
    """The characters that an answer may still have, and the bytes of its turn.

    >>> cap = Cap(8, 100)
    >>> cap.cut("Hello "), cap.cut("world"), cap.is_over
    ('Hello ', 'wo', True)
    """

    def __init__(self, characters: int, size: int) -> None:
        self.is_over = False
        """True if something did not fit."""
        self._characters = characters
        self._bytes = size

    def cut(self, piece: str) -> str:
        """Return as much of the answer's next piece as fits."""
        fitting = piece[: self._characters]
        while fitting and (size := _size(fitting)) > self._bytes:
            fitting = fitting[: min(len(fitting) * self._bytes // size, len(fitting) - 1)]
        self.is_over |= len(fitting) < len(piece)
        self._characters -= len(fitting)
        self._bytes -= _size(fitting)
        return fitting


def _size(text: str) -> int:
    """Return the bytes of the text as a part of JSON."""
    return len(json.encode(clean_text(text))) - 2
