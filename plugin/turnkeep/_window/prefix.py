"""Compare a window with the one before, as a provider's cache does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["broken_prefix"]


def broken_prefix(
    before: Sequence[Mapping[str, Any]], window: Sequence[Mapping[str, Any]]
) -> int | None:
    """Return the index of the first message that broke the cached prefix, or None.

    Providers bill a prompt that begins like the one before at a fraction. Both are windows in one
    shape. None says that the new window begins with all of the one before.

    >>> hello = {"role": "user", "content": "Hi"}
    >>> broken_prefix([hello], [hello, {"role": "assistant", "content": "Hello!"}])
    >>> broken_prefix([hello, hello], [hello, {"role": "user", "content": "Bye"}])
    1
    """
    for index, message in enumerate(before):
        if index >= len(window) or window[index] != message:
            return index
    return None
