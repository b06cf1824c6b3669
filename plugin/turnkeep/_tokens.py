"""How many tokens a message costs: an estimate that needs nothing, or the caller's counter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from ._errors import WindowError

TokenCounter: TypeAlias = Callable[[str], int]
"""Text in, its number of tokens out."""

MESSAGE_OVERHEAD: Final = 4
"""Tokens that an API adds to a message for its role and bounds (OpenAI's cookbook: 3 or 4)."""

MEDIA_TOKENS: Final = 1000
"""What a content part that is no text counts as; a picture of 1024² costs 765 to 1,600."""


def estimate_tokens(text: str) -> int:
    """A quick estimate of a text's tokens, rather too high than too low.

    A token is about four bytes of English; other languages take more bytes and more tokens.

    >>> estimate_tokens("The quick brown fox jumps over the lazy dog.")
    13
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size * 2 // 7)


def message_tokens(message: Mapping[str, Any], count: TokenCounter) -> int:
    """The tokens of one chat-completions message, its overhead included."""
    total = MESSAGE_OVERHEAD
    content = message.get("content")
    if isinstance(content, str):
        total += _counted(count, content)
    else:
        for part in content or ():
            text = part.get("text") if part.get("type") == "text" else None
            total += MEDIA_TOKENS if text is None else _counted(count, text)
    for call in message.get("tool_calls") or ():
        function = call["function"]
        total += MESSAGE_OVERHEAD + _counted(count, function["name"])
        total += _counted(count, function.get("arguments", ""))
    return total


def _counted(count: TokenCounter, text: str) -> int:
    tokens = count(text)
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        raise WindowError(
            f"the token counter gave {tokens!r} for a text of {len(text)} characters: "
            "it must give a whole number, 0 or more"
        )
    return tokens
