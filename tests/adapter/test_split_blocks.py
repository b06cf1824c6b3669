"""A code block or a table that is cut is shown as one in each of its pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from turnkeep.adapter import split_text

SHAPES = {
    "plain": "```python\n{}\n```",
    "tildes": "~~~python\n{}\n~~~",
    "indented by three": "   ```python\n{}\n   ```",
    "indented by four": "    ```python\n    {}\n    ```",
    "in a list": "- ```python\n  {}\n  ```",
    "in a numbered list": "1. Do this:\n\n   ```python\n   {}\n   ```",
    "deep in a list": "- a\n  - b\n    ```python\n    {}\n    ```",
    "in a quote": "> ```python\n> {}\n> ```",
    "tildes in a quote": "> ~~~python\n> {}\n> ~~~",
    "in the middle of a line": "So: ```python\n{}\n```",
    "with text behind it": "```python\n{}\n``` and so on",
    "closed behind code": "```python\n{}```",
    "longer": "`````python\n{}\n`````",
    "nested": "````markdown\n```python\n{}\n```\n````",
    "nested tildes": "~~~markdown\n```python\n{}\n```\n~~~",
    "with a word for a tool": "```python title=x\n{}\n```",
    "never closed": "```python\n{}",
}
COMMONMARK = MarkdownIt()
CODE = st.lists(st.from_regex(r"code [a-z]{0,30}", fullmatch=True), min_size=1, max_size=40)


def shaped(shape: str, code: list[str]) -> str:
    """Return a code block whose lines have the prefix of its first one."""
    begin = next(line for line in shape.split("\n") if "{}" in line)
    prefix = begin[: begin.index("{}")]
    return shape.replace("{}", f"\n{prefix}".join(code))


TABLES = st.integers(0, 20).map(lambda n: "|a|b|\n|-|-|\n" + "\n".join(["|1|2|"] * n))
TEXTS = st.lists(
    st.one_of(
        st.builds(shaped, st.sampled_from(list(SHAPES.values())), CODE),
        TABLES,
        st.integers(1, 60).map("word ".__mul__),
    ),
    max_size=5,
).map("\n\n".join)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@given(CODE, st.integers(0, 8), st.integers(0, 8), st.integers(100, 300))
def test_code_is_shown_as_code_in_each_piece_and_words_as_words(
    shape: str, code: list[str], before: int, after: int, limit: int
) -> None:
    end = "" if shape == SHAPES["never closed"] else "\n\n" + "word word\n\n" * after
    text = "word word\n\n" * before + shaped(shape, code) + end
    pieces = split_text(text, limit)
    assert all(len(piece) <= limit for piece in pieces)
    if len(pieces) == 1:
        return
    found: list[str] = []
    for piece in pieces:
        for token in COMMONMARK.parse(piece):
            if token.type in ("fence", "code_block"):
                assert "word" not in token.content, piece
                found += [line for line in token.content.split("\n") if "code" in line]
            elif token.type == "inline":
                assert "code " not in token.content, piece
    assert [line.strip() for line in found] == [line.strip() for line in code]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@given(st.lists(st.integers(1, 150), min_size=1, max_size=6), st.integers(100, 300))
def test_code_is_cut_between_its_lines_if_they_fit(
    shape: str, lengths: list[int], limit: int
) -> None:
    code = [f"code {'a b ' * (length // 4)}c" for length in lengths]
    pieces = split_text(shaped(shape, code), limit)
    shown = [line.strip(" >") for piece in pieces for line in piece.split("\n")]
    for line in code:
        if len(line) + 60 <= limit:
            assert line in [one.removesuffix("```") for one in shown], pieces


@given(CODE, st.integers(100, 300))
def test_a_code_block_that_fits_into_a_message_is_never_cut(code: list[str], limit: int) -> None:
    block = "```python\n" + "\n".join(code) + "\n```"
    if len(block) > limit:
        return
    for words in range(0, 40, 3):
        pieces = split_text("word " * words + "\n\n" + block + "\n\n" + "word " * 20, limit)
        assert any(block in piece for piece in pieces), pieces


@given(st.integers(1, 40), st.integers(0, 20), st.integers(120, 300))
def test_a_table_that_is_cut_has_its_head_in_each_piece(rows: int, words: int, limit: int) -> None:
    head = "| name | size |\n|---|---:|\n"
    table = head + "\n".join(f"| row {n} | {n} |" for n in range(rows))
    pieces = split_text("word " * words + "\n\n" + table + "\n\n" + "word " * 20, limit)
    for piece in pieces:
        assert len(piece) <= limit
        if "| row" in piece:
            assert piece.index(head) < piece.index("| row")
    shown = [line for piece in pieces for line in piece.split("\n") if line.startswith("| row")]
    assert shown == [f"| row {n} | {n} |" for n in range(rows)]


@pytest.mark.parametrize("before", ["", "so: ", "\n"])
def test_a_language_that_is_longer_than_a_piece_makes_no_piece_longer(before: str) -> None:
    text = f"{before}{'a' * 100}````python{'a' * 247}`x````"
    pieces = split_text(text, 100)
    assert all(len(piece) <= 100 for piece in pieces)
    assert "".join(pieces).count("a") >= 347


def test_a_text_that_fits_is_not_changed() -> None:
    text = "So: ```python\nx\n``` and so on"
    assert split_text(text, 100) == [text]


@given(TEXTS, st.integers(100, 300), st.integers(0, 3000))
def test_all_but_the_last_two_pieces_stay_while_the_text_grows(
    text: str, limit: int, so_far: int
) -> None:
    whole, before = split_text(text, limit), split_text(text[:so_far], limit)
    if len(before) > 2:
        assert before[:-2] == whole[: len(before) - 2]
