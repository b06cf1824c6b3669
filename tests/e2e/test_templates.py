"""The group bot and the agent: each as its user runs it, over the emulators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from e2e.bots import run, said, turns
from emulators.openai import OpenAIEmulator
from emulators.telegram import TelegramEmulator

pytestmark = pytest.mark.asyncio

GROUP = -1001234567890


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[TelegramEmulator]:
    async with TelegramEmulator() as server:
        yield server


def environment(telegram: TelegramEmulator, **more: str) -> dict[str, str]:
    return {"TELEGRAM_TOKEN": telegram.token, "TELEGRAM_API_URL": telegram.url, **more}


async def test_the_group_bot_hears_all_and_answers_who_addresses_it(
    telegram: TelegramEmulator, tmp_path: Path
) -> None:
    async with run("group_bot.py", tmp_path, environment(telegram), command=True) as bot:
        await bot.wait_for(lambda: telegram.polling, "it polls")
        telegram.say(GROUP, "the party is at eight", user_id=42)
        name = {"type": "mention", "offset": 0, "length": 13}
        telegram.say(GROUP, "@emulated_bot when?", user_id=43, first_name="Bob", entities=[name])
        (sent,) = await telegram.wait_sent(GROUP, 1)
        assert sent["text"] == "I heard 2 messages. The last was: Bob (43): @emulated_bot when?"
        telegram.say(GROUP, "thanks", user_id=43, first_name="Bob", reply_to=sent["message_id"])
        await telegram.wait_sent(GROUP, 2)
        telegram.say(GROUP, "/forget", user_id=43, first_name="Bob")
        await telegram.wait_sent(GROUP, 3)
        assert await bot.stop() == 0
    assert said(tmp_path, f"telegram/{GROUP}") == ["user: the party is at eight"]


async def test_the_agent_keeps_its_calls_with_its_answer(
    telegram: TelegramEmulator, tmp_path: Path
) -> None:
    async with run("agent_bot.py", tmp_path, environment(telegram), command=True) as bot:
        await bot.wait_for(lambda: telegram.polling, "it polls")
        telegram.say(7, "What time is it?")
        (sent,) = await telegram.wait_sent(7, 1)
        assert sent["text"].startswith("It is 20")
        assert await bot.stop() == 0
    stored = turns(tmp_path, "telegram/7")
    assert [turn["role"] for turn in stored] == ["user", "assistant", "tool", "assistant"]
    assert stored[2]["content"] in sent["text"]


async def test_the_agent_uses_its_tools_as_the_model_asks_for_them(
    telegram: TelegramEmulator, tmp_path: Path
) -> None:
    function = {"name": "roll", "arguments": '{"sides": 1}'}
    wrong = {"name": "fly", "arguments": "{}"}
    calls = [
        {"id": "c1", "type": "function", "function": function},
        {"id": "c2", "type": "function", "function": wrong},
    ]

    def respond(messages: list[dict[str, Any]]) -> str | dict[str, Any]:
        if messages[-1]["role"] == "tool":
            return f"rolled {messages[-2]['content']}, and {messages[-1]['content'][:5]}"
        return {"role": "assistant", "content": None, "tool_calls": calls}

    async with OpenAIEmulator(respond) as llm:
        model = {"OPENAI_BASE_URL": llm.url, "OPENAI_API_KEY": "x"}
        async with run("agent_bot.py", tmp_path, environment(telegram, **model)) as bot:
            await bot.wait_for(lambda: telegram.polling, "it polls")
            telegram.say(7, "Roll, and fly")
            (sent,) = await telegram.wait_sent(7, 1)
            assert sent["text"] == "rolled 1, and error"
            assert await bot.stop() == 0
        assert llm.rejections == []
    stored = turns(tmp_path, "telegram/7")
    assert [turn["role"] for turn in stored] == ["user", "assistant", "tool", "tool", "assistant"]


async def test_killed_between_a_call_and_its_answer_the_agent_stores_neither(
    telegram: TelegramEmulator, tmp_path: Path
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    killed = False

    def respond(messages: list[dict[str, Any]]) -> str | dict[str, Any]:
        if messages[-1]["role"] != "tool":
            return {"role": "assistant", "content": "Let me see.", "tool_calls": [call]}
        if not killed:
            llm.hold()
        return "It is late."

    async with OpenAIEmulator(respond) as llm:
        model = {"OPENAI_BASE_URL": llm.url, "OPENAI_API_KEY": "x"}
        async with run("agent_bot.py", tmp_path, environment(telegram, **model)) as first:
            telegram.say(7, "What time is it?")
            await llm.wait_request(2)
            # aiogram confirms an update while it is handled: nobody delivers this one again.
            await telegram.wait_for(lambda: telegram.polling and not telegram.pending())
            await first.kill()
        killed = True
        llm.release()
        assert said(tmp_path, "telegram/7") == ["user: What time is it?"]
        async with run("agent_bot.py", tmp_path, environment(telegram, **model)) as second:
            telegram.say(7, "And now?")
            await second.wait_for(lambda: len(turns(tmp_path, "telegram/7")) == 5, "it answered")
            assert await second.stop() == 0
        assert llm.rejections == []
