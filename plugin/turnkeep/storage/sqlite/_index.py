"""The word index: the tokens of a turn, and the query for them.

Python splits a text into words as `storage.words` says, so that SQLite has only to split at
spaces. Of ASCII text both find the same words. Every hit is compared once more by its text. So
the index needs no positions, which halves it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Literal, TypeAlias

from ..._records.turn import Turn
from ..words import words

Kind: TypeAlias = Literal["words", "trigram", "none"]

KINDS: Final[tuple[Kind, ...]] = ("words", "trigram", "none")

TABLE: Final = """CREATE VIRTUAL TABLE words USING fts5(
    text,                              -- the words of a turn, or their trigrams
    content = '',                      -- the turns table has the text already
    detail = none,                     -- hits are compared by their text, not by positions
    tokenize = "ascii tokenchars '_'"  -- Python has split the words: split at spaces alone
)"""
# What a deleted turn leaves in the index is taken out at once, not at the next merge.
SECURE: Final = "INSERT INTO words (words, rank) VALUES ('secure-delete', 1)"
# Each commit adds a piece to the index. To merge them eight at a time halves the work for one.
MERGE: Final = "INSERT INTO words (words, rank) VALUES ('automerge', 8)"

INSERT: Final = "INSERT INTO words (rowid, text) VALUES "
DELETE: Final = "INSERT INTO words (words, rowid, text) VALUES "


def tokens(kind: Kind, turn: Turn) -> str:
    """Return the tokens of a turn, with spaces between; empty if it can't be found."""
    if kind == "none" or turn.hidden:
        return ""
    text = turn.text
    if kind == "words" and text.isascii():
        return text  # there SQLite's tokenizer finds the same words
    found: Iterable[str] = words(text)
    if kind == "trigram":
        # The last ones of a word are shorter, so that its end is the beginning of a token.
        found = (word[at : at + 3] for word in found for at in range(len(word)))
    return " ".join(dict.fromkeys(found))


def query(kind: Kind, wanted: Iterable[str]) -> str:
    """Return the query for turns that may contain all these words."""
    if kind == "words":
        return " ".join(f'"{word}"' for word in wanted)
    grams = dict.fromkeys(gram for word in wanted for gram in _grams(word))
    return " AND ".join(f'"{gram}"' if len(gram) == 3 else f'"{gram}" *' for gram in grams)


def _grams(word: str) -> list[str]:
    return [word[at : at + 3] for at in range(max(1, len(word) - 2))]


def contains(kind: Kind, turn: Turn, wanted: Collection[str]) -> bool:
    """Return True if the turn's text contains all these words, or these parts of words."""
    found = words(turn.text)
    if kind == "words":
        return set(found).issuperset(wanted)
    text = " ".join(found)
    return all(word in text for word in wanted)
