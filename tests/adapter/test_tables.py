"""A table is shown as a code block whose columns are aligned."""

from __future__ import annotations

from turnkeep.adapter import tables_as_code

TABLE = "| a | size |\n|:--|---:|\n| **long** | 1 |\n| `x` | 20 |"


def test_columns_are_aligned_as_the_dashes_say_and_marks_are_left_out() -> None:
    shown = "```\na    | size\n-----+-----\nlong |    1\nx    |   20\n```"
    assert tables_as_code(f"See:\n\n{TABLE}\n\nThat is all.", 200) == (
        f"See:\n\n{shown}\n\nThat is all."
    )


def test_wide_letters_take_two_columns() -> None:
    assert "日本 | 1\nab   | 2" in tables_as_code("|x|y|\n|-|-|\n|日本|1|\n|ab|2|", 100)


def test_a_table_without_pipes_around_it_is_one_too() -> None:
    assert tables_as_code("a | b\n--|--\n1 | 2", 100) == "```\na | b\n--+--\n1 | 2\n```"


def test_a_pipe_that_is_escaped_is_a_part_of_its_cell() -> None:
    assert "x|y | 2" in tables_as_code("|a|b|\n|-|-|\n|x\\|y|2|", 100)


def test_a_table_inside_of_a_code_block_stays_as_it_is() -> None:
    text = f"```\n{TABLE}\n```"
    assert tables_as_code(text, 1000) == text


def test_a_table_that_is_too_long_when_aligned_is_not_aligned() -> None:
    wide = "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 20 + f"| {'x' * 50} | 3 |"
    shown = tables_as_code(wide, len(wide))
    assert shown.startswith("```\na | b\n1 | 2\n")
    assert tables_as_code(wide, 100) == wide, "and stays as it is if that is too long as well"


def test_rows_with_more_and_with_fewer_cells_are_whole() -> None:
    shown = tables_as_code("|a|b|\n|-|-|\n|1|\n|1|2|3|", 100)
    assert shown == "```\na | b\n--+--\n1\n1 | 2 | 3\n```"


def test_lines_with_pipes_that_are_no_table_stay_as_they_are() -> None:
    for text in ("a | b", "a | b\nc | d", "a | b\n---\nc | d", "|a|b|\n|-|"):
        assert tables_as_code(text, 100) == text
