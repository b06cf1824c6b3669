"""examples/telegram_bot.py across its deaths: kill -9, a redeploy, and how it starts."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from e2e.bots import Bot, is_noted, reads, run, said, turns
from emulators.openai import OpenAIEmulator
from emulators.telegram import TelegramEmulator

pytestmark = pytest.mark.asyncio

ADA, BOB = 7, 8
Start = Callable[..., AbstractAsyncContextManager[Bot]]


@pytest.fixture
def start(telegram: TelegramEmulator, llm: OpenAIEmulator, folder: Path) -> Start:
    environment = {
        "TELEGRAM_TOKEN": telegram.token,
        "TELEGRAM_API_URL": telegram.url,
        "OPENAI_BASE_URL": llm.url,
        "OPENAI_API_KEY": "x",
    }
    return lambda **more: run("telegram_bot.py", folder, environment | more)


async def test_kill_9_in_the_middle_of_an_answer_loses_nothing_and_repeats_nothing(
    telegram: TelegramEmulator, llm: OpenAIEmulator, folder: Path, start: Start
) -> None:
    async with start() as first:
        answered = telegram.say(ADA, "hello")
        telegram.say(BOB, "I am Bob")
        await first.wait_for(
            lambda: len(said(folder, "telegram/7") + said(folder, "telegram/8")) == 4,
            "it stored both answers",
        )
        llm.hold(after_chunks=1)
        telegram.say(ADA, "a long question")
        await reads(telegram, ADA, "echo: hello", "echo:")
        # aiogram confirms an update while it is handled: nobody will deliver this one again.
        await telegram.wait_for(lambda: telegram.polling and not telegram.pending())
        await first.wait_for(lambda: is_noted(folder), "it noted the message")
        await first.kill()
    llm.release()
    assert said(folder, "telegram/7") == [
        "user: hello",
        "assistant: echo: hello",
        "user: a long question",
    ]
    telegram.redeliver(answered, same_update_id=True)
    async with start() as second:
        await reads(telegram, ADA, "echo: hello", "echo: a long question")
        telegram.say(BOB, "still there?")
        await reads(telegram, BOB, "echo: I am Bob", "echo: still there?")
        assert await second.stop() == 0
    assert len(telegram.sent(ADA)) == 2
    assert said(folder, "telegram/7")[2:] == [
        "user: a long question",
        "assistant: echo: a long question",
    ]
    assert [m["content"] for m in llm.requests[-1].messages[1:]] == [
        "I am Bob",
        "echo: I am Bob",
        "still there?",
    ]


async def test_a_redeploy_overlaps_and_every_message_is_answered_once(
    telegram: TelegramEmulator, llm: OpenAIEmulator, folder: Path, start: Start
) -> None:
    async with start() as old:
        telegram.say(ADA, "0")
        await reads(telegram, ADA, "echo: 0")
        async with start(OPENAI_API_KEY="") as new:
            await new.wait_output("No OPENAI_API_KEY is set")  # next it waits for the folder
            llm.hold()
            telegram.say(ADA, "1")
            await llm.wait_request(2)
            old.signal(signal.SIGTERM)
            telegram.say(ADA, "2")
            await old.wait_output("Polling stopped for bot")
            telegram.say(ADA, "3")
            assert len(telegram.sent(ADA)) == 1
            assert old.running, "it waits for the answers under way"
            llm.release()
            assert await old.ended() == 0
            telegram.say(ADA, "4")
            await telegram.wait_sent(ADA, 5)
            assert await new.stop() == 0
    expected = [str(number) for number in range(5)]
    answers = [message["text"] for message in telegram.sent(ADA)]
    assert sorted(re.sub(r"echo: |You said: |\n.*", "", text) for text in answers) == expected
    assert answers[-1].endswith("I remember 5 messages of this chat. The first was: 0")
    stored = turns(folder, "telegram/7")
    questions = [turn for turn in stored if turn["role"] == "user"]
    assert [turn["content"] for turn in questions] == expected
    assert sorted(turn["content"] for turn in stored if turn["role"] == "assistant") == sorted(
        answers
    )


async def test_without_a_key_it_says_so_and_shows_what_it_remembers(
    telegram: TelegramEmulator, start: Start
) -> None:
    async with start(OPENAI_API_KEY="") as bot:
        await bot.wait_output("No OPENAI_API_KEY is set")
        await bot.wait_for(lambda: telegram.polling, "it polled")
        remembers = "I remember {} messages of this chat. The first was: I am Ada"
        answers = [f"You said: I am Ada\n{remembers.format(1)}"]
        telegram.say(ADA, "I am Ada")
        await reads(telegram, ADA, *answers)
        answers.append(f"You said: hello\n{remembers.format(2)}")
        telegram.say(ADA, "hello")
        await reads(telegram, ADA, *answers)
