"""The tokens that one call of a model cost."""

from __future__ import annotations

import msgspec

__all__ = ["Usage"]


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The tokens of one call of a model, or of several.

    - `model` is the name that the API gave.
    - `input` counts all tokens of the prompt. `cached` of them were read from the provider's
      cache, and `cache_written` were written to it.
    - `output` counts all tokens of the answer. `reasoning` of them were thoughts.

    >>> Usage("m", input=10, output=2) + Usage("m", input=20, cached=10, output=1)
    Usage(model='m', input=30, cached=10, cache_written=0, output=3, reasoning=0)
    """

    model: str = ""
    input: int = 0
    cached: int = 0
    cache_written: int = 0
    output: int = 0
    reasoning: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Return the sum of both; its model is the one that they share, or empty."""
        return Usage(
            self.model if self.model == other.model else "",
            self.input + other.input,
            self.cached + other.cached,
            self.cache_written + other.cache_written,
            self.output + other.output,
            self.reasoning + other.reasoning,
        )
