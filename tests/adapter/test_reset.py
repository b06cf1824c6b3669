"""When a conversation begins anew by itself."""

from __future__ import annotations

import asyncio
from datetime import datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from turnkeep import Sender, SessionKey, SessionStore
from turnkeep.adapter import Recorder, ResetPolicy

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
KEY = SessionKey("telegram", 7)
ADA = Sender("7", "Ada")


@pytest.mark.parametrize(
    ("policy", "pause", "due"),
    [
        (ResetPolicy(idle=timedelta(hours=1)), timedelta(minutes=60), False),
        (ResetPolicy(idle=timedelta(hours=1)), timedelta(minutes=61), True),
        (ResetPolicy(daily_at=time(4)), timedelta(hours=15, minutes=59), False),
        (ResetPolicy(daily_at=time(4)), timedelta(hours=16, minutes=1), True),
        (ResetPolicy(daily_at=time(4)), timedelta(days=3), True),
        # In Vienna noon UTC is two in the afternoon, so 15:00 comes after one hour.
        (
            ResetPolicy(daily_at=time(15, tzinfo=ZoneInfo("Europe/Vienna"))),
            timedelta(minutes=61),
            True,
        ),
    ],
)
def test_a_reset_is_due_after_a_silence_or_at_an_hour(
    policy: ResetPolicy, pause: timedelta, due: bool
) -> None:
    assert policy.is_due(NOON, NOON + pause) is due


@pytest.mark.parametrize("given", [{}, {"idle": timedelta(0)}])
def test_a_policy_that_says_nothing_is_refused(given: dict[str, timedelta]) -> None:
    with pytest.raises(ValueError, match="idle"):
        ResetPolicy(**given)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_the_message_that_comes_is_the_first_of_the_new_epoch_and_the_old_one_is_kept() -> (
    None
):
    async with SessionStore("memory:") as store:
        recorder = Recorder(store, reset=ResetPolicy(idle=timedelta(hours=1)))
        session = recorder.session(KEY)

        async def say(text: str, source: str, hours: float) -> None:
            at = NOON + timedelta(hours=hours)
            await recorder.receive(session, text, source_id=source, sender=ADA, time=at)

        await say("old", "7:1", 0)
        await asyncio.gather(say("new", "7:2", 2), say("newer", "7:3", 2))
        await say("new", "7:2", 9)  # delivered again, late
        assert [turn.content async for turn in session.turns()] == ["new", "newer"]
        assert [turn.epoch async for turn in session.turns(epoch="all")] == [1, 2, 2]
