"""How many tokens a message costs: an estimate that needs nothing, or the caller's counter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from ._errors import WindowError

TokenCounter: TypeAlias = Callable[[str], int]
"""Text in, its number of tokens out; the same for the same text."""

MESSAGE_OVERHEAD: Final = 4
"""Tokens that an API adds to a message for its role and bounds (OpenAI's cookbook: 3 or 4)."""

MEDIA_TOKENS: Final = 1000
"""What a content part that is no text counts as; a picture of 1024² costs 765 to 1,600."""

_REMEMBERED: Final = 10_000
_counts: dict[tuple[TokenCounter, int, int], int] = {}
"""By counter, length and hash of a text: a text is counted once, and not kept for it."""

_COUNTED_APART: Final = frozenset({"role", "content", "tool_calls", "tool_call_id"})


def estimate_tokens(text: str) -> int:
    """A quick estimate of a text's tokens, rather too high than too low.

    A token is about four bytes of English; other languages take more bytes and more tokens.

    >>> estimate_tokens("The quick brown fox jumps over the lazy dog.")
    13
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size * 2 // 7)


def message_tokens(message: Mapping[str, Any], count: TokenCounter) -> int:
    """The tokens of one chat-completions message, its overhead and its extra fields included."""
    content = message["content"]
    if isinstance(content, str):
        total = MESSAGE_OVERHEAD + _counted(count, content)
    else:
        total = MESSAGE_OVERHEAD + sum(_part_tokens(part, count) for part in content or ())
    for call in message.get("tool_calls") or ():
        function = call["function"]
        total += MESSAGE_OVERHEAD + _counted(count, function["name"])
        total += _counted(count, function["arguments"])
    if len(message) > 2:
        for name in message.keys() - _COUNTED_APART:
            value = message[name]
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            total += 1 + _counted(count, text)
    return total


def _part_tokens(part: Mapping[str, Any], count: TokenCounter) -> int:
    text = part.get("text", part.get("refusal"))
    return _counted(count, text) if isinstance(text, str) else MEDIA_TOKENS


def _counted(count: TokenCounter, text: str) -> int:
    if count is estimate_tokens:
        return estimate_tokens(text)  # quicker than to remember
    try:
        key = (count, len(text), hash(text))
        known = _counts.get(key)
    except TypeError:  # a counter that can't be hashed
        return _ask(count, text)
    if known is None:
        if len(_counts) >= _REMEMBERED:
            _counts.clear()
        known = _counts[key] = _ask(count, text)
    return known


def _ask(count: TokenCounter, text: str) -> int:
    try:
        tokens = count(text)
    except Exception as error:
        raise WindowError(
            f"the token counter failed on a text of {len(text)} characters: {error!r}"
        ) from error
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        raise WindowError(
            f"the token counter gave {tokens!r} for a text of {len(text)} characters: "
            "it must give a whole number, 0 or more"
        )
    return tokens
