"""A long answer is split so that the platform takes each piece, and nothing of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeep.adapter import split_text

WORDS = st.text(st.sampled_from("ab. \n`~é👩‍🔬👍🏽"), max_size=900)
BLOCK = st.builds(
    "```{}\n{}\n```".format, st.sampled_from(["", "python"]), st.text("xy \n", max_size=400)
)
TEXTS = st.lists(st.one_of(WORDS, BLOCK), max_size=4).map("\n".join)


@given(TEXTS, st.integers(100, 300))
def test_each_piece_is_within_the_limit_and_says_something(text: str, limit: int) -> None:
    for piece in split_text(text, limit):
        assert 0 < len(piece) <= limit
        assert piece.strip()


@given(st.text(st.sampled_from("ab. \né👩👍"), max_size=900), st.integers(100, 300))
def test_nothing_is_lost_but_white_space_at_the_cuts(text: str, limit: int) -> None:
    joined = "".join("".join(split_text(text, limit)).split())
    assert joined == "".join(text.split())


@given(st.lists(BLOCK, min_size=1, max_size=4).map("\n\n".join), st.integers(100, 300))
def test_a_code_block_that_is_cut_is_closed_and_opened_again(text: str, limit: int) -> None:
    for piece in split_text(text, limit):
        fences = [line for line in piece.split("\n") if line.startswith("```")]
        assert len(fences) % 2 == 0, piece


@given(TEXTS, st.integers(100, 300), st.integers(0, 3000))
def test_pieces_stay_as_they_are_while_the_text_grows(text: str, limit: int, so_far: int) -> None:
    whole, before = split_text(text, limit), split_text(text[:so_far], limit)
    if len(before) > 2:  # the last may go on, and the one before it be cut anew
        assert before[:-2] == whole[: len(before) - 2]


def test_a_language_is_kept_in_the_next_piece() -> None:
    pieces = split_text("```python\n" + "x = 1\n" * 60 + "```\nDone.", 200)
    assert all(piece.startswith("```python\n") for piece in pieces[:-1])
    assert all(piece.endswith("\n```") for piece in pieces[:-1])
    assert pieces[-1].endswith("Done.")


def test_a_character_that_is_made_of_several_is_not_cut() -> None:
    pieces = split_text("a" * 66 + "👩\N{ZERO WIDTH JOINER}🔬" * 40, 100)
    assert not any(piece.startswith(("\N{ZERO WIDTH JOINER}", "🔬")) for piece in pieces)


def test_a_limit_under_100_is_refused() -> None:
    with pytest.raises(ValueError, match="100 or more"):
        split_text("", 99)


def test_a_code_block_that_ended_before_the_cut_is_not_opened_again() -> None:
    first, *rest = split_text("```python\nx = 1\n```\n" + "word " * 30, 100)
    assert first.count("```") == 2
    assert "```" not in "".join(rest)


def test_a_character_that_is_longer_than_any_is_cut() -> None:
    marks = "e" + "\N{COMBINING ACUTE ACCENT}" * 300
    assert "".join(split_text(marks, 100)) == marks


@pytest.mark.parametrize("between", ["", "\n", "\n\n", "word\n"])
@pytest.mark.parametrize("length", [60, 99, 101, 400])
def test_no_text_is_lost_behind_a_fence_that_the_end_of_its_line_says_is_none(
    between: str, length: int
) -> None:
    text = f"Said: ```a b c {between}```[to Ada: hi] 1. {'r' * length}` and {'more ' * 60}end"
    for limit in (100, 107, 150, 300):
        pieces = split_text(text, limit)
        assert all(len(piece) <= limit for piece in pieces)
        joined = "".join(pieces)
        assert joined.count("r") >= text.count("r")
        assert joined.count("more") == 60
        assert joined.endswith("end")
