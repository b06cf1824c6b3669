"""Estimate the tokens of a text from its bytes, without a tokenizer's vocabulary.

Tokenizers split text into words and frequent pieces of them. So a byte costs little in common
words, and up to a token and more in digits, capitals, emoji and rare scripts. Each byte of the
text's UTF-8 has a weight, and the estimate is the sum.

The weights are a linear program's: as low as possible, with the estimate of each text of a
corpus at least the largest count of three tokenizers: OpenAI's cl100k_base and o200k_base, and
the one that Anthropic has published. `benchmarks/run.py tokens` prints the ratios.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from zlib import adler32

__all__ = ["estimate_tokens"]

_UNIT: Final = 64
"""A weight of 64 is a token."""

_ASCII: Final[Mapping[str, int]] = {
    "abcdefghijklmnopqrstuvwxyz": 13,
    "my": 24,
    "bdjkqwz": 32,
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ": 69,
    "0123456789": 84,
    " ": 23,
    "\n\t\r": 53,
    "()[]{}\"'_.": 13,
    "-": 24,
    ":": 44,
    "#$%&*+;<=>?@\\^`|~!": 59,
    ",": 65,
    "/": 77,
}
# Weights of a lead byte can be negative: all letters of a script share the weights of the
# continuation bytes, which are high for the sake of the scripts that cost most.
_CONTINUATION: Final = (
    *(77, 59, 77, 24, 77, 77, 44, 77, 77, 77, 43, 77, 77, 77, 77, -16),
    *(77, 56, 30, 44, -43, 77, 77, 77, 77, 77, 56, 77, 38, -11, 77, 53),
    *(69, 77, 77, -33, -64, 77, 44, 77, 77, 77, 77, 77, 77, -2, 63, 73),
    *(77, 77, 10, 77, 42, 21, 77, 77, 38, 77, 77, 77, 77, 55, 77, 77),
)
_LEAD: Final = (
    *(64, 64, 160, 160, 160, 160, 160, 160, 160, 98, 77, 77, 77, 77, 31, 31),
    *(-5, -5, 77, 77, 77, 77, 77, 28, 30, 30, 30, 30, 64, 64, 64, 64),
    *(77, 77, 29, -64, -21, -21, -21, -21, -21, -21, -19, -19, -19, -19, 64, -19),
    *(77, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64),
)


def _weights() -> list[int]:
    ascii_weights = [_UNIT] * 128
    for chars, weight in _ASCII.items():
        for char in chars:
            ascii_weights[ord(char)] = weight
    return [*ascii_weights, *_CONTINUATION, *_LEAD]


_OFFSET: Final = 64
"""Added to each weight, since a byte can't hold a negative one."""
_TABLE: Final = bytes(weight + _OFFSET for weight in _weights())
_MODULUS: Final = 65521
_CHUNK: Final = (_MODULUS - 2) // max(_TABLE)
"""The number of bytes whose weights add up to less than Adler-32's modulus."""
_LOW: Final = 0xFFFF


def estimate_tokens(text: str) -> int:
    """Return an estimate of a text's tokens, rather too high than too low.

    It is about 1.3 times the count of English text, and 1.05 to 1.6 times that of other scripts,
    of JSON, CSV, base64 and emoji.

    >>> estimate_tokens("The quick brown fox jumps over the lazy dog.")
    14
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
