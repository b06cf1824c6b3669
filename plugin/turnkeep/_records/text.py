"""Text that is made fit: to stand inside a line of ours, within a bound, or for a value."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

import msgspec


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


def json_text(value: object) -> str:
    """Return the value as compact JSON; raise `ValueError` if that is not possible.

    Clients' objects, dates, decimals, sets and the like are written as JSON can hold them.

    >>> json_text({"degrees": 21.5})
    '{"degrees":21.5}'
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_as_json)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from None


def _as_json(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(exclude_none=True) if callable(dump) else msgspec.to_builtins(value)
