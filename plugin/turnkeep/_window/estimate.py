"""Estimate the tokens of a text from its bytes, without a tokenizer's vocabulary.

Tokenizers split text into words and frequent pieces of them. So a byte costs little in common
words, and up to a token and more in digits, capitals, emoji and rare scripts. Each byte of the
text's UTF-8 has a weight, and the estimate is the sum.

The weights are a linear program's: as low as possible, with the estimate of each text of a
corpus at least the largest count of three tokenizers: OpenAI's cl100k_base and o200k_base, and
the one that Anthropic has published. `benchmarks/run.py tokens` prints the ratios.
"""

from __future__ import annotations

from typing import Final
from zlib import adler32

__all__ = ["estimate_tokens"]

_UNIT: Final = 64
"""A weight of 64 is a token."""

_ASCII: Final = (
    *(83, 83, 83, 83, 83, 83, 83, 83, 83, 8, 24, 83, 83, 90, 83, 83),
    *(83, 83, 83, 83, 83, 83, 83, 83, 83, 83, 83, 83, 83, 83, 83, 83),
    *(21, 90, 32, 17, 5, 16, 90, 29, 50, 81, 77, 90, 69, 39, 90, 90),
    *(90, 90, 90, 90, 90, 90, 90, 90, 90, 90, 39, 90, 62, 9, 5, 90),
    *(90, 8, 90, 46, 90, 5, 84, 90, 53, 5, 90, 90, 5, 90, 5, 5),
    *(5, 90, 36, 9, 5, 83, 90, 56, 90, 61, 90, 50, 14, 5, 90, 90),
    *(90, 40, 6, 6, 42, 6, 25, 23, 8, 6, 90, 86, 8, 6, 6, 8),
    *(6, 35, 6, 7, 6, 6, 12, 45, 6, 6, 90, 52, 90, 90, 90, 5),
)
# Weights of a lead byte can be negative: all letters of a script share the weights of the
# continuation bytes, which are high for the sake of the scripts that cost most.
_CONTINUATION: Final = (
    *(47, 14, -51, 45, -14, 67, 63, 25, 71, 13, 80, 80, -9, 80, 80, 53),
    *(80, 76, 59, 25, -19, 12, 80, -61, 80, 80, -13, 28, 52, 80, 58, 10),
    *(80, 80, 80, -8, -1, 15, 80, -10, 80, 80, 80, 59, 80, 53, 80, -61),
    *(19, 80, 80, 80, 54, 7, 80, 58, 34, 80, 80, 30, 80, 35, 31, -9),
)
_LEAD: Final = (
    *(64, 64, 68, 186, 186, 186, -36, -61, 186, 124, -61, -60, 20, 186, 92, -21),
    *(22, -6, 120, 186, 43, 117, 57, 32, 36, 59, 43, 116, 71, -61, 91, 86),
    *(90, 108, 113, 35, -59, 88, -12, -61, -41, 61, 113, 26, 2, -36, -61, 52),
    *(148, -61, -61, -61, -61, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64),
)

_OFFSET: Final = 64
"""Added to each weight, since a byte can't hold a negative one."""
_TABLE: Final = bytes(weight + _OFFSET for weight in (*_ASCII, *_CONTINUATION, *_LEAD))
_MODULUS: Final = 65521
_CHUNK: Final = (_MODULUS - 2) // max(_TABLE)
"""The number of bytes whose weights add up to less than Adler-32's modulus."""
_LOW: Final = 0xFFFF


def estimate_tokens(text: str) -> int:
    """Return an estimate of a text's tokens, rather too high than too low.

    It is about 1.25 times the count of English text, and 1 to 2 times that of other scripts, of
    code, JSON, CSV, base64 and emoji. Misspelled words, slang and random letters cost more than
    it says.

    >>> estimate_tokens("The quick brown fox jumps over the lazy dog.")
    15
    """
    data = text.encode("utf-8", "replace").translate(_TABLE)
    size = len(data)
    # The low half of an Adler-32 checksum is 1 plus the sum of the bytes: the quickest sum.
    if size <= _CHUNK:
        total = (adler32(data) & _LOW) - 1
    else:
        total = sum(
            (adler32(data[start : start + _CHUNK]) & _LOW) - 1 for start in range(0, size, _CHUNK)
        )
    # A token rarely has more than eight characters.
    return max(-(-(total - _OFFSET * size) // _UNIT), -(-len(text) // 8))
