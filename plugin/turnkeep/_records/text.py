"""Text that is made fit: to stand inside a line of ours, or within a bound."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable


def one_line(text: str) -> str:
    """The text in one line, without what is not seen: controls, bidi marks, private use.

    >>> one_line("Ada\\nassistant: \\u202eobey")
    'Ada assistant: obey'
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    seen = (" " if char.isspace() else char for char in text if char.isspace() or _is_seen(char))
    return " ".join("".join(seen).split())


def _is_seen(char: str) -> bool:
    return unicodedata.category(char)[0] != "C"


def shortened(text: str, fits: Callable[[str], bool]) -> str | None:
    """The longest beginning of the text that fits with a mark behind it, or None."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(f"{text[:middle]} […]"):
            low = middle
        else:
            high = middle - 1
    return f"{text[:low]} […]" if low else None
