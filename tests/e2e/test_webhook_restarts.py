"""examples/webhook_bot.py across its deaths: kill -9, a stop, and how it starts."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from e2e.bots import Bot, free_port, is_noted, reads, run, said
from emulators.openai import OpenAIEmulator
from emulators.telegram import TelegramEmulator

pytestmark = pytest.mark.asyncio

ADA = 7
UP = "Application startup complete"
Start = Callable[..., AbstractAsyncContextManager[Bot]]


@pytest.fixture
def start(telegram: TelegramEmulator, llm: OpenAIEmulator, folder: Path) -> Start:
    port = free_port()
    environment = {
        "TELEGRAM_TOKEN": telegram.token,
        "TELEGRAM_API_URL": telegram.url,
        "WEBHOOK_URL": f"http://127.0.0.1:{port}/telegram",
        "PORT": str(port),
        "OPENAI_BASE_URL": llm.url,
        "OPENAI_API_KEY": "x",
    }
    return lambda **more: run("webhook_bot.py", folder, environment | more)


async def test_kill_9_in_the_middle_of_an_answer_and_it_goes_on_after_the_restart(
    telegram: TelegramEmulator, llm: OpenAIEmulator, folder: Path, start: Start
) -> None:
    async with start() as first:
        await first.wait_output(UP)
        telegram.say(ADA, "hello")
        await first.wait_for(lambda: len(said(folder, "telegram/7")) == 2, "it stored the answer")
        llm.hold(after_chunks=1)
        telegram.say(ADA, "a long question")
        await reads(telegram, ADA, "echo: hello", "echo:")
        await first.wait_for(lambda: is_noted(folder), "it noted the message")
        await first.kill()
    llm.release()
    assert said(folder, "telegram/7")[2:] == ["user: a long question"]
    assert not telegram.pending(), "Telegram does not deliver it again"
    async with start() as second:
        await reads(telegram, ADA, "echo: hello", "echo: a long question")
        await second.stop()
    assert said(folder, "telegram/7") == [
        "user: hello",
        "assistant: echo: hello",
        "user: a long question",
        "assistant: echo: a long question",
    ]


async def test_a_stop_waits_for_the_answer_under_way(
    telegram: TelegramEmulator, llm: OpenAIEmulator, folder: Path, start: Start
) -> None:
    async with start() as bot:
        await bot.wait_output(UP)
        llm.hold(after_chunks=1)
        telegram.say(ADA, "hello")
        await reads(telegram, ADA, "echo:")
        bot.signal(signal.SIGTERM)
        await bot.wait_output("Shutting down")
        llm.release()
        await bot.ended()
    assert said(folder, "telegram/7") == ["user: hello", "assistant: echo: hello"]
    assert not telegram.pending()
