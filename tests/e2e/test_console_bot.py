"""examples/console_bot.py, typed to through a pipe: what the README invites its reader to try."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from e2e.bots import Bot, run, said
from emulators.openai import OpenAIEmulator

pytestmark = pytest.mark.asyncio

Start = Callable[..., AbstractAsyncContextManager[Bot]]


@pytest.fixture
def start(llm: OpenAIEmulator, folder: Path) -> Start:
    environment = {"OPENAI_BASE_URL": llm.url, "OPENAI_API_KEY": "x"}

    def start(*, command: bool = False, **more: str) -> AbstractAsyncContextManager[Bot]:
        script, piped = "console_bot.py", subprocess.PIPE
        return run(script, folder, environment | more, piped, command=command)

    return start


async def talk(bot: Bot, *lines: str) -> str:
    """Types the lines, each when it is asked for, and returns what was printed since."""
    await bot.wait_for(lambda: bot.output.endswith("you> "), "it asked")
    before = len(bot.output)
    for line in lines:
        prompts = bot.output.count("you> ")
        bot.write(f"{line}\n")
        await bot.wait_output("you> ", prompts + 1)
    return bot.output[before:]


async def test_the_conversation_survives_ctrl_c_and_kill_9(
    folder: Path, llm: OpenAIEmulator, start: Start
) -> None:
    async with start(command=True) as first:
        assert await talk(first, "I am Ada") == "bot> echo: I am Ada\nyou> "
        first.signal(signal.SIGINT)
        assert await first.ended() == 0
        assert first.output.endswith("Bye. Start me again, and I continue from here.\n")
    async with start() as second:
        await talk(second, "I live in Bonn")
        assert "Earlier:\n  you> I am Ada\n  bot> echo: I am Ada\n" in second.output
        await second.kill()
    async with start() as third:
        await talk(third, "where do I live?")
        assert "  you> I live in Bonn\n  bot> echo: I live in Bonn\n" in third.output
    conversation = [
        "user: I am Ada",
        "assistant: echo: I am Ada",
        "user: I live in Bonn",
        "assistant: echo: I live in Bonn",
        "user: where do I live?",
        "assistant: echo: where do I live?",
    ]
    assert said(folder, "console/me") == conversation
    sent = [f"{message['role']}: {message['content']}" for message in llm.requests[-1].messages]
    assert sent[1:] == conversation[:-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
async def test_an_end_in_the_middle_of_an_answer_keeps_the_question_alone(
    folder: Path, llm: OpenAIEmulator, start: Start, number: int
) -> None:
    async with start() as first:
        await talk(first)
        llm.hold(after_chunks=1)
        first.write("one two three\n")
        await first.wait_output("bot> echo:")
        first.signal(number)
        await first.ended()
    llm.release()
    assert said(folder, "console/me") == ["user: one two three"]
    async with start() as second:
        assert await talk(second, "/retry") == "bot> echo: one two three\nyou> "
    assert said(folder, "console/me") == ["user: one two three", "assistant: echo: one two three"]


async def test_reset_retry_and_forget_do_as_they_are_called(
    folder: Path, llm: OpenAIEmulator, start: Start
) -> None:
    async with start() as bot:
        assert "There is nothing to answer yet." in await talk(bot, "/retry")
        await talk(bot, "old", "/reset", "hello")
        assert [m["content"] for m in llm.requests[-1].messages[1:]] == ["hello"]
        llm.respond = lambda messages: "another answer"
        assert "bot> another answer" in await talk(bot, "/retry")
        assert said(folder, "console/me") == [
            "user: old",
            "assistant: echo: old",
            "user: hello",
            "assistant: another answer",
        ]
        assert "Everything is erased." in await talk(bot, "/forget")
        assert said(folder, "console/me") == []
        await talk(bot, "hi")
        assert said(folder, "console/me") == ["user: hi", "assistant: another answer"]


async def test_an_error_of_the_model_is_told_and_not_stored(
    folder: Path, llm: OpenAIEmulator, start: Start
) -> None:
    async with start() as bot:
        await talk(bot)
        llm.fail_next(500, times=3)  # the client itself tries three times
        assert "(no answer: Error code: 500" in await talk(bot, "hello")
        llm.break_next(after_chunks=1)
        assert "(no answer: Connection error.; /retry tries again)" in await talk(bot, "/retry")
        assert said(folder, "console/me") == ["user: hello"]
        await talk(bot, "/retry")
    assert said(folder, "console/me") == ["user: hello", "assistant: echo: hello"]


async def test_a_second_copy_waits_and_goes_on_when_the_first_has_left(
    folder: Path, start: Start
) -> None:
    async with start(OPENAI_API_KEY="") as first:
        await talk(first, "I am Ada")
        async with start() as second:
            second.write("hello\n")
            first.write("/quit\n")
            assert await first.ended() == 0
            await second.wait_output("bot> echo: hello")
    assert [line for line in said(folder, "console/me") if line.startswith("user")] == [
        "user: I am Ada",
        "user: hello",
    ]


async def test_without_a_key_it_says_so_and_answers_from_its_memory(start: Start) -> None:
    async with start(OPENAI_API_KEY="") as first:
        shown = await talk(first, "What is my name?", "My name is Ada.", "hello")
        assert "OPENAI_API_KEY is not set, so a small responder answers offline." in first.output
        assert "bot> You have not told me your name.\n" in shown
        assert "bot> Nice to meet you, Ada. " in shown
        assert "bot> You said: hello\n" in shown
        await first.kill()
    async with start(OPENAI_API_KEY="") as second:
        shown = await talk(second, "What is my name?", "I'm Grace", "And what's my name now?")
    assert shown.count("bot> Your name is Ada.\n") == 1
    assert shown.count("bot> Your name is Grace.\n") == 1


async def test_without_a_key_it_can_be_killed_in_the_middle_of_an_answer(
    folder: Path, start: Start
) -> None:
    async with start(OPENAI_API_KEY="") as bot:
        await talk(bot)
        bot.write("My name is Ada.\n")
        await bot.wait_output("bot> Nice")
        await bot.kill()
        assert "for your name." not in bot.output
    assert said(folder, "console/me") == ["user: My name is Ada."]
