"""Ten kills (-9) on each platform; `python tests/e2e/kills.py --kills 200` plays more."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from e2e.kills import kill_again_and_again

pytestmark = pytest.mark.asyncio

KILLS = 10


@pytest.mark.parametrize("platform", ["telegram", "discord"])
async def test_no_kill_leaves_a_question_without_an_answer_or_answers_it_twice(
    platform: Literal["telegram", "discord"], folder: Path
) -> None:
    report = await kill_again_and_again(platform, folder, KILLS)
    report.check(platform)
