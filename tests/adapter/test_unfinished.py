"""Markdown is shown properly while it grows: what is open at its end is closed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeep.adapter import close_marks


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("This is **imp", "This is **imp**"),
        ("This is **impor ", "This is **impor**"),
        ("This is **", "This is"),
        ("This is **important*", "This is **important**"),
        ("**a *b", "**a *b***"),
        ("***all", "***all***"),
        ("Run `pip ins", "Run `pip ins`"),
        ("Run `a**b", "Run `a**b`"),
        ("~~old", "~~old~~"),
        ("- **one", "- **one**"),
        ("**a**\n\n**b", "**a**\n\n**b**"),
        ("See [here](https://exam", "See here"),
        ("See [he", "See he"),
        ("Use `a[0", "Use `a[0`"),
        ("```python\nx = **y", "```python\nx = **y\n```"),
        ("- ```\n  x", "- ```\n  x\n  ```"),
        ("```\nx\n```\nand **so", "```\nx\n```\nand **so**"),
    ],
)
def test_what_is_open_at_the_end_is_closed(text: str, closed: str) -> None:
    assert close_marks(text, 100) == closed


@pytest.mark.parametrize(
    "text",
    ["", "words", "2 * 3", "2*3", "a ** b", "* item", "**a** and `b`", "x \\*\\*y", "[here](https://a.b)",
     "```\nx\n```", "*", "a\n\n", "snake_case"],
)  # fmt: skip
def test_what_is_whole_stays_as_it_is(text: str) -> None:
    assert close_marks(text, 100) == text


@given(st.text(st.sampled_from("ab *`~[]()\n\\>-"), max_size=150), st.integers(100, 160))
def test_a_closed_text_is_within_the_limit_and_not_blank(text: str, limit: int) -> None:
    closed = close_marks(text[:limit], limit)
    assert len(closed) <= limit
    assert closed.strip() or closed == text[:limit]
