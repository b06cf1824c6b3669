"""examples/long_memory_bot.py, over a real client: what was said long ago becomes a summary."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from e2e.bots import Bot, run, said, turns
from emulators.openai import OpenAIEmulator, last_user_text
from patience import PATIENCE

pytestmark = pytest.mark.asyncio

Start = Callable[..., AbstractAsyncContextManager[Bot]]


@pytest.fixture
def start(llm: OpenAIEmulator, folder: Path) -> Start:
    environment = {"OPENAI_BASE_URL": llm.url, "OPENAI_API_KEY": "x"}
    few = {"AFTER_MESSAGES": "6", "KEEP": "2"}

    def start(*, command: bool = False, **more: str) -> AbstractAsyncContextManager[Bot]:
        script, piped = "long_memory_bot.py", subprocess.PIPE
        return run(script, folder, environment | few | more, piped, command=command)

    return start


async def talk(bot: Bot, *lines: str) -> None:
    """Types the lines, each when it is asked for."""
    await bot.wait_for(lambda: bot.output.endswith("you> "), "it asked")
    for line in lines:
        prompts = bot.output.count("you> ")
        bot.write(f"{line}\n")
        await bot.wait_output("you> ", prompts + 1)


def summaries(llm: OpenAIEmulator) -> list[list[str]]:
    """What the model was given each time that it was asked for a summary."""
    return [
        [message["content"] for message in request.messages[1:-1]]
        for request in llm.requests
        if last_user_text(request.messages).startswith("Summarize")
    ]


def respond(messages: list[dict[str, str]]) -> str:
    text = last_user_text(messages)
    return "Ada lives in Bonn." if text.startswith("Summarize") else f"echo: {text}"


async def summary(bot: Bot) -> None:
    """Asks for the summary until there is one."""
    async with asyncio.timeout(PATIENCE):
        while "Ada lives in Bonn." not in bot.output:
            await talk(bot, "/summary")


async def test_what_was_said_long_ago_is_folded_into_a_summary_and_stays_in_the_file(
    folder: Path, llm: OpenAIEmulator, start: Start
) -> None:
    llm.respond = respond
    async with start(command=True) as bot:
        await talk(bot, "I am Ada", "I live in Bonn", "third")
        assert summaries(llm) == []
        await talk(bot, "fourth")
        await summary(bot)
    assert summaries(llm) == [
        [
            *("I am Ada", "echo: I am Ada", "I live in Bonn", "echo: I live in Bonn"),
            *("third", "echo: third"),
        ]
    ]
    assert len(said(folder, "console/long")) == 8
    async with start() as bot:
        await talk(bot, "where do I live?")
    sent = [message["content"] for message in llm.requests[-1].messages[1:]]
    assert sent == [
        "Summary of the conversation so far:\n<summary>\nAda lives in Bonn.\n</summary>",
        *("fourth", "echo: fourth", "where do I live?"),
    ]


async def test_killed_while_the_model_summarizes_it_begins_again_after_the_next_reply(
    folder: Path, llm: OpenAIEmulator, start: Start
) -> None:
    def never_summarize(messages: list[dict[str, str]]) -> str:
        if last_user_text(messages).startswith("Summarize"):
            llm.hold(after_chunks=0)
        return respond(messages)

    llm.respond = never_summarize
    async with start() as bot:
        await talk(bot, "one", "two", "three", "four")
        async with asyncio.timeout(PATIENCE):
            while not summaries(llm):
                await asyncio.sleep(0.01)
        bot.signal(signal.SIGKILL)
        await bot.ended()
    llm.release()
    assert not llm.requests[-1].finished
    llm.respond = respond
    assert len(turns(folder, "console/long")) == 8
    async with start() as bot:
        await talk(bot, "five")
        await summary(bot)
    assert [given[0] for given in summaries(llm)] == ["one", "one"]
    assert said(folder, "console/long")[-2:] == ["user: five", "assistant: echo: five"]


async def test_without_a_key_it_works_too(start: Start) -> None:
    async with start(OPENAI_API_KEY="") as bot:
        await talk(bot, "one", "two", "three", "four")
        async with asyncio.timeout(PATIENCE):
            while "6 earlier messages, from 'one' on." not in bot.output:
                await talk(bot, "/summary")
