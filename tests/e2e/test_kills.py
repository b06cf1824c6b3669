"""Ten kills (-9) on each platform; `python tests/e2e/kills.py --kills 200` plays more."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import pytest

from e2e.kills import World, kill_again_and_again

pytestmark = pytest.mark.asyncio

KILLS = 10


@pytest.mark.parametrize("platform", ["telegram", "discord"])
async def test_no_kill_leaves_a_question_without_an_answer_or_answers_it_twice(
    platform: Literal["telegram", "discord"], folder: Path
) -> None:
    report = await kill_again_and_again(platform, folder, KILLS)
    report.check(platform)


@pytest.mark.parametrize("platform", ["telegram", "discord"])
@pytest.mark.parametrize("moment", ["before append", "after append"])
async def test_a_message_is_answered_if_the_process_dies_just_when_it_is_stored(
    platform: Literal["telegram", "discord"], moment: str, folder: Path
) -> None:
    world = World(platform, folder, seed=0)
    async with AsyncExitStack() as stack:
        await world.start(stack)
        bot = world.bot(DIES=moment)
        stack.callback(bot.reap)
        await world.is_up(bot)
        await world.ask()
        assert await bot.ended() != 0
        assert not any(world.stored().values())
        bot = world.bot(DIES=moment)
        stack.callback(bot.reap)
        await world.is_answered(bot)
        assert await bot.stop() == 0, bot.output
    assert set(world.shown().values()) == set(world.stored().values()) == {1}
