"""An author's wish for an answer that goes wrong is one that turnkeep knows."""

from __future__ import annotations

from typing import Any

import pytest

from turnkeep.adapter import AnswerOptions


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (
            {"undelivered": "keep"},
            "undelivered is 'store', 'drop', 'raise' or a function, not 'keep'",
        ),
        ({"max_wait": -1}, "max_wait is a number of seconds, 0 or more, not -1"),
    ],
)
def test_a_wish_that_nothing_can_fulfil_is_refused_with_what_could(
    wish: dict[str, Any], error: str
) -> None:
    with pytest.raises(ValueError, match=error):
        AnswerOptions(**wish)
