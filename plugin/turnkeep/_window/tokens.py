"""How many tokens a message costs: an estimate that needs nothing, or the caller's counter."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec

from .._errors import MissingExtraError, WindowError

if TYPE_CHECKING:
    import tiktoken

__all__ = [
    "MessageCounter",
    "TokenCounter",
    "estimate_tokens",
    "message_tokens",
    "tiktoken_counter",
]

TokenCounter: TypeAlias = Callable[[str], int]
"""Text in, its number of tokens out; the same for the same text."""

MessageCounter: TypeAlias = Callable[[Mapping[str, Any]], int]
"""One chat-completions message in, its number of tokens out, all that belongs to it included."""

MESSAGE_OVERHEAD: Final = 4
"""Tokens that an API adds to a message for its role and bounds (OpenAI's cookbook: 3 or 4)."""

MEDIA_TOKENS: Final = 1000
"""What a content part that is no text counts as; a picture of 1024² costs 765 to 1,600."""

_REMEMBERED: Final = 10_000
_COUNTED_APART: Final = frozenset({"role", "content", "tool_calls", "tool_call_id"})


def estimate_tokens(text: str) -> int:
    """A quick estimate of a text's tokens, rather too high than too low.

    A token is about four bytes of English; other languages take more bytes and more tokens.

    >>> estimate_tokens("The quick brown fox jumps over the lazy dog.")
    13
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size * 2 // 7)


def tiktoken_counter(encoding: str | tiktoken.Encoding = "o200k_base") -> TokenCounter:
    """A counter for `get_history(count_tokens=…)` that asks OpenAI's tokenizer, `tiktoken`.

    `encoding` is the name of a model (`"gpt-4o"`) or of an encoding, or an encoding itself.
    A name that was never used on this machine is fetched from the network by tiktoken.
    Raises `MissingExtraError` if it is not installed (`turnkeep[tiktoken]`), and `ValueError`
    for a name that it doesn't know. Make one counter and keep it: counts are remembered by it.
    """
    try:
        module: Any = import_module("tiktoken")
    except ImportError:
        raise MissingExtraError("tiktoken_counter", "tiktoken", "tiktoken") from None
    name: Any = encoding
    if isinstance(encoding, str):
        with suppress(KeyError):  # no model's name, so an encoding's
            name = module.encoding_name_for_model(encoding)
        encoding = module.get_encoding(name)
    # `encode` raises where a user's text looks like a special token; to a counter it is text.
    encode: Callable[[str], list[int]] = cast("Any", encoding).encode_ordinary

    def count(text: str) -> int:
        return len(encode(text))

    return count


def message_tokens(message: Mapping[str, Any], count: TokenCounter) -> int:
    """The tokens of one chat-completions message, its overhead and its extra fields included."""
    content = message["content"]
    if isinstance(content, str):
        total = MESSAGE_OVERHEAD + text_tokens(content, count)
    else:
        total = MESSAGE_OVERHEAD + sum(_part_tokens(part, count) for part in content or ())
    for call in message.get("tool_calls") or ():
        function = call["function"]
        total += MESSAGE_OVERHEAD + text_tokens(function["name"], count)
        total += text_tokens(function["arguments"], count)
    if len(message) > 2:
        for name in message.keys() - _COUNTED_APART:
            value = message[name]
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            total += 1 + text_tokens(text, count)
    return total


def whole_message_tokens(message: Mapping[str, Any], count: MessageCounter) -> int:
    """The tokens of one message by a counter that knows what it adds; asked once for each."""
    encoded = msgspec.json.encode(message)
    what = f"a message of the role {message['role']}"
    return _remembered(count, len(encoded), hash(encoded), lambda: _ask(count, message, what))


def text_tokens(text: str, count: TokenCounter) -> int:
    """The tokens of a text; the counter is asked once for each."""
    if count is estimate_tokens:
        return estimate_tokens(text)  # quicker than to remember
    what = f"a text of {len(text)} characters"
    return _remembered(count, len(text), hash(text), lambda: _ask(count, text, what))


def _part_tokens(part: Mapping[str, Any], count: TokenCounter) -> int:
    text = part.get("text", part.get("refusal"))
    return text_tokens(text, count) if isinstance(text, str) else MEDIA_TOKENS


_Counted: TypeAlias = tuple[Hashable, int, int]
_counts: dict[_Counted, int] = {}
_older_counts: dict[_Counted, int] = {}
"""By counter, length and hash of what was counted, which is not kept for it. What is asked for
again moves to the newer ones; when those are full, the older go."""


def _remembered(count: Hashable, length: int, hashed: int, ask: Callable[[], int]) -> int:
    global _counts, _older_counts
    key = count, length, hashed
    try:
        known = _counts.get(key)
    except TypeError:  # a counter that can't be hashed
        return ask()
    if known is None:
        known = _older_counts.get(key)
        if known is None:
            known = ask()
        if len(_counts) >= _REMEMBERED:
            _older_counts, _counts = _counts, {}
        _counts[key] = known
    return known


def _ask(count: Callable[[Any], int], counted: object, what: str) -> int:
    try:
        tokens = count(counted)
    except Exception as error:
        raise WindowError(f"the token counter failed on {what}: {error!r}") from error
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        raise WindowError(
            f"the token counter gave {tokens!r} for {what}: it must give a whole number, 0 or more"
        )
    return tokens
