"""Texts of any length cost the loop no more than their length."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from turnkeep._records.clean import clean_text
from turnkeep.adapter import reply_note

HIGH, LOW = chr(0xD83D), chr(0xDE00)


def calls_in(run: Any) -> int:
    """Return how many functions a call runs, those in C among them."""
    count = 0

    def profile(_: Any, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def test_a_note_about_a_message_looks_at_its_beginning_alone() -> None:
    short, long = [f"é [link](https://example.org/{'a' * size})" for size in (5_000, 400_000)]
    assert calls_in(lambda: reply_note("Ada", long)) == calls_in(lambda: reply_note("Ada", short))


@pytest.mark.parametrize("text", [HIGH, LOW + HIGH, HIGH + LOW, f"{HIGH}a"])
def test_halves_of_characters_are_replaced_without_a_call_for_each(text: str) -> None:
    assert calls_in(lambda: clean_text(text * 3_000)) == calls_in(lambda: clean_text(text * 30))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("\ud83d\ude00", "\N{GRINNING FACE}"),
        ("\ud83d\ud83d\ude00\ude00", "\ufffd\N{GRINNING FACE}\ufffd"),
        ('\ude00\ud83d"\\\n\x00\x7f', '\ufffd\ufffd"\\\n\ufffd\x7f'),
    ],
)
def test_halves_that_belong_together_are_joined_and_others_replaced(text: str, clean: str) -> None:
    assert clean_text(text) == clean
