"""Values that every storage can hold: clean text, and copies of JSON data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from .._errors import InvalidTurnError

__all__ = ["checked_json", "clean_json", "clean_text"]

MAX_DEPTH: Final = 100
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def clean_text(text: str) -> str:
    """Replace lone surrogates and NULs, which storages can't hold, by U+FFFD."""
    if type(text) is not str:
        text = str.__str__(text)  # msgspec encodes no subclass, such as Markup or an enum
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # Two pieces of a stream may form a pair, which is one character: JSON joins them. A
        # codec would call an error handler for each.
        text = _SURROGATE.sub(REPLACEMENT, json.loads(json.dumps(text)))
    return text


def clean_json(value: object, what: str, depth: int = 0) -> Any:
    """Return a deep copy of JSON data with clean text; raise `ValueError` for anything else."""
    if depth > MAX_DEPTH:
        raise ValueError(f"{what} is nested more than {MAX_DEPTH} levels deep: flatten it")
    match value:
        case str():
            return clean_text(value)
        case None | bool():
            return value
        case int():
            if not -(2**63) <= value < 2**64:
                raise ValueError(f"{what} holds an integer over 64 bits: write it as text")
            return int(value)
        case float():
            if not isfinite(value):
                raise ValueError(f"{what} holds {value}, which JSON can't express: use None")
            return float(value)
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise ValueError(f"{what} has a key {key!r} that is no text: make it text")
            return {clean_text(k): clean_json(v, what, depth + 1) for k, v in value.items()}
        case list() | tuple():
            return [clean_json(item, what, depth + 1) for item in value]
    raise ValueError(
        f"{what} holds a value of type {type(value).__name__}, which is not JSON: convert it to "
        "text first"
    )


def checked_json(value: object, what: str) -> Any:
    """Return `clean_json(value)`; raise `InvalidTurnError` for what is not JSON."""
    try:
        return clean_json(value, what)
    except ValueError as error:
        raise InvalidTurnError(str(error)) from None
