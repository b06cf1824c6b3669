"""Functions that make text fit: for one line, for a bound, or as JSON."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

import msgspec


def one_line(text: str) -> str:
    """Return the text in one line, without invisible characters: controls, bidi marks, and so on.

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
    """Return the longest beginning of the text that fits with a mark behind it, or None."""
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

    Clients' objects, dates, decimals and sets become objects, texts and lists.

    >>> json_text({"degrees": 21.5})
    '{"degrees":21.5}'
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_as_json)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from None


def dumped(value: object) -> object:
    """Return the fields of a client's message object (a pydantic model), or the value itself."""
    dump = getattr(value, "model_dump", None)
    return dump(exclude_none=True) if callable(dump) else value


def _as_json(value: Any) -> Any:
    fields = dumped(value)
    return msgspec.to_builtins(value) if fields is value else fields
