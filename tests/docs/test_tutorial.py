"""docs/tutorial.md, followed step by step: after each one the bot does what the page says."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from docs.blocks import whole_bot
from docs.steps import bot_after, shape_of
from e2e.bots import Bot, is_noted, reads, run, said
from emulators import telegram_patch
from emulators.openai import OpenAIEmulator, last_user_text
from emulators.telegram import PHOTO, TelegramEmulator

CHAT = 7
SYSTEM = {"role": "system", "content": "You are a cook. Suggest one dish, in two sentences."}
SUMMARIZE = "Summarize our conversation so far"


@dataclass
class Reader:
    """The bot of somebody who has followed the page up to a step, its platform and its model."""

    folder: Path
    telegram: TelegramEmulator
    llm: OpenAIEmulator

    @asynccontextmanager
    async def bot(self) -> AsyncIterator[Bot]:
        patch = str(Path(telegram_patch.__file__).parent)
        environment = {
            "PYTHONPATH": os.pathsep.join([patch, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "TELEGRAM_EMULATOR_URL": self.telegram.url,
            "TELEGRAM_TOKEN": self.telegram.token,
            "OPENAI_BASE_URL": self.llm.url,
            "OPENAI_API_KEY": "x",
        }
        script = str(self.folder / "bot.py")
        async with run(script, self.folder, environment, command=True) as bot:
            await bot.wait_for(lambda: self.telegram.polling, "it connected")
            yield bot

    async def stored(self, bot: Bot, number: int) -> list[str]:
        """Return what is on disk, once there are so many turns: sending comes before storing."""
        await bot.wait_for(lambda: len(self.said()) >= number, f"{number} turns")
        return self.said()

    def said(self) -> list[str]:
        return said(self.folder, f"telegram/{CHAT}")

    async def reads(self, *texts: str) -> None:
        await reads(self.telegram, CHAT, *texts)

    def prompt(self) -> list[dict[str, Any]]:
        """Return the messages of the latest call of the model."""
        return self.llm.requests[-1].messages


def respond(messages: list[dict[str, Any]]) -> str:
    asked = last_user_text(messages)
    return "They cook." if asked.startswith(SUMMARIZE) else f"echo: {asked}"


@asynccontextmanager
async def reader(tmp_path: Path, step: int) -> AsyncIterator[Reader]:
    (tmp_path / "bot.py").write_text(bot_after(step))
    async with TelegramEmulator() as telegram, OpenAIEmulator(respond) as llm:
        yield Reader(tmp_path, telegram, llm)
        assert llm.rejections == [], "every provider takes the window"


@pytest.mark.asyncio
async def test_after_the_first_step_the_bot_has_its_prompt_and_remembers_after_a_restart(
    tmp_path: Path,
) -> None:
    async with reader(tmp_path, 1) as one:
        async with one.bot() as bot:
            one.telegram.say(CHAT, "I have eggs")
            await one.reads("echo: I have eggs")
            await one.stored(bot, 2)
            await bot.stop()
        async with one.bot() as bot:
            one.telegram.say(CHAT, "what have I?")
            await one.reads("echo: I have eggs", "echo: what have I?")
        assert one.prompt() == [
            SYSTEM,
            {"role": "user", "content": "I have eggs"},
            {"role": "assistant", "content": "echo: I have eggs"},
            {"role": "user", "content": "what have I?"},
        ]


@pytest.mark.asyncio
async def test_after_the_second_step_a_reset_hides_what_was_said_and_the_file_keeps_it(
    tmp_path: Path,
) -> None:
    async with reader(tmp_path, 2) as one, one.bot() as bot:
        one.telegram.say(CHAT, "I have eggs")
        await one.reads("echo: I have eggs")
        await one.stored(bot, 2)
        one.telegram.say(CHAT, "/reset")
        shown = ["echo: I have eggs", "A new conversation. What is in your fridge?"]
        await one.reads(*shown)
        one.telegram.say(CHAT, "/start")
        shown.append("Hello! Tell me what is in your fridge.")
        await one.reads(*shown)
        one.telegram.say(CHAT, "what have I?")
        await one.reads(*shown, "echo: what have I?")
        assert one.prompt() == [SYSTEM, {"role": "user", "content": "what have I?"}]
        assert (await one.stored(bot, 4))[:2] == [
            "user: I have eggs",
            "assistant: echo: I have eggs",
        ]


@pytest.mark.asyncio
async def test_after_the_third_step_a_pressed_button_is_said_and_answered(tmp_path: Path) -> None:
    async with reader(tmp_path, 3) as one, one.bot() as bot:
        one.telegram.say(CHAT, "/menu")
        (menu,) = await one.telegram.wait_sent(CHAT, 1)
        keys = [key for row in menu["reply_markup"]["inline_keyboard"] for key in row]
        assert [key["text"] for key in keys] == ["Breakfast", "Dinner"]
        one.telegram.press(menu, keys[1]["callback_data"], user_id=CHAT)
        await one.reads("Which meal?", "echo: [button: Dinner]")
        assert await one.stored(bot, 2) == [
            "user: [button: Dinner]",
            "assistant: echo: [button: Dinner]",
        ]
        assert one.telegram.called("answerCallbackQuery")


@pytest.mark.asyncio
async def test_after_the_fourth_step_the_model_sees_a_photo_whose_bytes_are_not_stored(
    tmp_path: Path,
) -> None:
    async with reader(tmp_path, 4) as one:
        picture = one.telegram.bot.files["photo"]
        async with one.bot() as bot:
            one.telegram.say(CHAT, photo=PHOTO, caption="What can I cook of this?")
            await one.reads("echo: What can I cook of this?")
            await one.stored(bot, 2)
        encoded = base64.b64encode(picture).decode()
        assert one.prompt()[1]["content"] == [
            {"type": "text", "text": "What can I cook of this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded}"}},
        ]
        assert encoded not in (tmp_path / "sessions/telegram/7.jsonl").read_text()


@pytest.mark.asyncio
async def test_after_the_fifth_step_old_turns_become_a_summary_that_each_window_begins_with(
    tmp_path: Path,
) -> None:
    async with reader(tmp_path, 5) as one, one.bot() as bot:
        one.telegram.say(CHAT, "/summary")
        await one.reads("Nothing is summarized yet.")
        for number in range(21):
            one.telegram.say(CHAT, f"dish {number}")
            await one.stored(bot, 2 * number + 2)
        one.telegram.say(CHAT, "and now?")
        await one.stored(bot, 44)
        window = one.prompt()
        assert window[0] == SYSTEM
        assert "They cook." in window[1]["content"]
        assert [message["content"] for message in window[2:4]] == ["dish 16", "echo: dish 16"]
        one.telegram.say(CHAT, "/summary")
        await one.telegram.wait_for(lambda: one.telegram.sent(CHAT)[-1]["text"] == "They cook.")
        assert one.said()[0] == "user: dish 0", "nothing is deleted"


@pytest.mark.asyncio
async def test_after_the_last_step_a_killed_bot_finishes_its_answer_in_the_same_message(
    tmp_path: Path,
) -> None:
    async with reader(tmp_path, 6) as one:
        async with one.bot() as bot:
            one.llm.hold(after_chunks=3)
            one.telegram.say(CHAT, "a long answer please")
            await one.telegram.wait_sent(CHAT, 1)
            await bot.wait_for(lambda: is_noted(tmp_path), "it noted the message")
            await bot.kill()
        one.llm.release()
        async with one.bot() as bot:
            await one.reads("echo: a long answer please")
            assert await one.stored(bot, 2) == [
                "user: a long answer please",
                "assistant: echo: a long answer please",
            ]


def test_the_whole_file_is_what_the_steps_have_made() -> None:
    assert shape_of(whole_bot()) == shape_of(bot_after(6))
