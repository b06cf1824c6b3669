"""An adapter waits for running handlers before it leaves the store."""

from __future__ import annotations

import logging

import anyio
import pytest

from turnkeep.adapter import drain

pytestmark = pytest.mark.asyncio


async def test_it_waits_until_no_handler_runs(caplog: pytest.LogCaptureFixture) -> None:
    running = ["one", "two", "three"]

    async def wait_for_one() -> None:
        running.pop()

    await drain(lambda: len(running), wait_for_one, 60)
    assert running == []
    assert caplog.text == ""


async def test_it_logs_how_many_handlers_still_run_after_its_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "turnkeep"):
        await drain(lambda: 2, anyio.sleep_forever, 0.01)
    assert "2 handlers still run after 0.01 seconds" in caplog.text
