"""Count the tokens of a message, with an estimate or with the caller's counter."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import msgspec

from .._errors import MissingExtraError, WindowError
from .._logs import told
from .estimate import estimate_tokens

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
"""A function from a text to its number of tokens, the same for the same text."""

MessageCounter: TypeAlias = Callable[[Mapping[str, Any]], int]
"""A function from a whole chat-completions message to its number of tokens."""

MESSAGE_OVERHEAD: Final = 4
"""Tokens that an API adds to each message for its role and bounds (OpenAI's cookbook: 3 or 4)."""

MEDIA_TOKENS: Final = 1000
"""Tokens that a content part without text counts as; a 1024² picture costs 765 to 1,600."""

_REMEMBERED: Final = 30_000
_SHORT: Final = 64
_OF_CALLS: Final = frozenset({"id", "type", "function", "custom"})
_COUNTED_APART: Final = frozenset({"role", "content", "tool_calls", "tool_call_id"})


def tiktoken_counter(encoding: str | tiktoken.Encoding = "o200k_base") -> TokenCounter:
    """Return a counter for `get_history(count_tokens=…)` that uses OpenAI's `tiktoken`.

    `encoding` is the name of a model (`"gpt-4o"`) or of an encoding, or an encoding itself.
    tiktoken downloads an encoding the first time it is used on a machine. Raises
    `MissingExtraError` if tiktoken is not installed (`turnkeep[tiktoken]`), and `ValueError`
    for an unknown name. Make one counter and keep it: counts are cached by counter.
    """
    try:
        module: Any = import_module("tiktoken")
    except ImportError:
        raise MissingExtraError("tiktoken_counter", "tiktoken", "tiktoken") from None
    name: Any = encoding
    if isinstance(encoding, str):
        with suppress(KeyError):  # not a model, so an encoding
            name = module.encoding_name_for_model(encoding)
        encoding = module.get_encoding(name)
    # `encode` raises if a user's text looks like a special token; a counter reads it as text.
    encode: Callable[[str], list[int]] = cast("Any", encoding).encode_ordinary

    def count(text: str) -> int:
        return len(encode(text))

    return count


def message_tokens(message: Mapping[str, Any], count: TokenCounter) -> int:
    """Return the tokens of a chat-completions message, with its overhead and extra fields."""
    content = message["content"]
    if isinstance(content, str):
        total = MESSAGE_OVERHEAD + text_tokens(content, count)
    else:
        total = MESSAGE_OVERHEAD + sum(_part_tokens(part, count) for part in content or ())
    for call in message.get("tool_calls") or ():
        function = call.get("function") or call["custom"]
        total += MESSAGE_OVERHEAD + text_tokens(function["name"], count)
        total += text_tokens(function.get("arguments") or function.get("input", ""), count)
        for name in call.keys() - _OF_CALLS:
            total += 1 + text_tokens(_json(call[name]), count)
    if len(message) > 2:
        for name in message.keys() - _COUNTED_APART:
            total += 1 + text_tokens(_json(message[name]), count)
    return total


def _json(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def whole_message_tokens(message: Mapping[str, Any], count: MessageCounter) -> int:
    """Return the tokens of a message by a counter of whole messages; counts are cached."""
    encoded = msgspec.json.encode(message)
    what = f"a message of the role {message['role']}"
    return _remembered(count, len(encoded), hash(encoded), lambda: _ask(count, message, what))


def text_tokens(text: str, count: TokenCounter) -> int:
    """Return the tokens of a text; counts are cached."""
    if count is estimate_tokens:
        if len(text) <= _SHORT:
            return estimate_tokens(text)  # quicker than the cache
        return _remembered(count, len(text), hash(text), lambda: estimate_tokens(text))
    what = f"a text of {len(text)} characters"
    return _remembered(count, len(text), hash(text), lambda: _ask(count, text, what))


def _part_tokens(part: Mapping[str, Any], count: TokenCounter) -> int:
    text = part.get("text", part.get("refusal"))
    return text_tokens(text, count) if isinstance(text, str) else MEDIA_TOKENS


_Counted: TypeAlias = tuple[Hashable, int, int]
_counts: dict[_Counted, int] = {}
_older_counts: dict[_Counted, int] = {}
"""Caches by counter, and by length and hash of the text or message, which is not kept. A hit
moves to the newer cache. When that one is full, it becomes the older one, which is dropped."""


def _remembered(count: Hashable, length: int, hashed: int, ask: Callable[[], int]) -> int:
    global _counts, _older_counts
    key = count, length, hashed
    try:
        known = _counts.get(key)
    except TypeError:  # an unhashable counter
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
    except Exception as error:  # the user's function may raise anything
        raise WindowError(f"the token counter failed on {what}: {told(error)}") from error
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        raise WindowError(
            f"the token counter gave {tokens!r} for {what}: it must give a whole number, 0 or more"
        )
    return tokens
