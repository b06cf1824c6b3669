"""examples/telegram_bot.py in one long life: what users meet who talk to it.

All tests talk to one bot, each in chats of its own, since starting one takes seconds.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from e2e.bots import Bot, Turns, run, said, turns
from emulators.openai import OpenAIEmulator, last_user_text
from emulators.telegram import TelegramEmulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

SORRY = "Sorry, that went wrong. /retry tries again."
NOTHING = "I have nothing to say."
CHATS = count(100)
FIRST_UPDATE = 870_000_001


@dataclass
class World:
    """The bot, and a chat that no other test has used."""

    telegram: TelegramEmulator
    llm: OpenAIEmulator
    bot: Bot
    folder: Path
    chat: int

    def say(self, text: str, chat: int | None = None, **fields: Any) -> dict[str, Any]:
        return self.telegram.say(chat or self.chat, text, **fields)

    async def answers(self, number: int, chat: int | None = None) -> list[str]:
        """What the bot has written in the chat, which is so much, when all that was said is
        handled: an answer is there before it is whole."""
        await self.handled()
        sent = self.telegram.sent(chat or self.chat)
        assert len(sent) == number
        return [message["text"] for message in sent]

    async def ask(self, text: str, number: int) -> str:
        """Says something and returns what becomes the bot's message of this number."""
        self.say(text)
        return (await self.answers(number))[-1]

    async def handled(self) -> None:
        """Until every handler of every update has ended: answers are stored after they are sent."""
        queued = set(range(FIRST_UPDATE, self.telegram.updates.next_id))
        done = re.compile(r"Update id=(\d+) is (?:not )?handled")
        await self.bot.wait_for(
            lambda: queued <= set(map(int, done.findall(self.bot.output))), "it handled all updates"
        )

    async def turns(self, chat: int | str = "") -> Turns:
        await self.handled()
        return turns(self.folder, f"telegram/{chat or self.chat}")

    async def said(self, chat: int | str = "") -> list[str]:
        await self.handled()
        return said(self.folder, f"telegram/{chat or self.chat}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("telegram")
    async with TelegramEmulator() as telegram, OpenAIEmulator() as llm:
        environment = {
            "TELEGRAM_TOKEN": telegram.token,
            "TELEGRAM_API_URL": telegram.url,
            "OPENAI_BASE_URL": llm.url,
            "OPENAI_API_KEY": "x",
        }
        async with run("telegram_bot.py", folder, environment, command=True) as bot:
            await bot.wait_for(lambda: telegram.polling, "it polled")
            yield World(telegram, llm, bot, folder, 0)
            assert await bot.stop() == 0, "it ends gracefully at SIGTERM"


@pytest_asyncio.fixture(loop_scope="module")
async def world(life: World) -> AsyncIterator[World]:
    life.chat = next(CHATS)
    before = len(life.llm.rejections)
    life.llm.respond = lambda messages: f"echo: {last_user_text(messages)}"
    yield life
    life.llm.release()
    assert life.llm.rejections[before:] == [], "every provider takes the window"


async def test_an_answer_is_sent_and_stored_behind_its_question(world: World) -> None:
    assert await world.ask("hello", 1) == "echo: hello"
    await world.ask("and again", 2)
    assert await world.said() == [
        "user: hello",
        "assistant: echo: hello",
        "user: and again",
        "assistant: echo: and again",
    ]


async def test_a_turn_on_disk_names_its_sender_and_its_message(world: World) -> None:
    question = world.say("hello", first_name="Grace")["message"]
    asked, answered = await world.turns()
    (answer,) = world.telegram.sent(world.chat)
    assert asked["sender"] == {"id": str(world.chat), "name": "Grace"}
    assert asked["source_ids"] == [f"{world.chat}:{question['message_id']}"]
    assert answered["source_ids"] == [f"{world.chat}:{answer['message_id']}"]


async def test_the_model_is_sent_the_conversation_so_far(world: World) -> None:
    await world.ask("my name is Ada", 1)
    await world.ask("what is my name?", 2)
    messages = world.llm.requests[-1].messages
    assert [message["content"] for message in messages[1:]] == [
        "my name is Ada",
        "echo: my name is Ada",
        "what is my name?",
    ]


async def test_interleaved_chats_never_mix(world: World) -> None:
    chats = [next(CHATS) for _ in range(5)]
    for number in range(1, 5):
        for chat in chats:
            world.say(f"{chat} says {number}", chat)
        for chat in chats:
            await world.answers(number, chat)
    for chat in chats:
        lines = [f"{chat} says {number}" for number in range(1, 5)]
        pairs = [(f"user: {line}", f"assistant: echo: {line}") for line in lines]
        assert await world.said(chat) == [line for pair in pairs for line in pair]


async def test_a_burst_is_stored_and_answered_in_its_order_each_message_once(
    world: World,
) -> None:
    burst = [f"number {number}" for number in range(20)]
    for text in burst:
        world.say(text)
    assert await world.answers(20) == [f"echo: {text}" for text in burst]
    stored = await world.turns()
    questions = {turn["id"]: turn["content"] for turn in stored if turn["role"] == "user"}
    assert list(questions.values()) == burst
    answers = [turn for turn in stored if turn["role"] == "assistant"]
    assert [turn["answers"] for turn in answers] == list(questions)
    assert all(turn["content"] == f"echo: {questions[turn['answers']]}" for turn in answers)


async def test_an_update_that_comes_again_after_its_answer_changes_nothing(world: World) -> None:
    update = world.say("hello")
    await world.answers(1)
    world.telegram.redeliver(update)
    world.telegram.redeliver(update, same_update_id=True)
    await world.ask("next", 2)
    await world.handled()
    assert await world.answers(2) == ["echo: hello", "echo: next"]
    assert len(await world.said()) == 4


async def test_an_update_that_comes_again_while_the_model_thinks_is_answered_once(
    world: World,
) -> None:
    asked = len(world.llm.requests)
    world.llm.hold()
    update = world.say("hello")
    await world.llm.wait_request(asked + 1)
    world.telegram.redeliver(update)
    world.say("/start")
    (welcome,) = await world.telegram.wait_sent(world.chat, 1)
    assert "I remember" in welcome["text"], "so it has seen the update again"
    world.llm.release()
    assert (await world.answers(2))[1] == "echo: hello"
    assert len(world.llm.requests) == asked + 1
    assert await world.said() == ["user: hello", "assistant: echo: hello"]


async def test_after_reset_the_model_sees_nothing_of_before(world: World) -> None:
    await world.ask("a secret", 1)
    assert await world.ask("/reset", 2) == "A new conversation."
    await world.ask("hello", 3)
    messages = world.llm.requests[-1].messages
    assert [message["content"] for message in messages[1:]] == ["hello"]
    assert "user: a secret" in await world.said(), "it is still in the file"


async def test_in_a_group_only_administrators_begin_anew_or_have_it_answered_again(
    world: World,
) -> None:
    group = -1009876543222
    world.say("hello", group, user_id=42)
    await world.answers(1, group)
    for command in ("/reset", "/retry"):
        world.say(command, group, user_id=42)
    assert await world.answers(1, group) == ["echo: hello"]
    world.telegram.hand_over(group, 42)
    world.say("/reset", group, user_id=42)
    assert (await world.answers(2, group))[1] == "A new conversation."


async def test_retry_replaces_the_answer(world: World) -> None:
    world.llm.respond = lambda messages: "the first try"
    await world.ask("hello", 1)
    world.llm.respond = lambda messages: "the second try"
    assert await world.ask("/retry", 2) == "the second try"
    assert await world.said() == ["user: hello", "assistant: the second try"]


async def test_retry_in_a_new_chat_says_that_there_is_nothing_to_say(world: World) -> None:
    assert await world.ask("/retry", 1) == NOTHING
    assert await world.said() == []


async def test_forget_leaves_no_trace_on_disk_and_the_bot_goes_on(world: World) -> None:
    await world.ask("xyzzy", 1)
    assert await world.ask("/forget", 2) == "What was kept of you here is erased."
    files = [path for path in world.folder.rglob("sessions/**/*") if path.is_file()]
    assert not [path for path in files if b"xyzzy" in path.read_bytes()]
    world.say("hello", date=int(time.time()) + 60)
    assert (await world.answers(3))[2] == "echo: hello"
    assert await world.said() == ["user: hello", "assistant: echo: hello"]


async def test_in_a_group_forget_leaves_what_the_others_said(world: World) -> None:
    group = -1009876543210
    for user in (42, 43):
        world.say(f"{user} was here", group, user_id=user)
    await world.answers(2, group)
    world.telegram.open_chat(42)
    world.say("/forget", group, user_id=42)
    assert await world.answers(1, 42) == ["What was kept of you here is erased."]
    assert (await world.answers(3, group))[2] == "I have answered you in private."
    assert await world.said(group) == ["user: 43 was here", "assistant: echo: 43 was here"]


async def test_export_sends_what_is_kept_as_a_file(world: World) -> None:
    await world.ask("hello", 1)
    world.say("/export")
    await world.handled()
    file = world.telegram.sent(world.chat)[1]["document"]
    sent = json.loads(world.telegram.bot.files[file["file_id"]])
    assert [turn["content"] for turn in sent] == ["hello", "echo: hello"]


async def test_an_error_of_the_model_is_told_and_not_stored(world: World) -> None:
    await world.ask("hello", 1)
    world.llm.fail_next(500, times=3)  # the client itself tries three times
    assert await world.ask("fails", 2) == SORRY
    assert (await world.said())[2:] == ["user: fails"]
    assert await world.ask("/retry", 3) == "echo: fails"
    assert (await world.said())[2:] == ["user: fails", "assistant: echo: fails"]


async def test_a_stream_that_breaks_is_told_and_no_part_of_it_is_stored(world: World) -> None:
    world.llm.break_next(after_chunks=2)
    world.say("one two three four")
    what = "what was shown of it to be replaced"
    await world.telegram.wait_for(
        lambda: [one["text"] for one in world.telegram.sent(world.chat)] == [SORRY], what=what
    )
    assert await world.said() == ["user: one two three four"]
    assert await world.ask("and now?", 2) == "echo: and now?"
    assert [m["role"] for m in world.llm.requests[-1].messages] == ["system", "user", "user"]


async def test_an_answer_that_cannot_be_sent_is_not_stored(world: World) -> None:
    world.llm.respond = lambda messages: "unheard"  # one word: tried as it grows, and whole
    world.telegram.fail_next("sendMessage", status=400, chat_id=world.chat, times=2)
    assert await world.ask("hello", 1) == SORRY
    assert await world.said() == ["user: hello"]


async def test_too_many_requests_delay_an_answer_and_lose_nothing(world: World) -> None:
    world.telegram.fail_next("sendMessage", status=429, retry_after=1, chat_id=world.chat)
    assert await world.ask("hello", 1) == "echo: hello"
    assert await world.said() == ["user: hello", "assistant: echo: hello"]


async def test_a_long_answer_is_sent_in_pieces_and_stored_once(world: World) -> None:
    long = " ".join(str(number) for number in range(2500))
    world.llm.respond = lambda messages: long
    world.say("count")
    stored = await world.turns()
    sent = world.telegram.sent(world.chat)
    assert len(sent) == 3
    assert " ".join(message["text"] for message in sent) == long
    assert [turn["content"] for turn in stored] == ["count", long]
    assert stored[1]["source_ids"] == [f"{world.chat}:{m['message_id']}" for m in sent]


async def test_markdown_is_shown_as_telegrams_own_formatting(world: World) -> None:
    world.llm.respond = lambda messages: "**Yes**, `so`."
    assert await world.ask("hello", 1) == "Yes, so."
    (sent,) = world.telegram.sent(world.chat)
    assert [one["type"] for one in sent["entities"]] == ["bold", "code"]
    assert await world.said() == ["user: hello", "assistant: **Yes**, `so`."]


async def test_an_answer_of_nothing_is_told_and_not_stored(world: World) -> None:
    world.llm.respond = lambda messages: " \n"
    assert await world.ask("hello", 1) == NOTHING
    assert await world.said() == ["user: hello"]


async def test_the_window_stays_bounded_in_a_long_conversation(world: World) -> None:
    world.llm.respond = lambda messages: "so much"
    for number in range(1, 13):
        await world.ask(f"{number} {'word ' * 400}", number)
        messages = world.llm.requests[-1].messages
        assert sum(len(message["content"]) for message in messages) < 4 * 4000
        assert messages[-1]["content"].startswith(f"{number} ")
    assert len(messages) > 3


async def test_a_message_too_long_for_the_window_is_answered(world: World) -> None:
    world.llm.respond = lambda messages: "so many"
    assert await world.ask("🙂" * 4096, 1) == "so many"
    assert (await world.said())[0] == f"user: {'🙂' * 4096}"


async def test_an_unknown_command_is_neither_stored_nor_answered(world: World) -> None:
    await world.ask("hello", 1)
    asked = len(world.llm.requests)
    world.say("/unknown")
    await world.ask("/start", 2)
    assert len(world.llm.requests) == asked
    assert await world.said() == ["user: hello", "assistant: echo: hello"]


async def test_topics_of_one_group_are_conversations_of_their_own(world: World) -> None:
    group = -1001234567890
    for topic in (50, 60):
        world.say(f"topic {topic}", group, thread_id=topic)
    await world.handled()
    sent = world.telegram.sent(group)
    assert {message["message_thread_id"] for message in sent} == {50, 60}
    for topic in (50, 60):
        stored = await world.said(f"{group},topic,{topic}")
        title = f"user: [topic: Topic {topic}]"
        assert stored == [title, f"user: topic {topic}", f"assistant: echo: topic {topic}"]


async def test_an_outage_of_telegram_loses_and_repeats_nothing(world: World) -> None:
    await world.ask("before", 1)
    await world.telegram.stop()
    world.say("during")
    await world.bot.wait_output("Failed to fetch updates")
    await world.telegram.start()
    assert (await world.answers(2))[1] == "echo: during"
    assert await world.said() == [
        "user: before",
        "assistant: echo: before",
        "user: during",
        "assistant: echo: during",
    ]
