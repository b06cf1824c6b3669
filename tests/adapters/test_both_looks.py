"""An answer's reply, buttons and footer, and the buttons that stop it or ask again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiogram.types import KeyboardButton, ReplyKeyboardMarkup

from adapters.on_telegram import Telegram
from adapters.platforms import Platform
from turnkeep import Reply
from turnkeep.adapter import AGAIN_LABEL, STOP_LABEL, ChatSession

pytestmark = pytest.mark.asyncio


class Model:
    """A model whose answers are numbered, and which thinks in the middle of them."""

    def __init__(self, **looks: Any) -> None:
        self.looks = looks
        self.count = 0
        self.windows: list[list[Any]] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.is_closed = False
        self.error: Exception | None = None

    async def __call__(self, chat_session: ChatSession, text: str = "") -> None:
        assert chat_session.outlet is not None
        chat_session.outlet.pace = 0
        await chat_session.answer(self.says, **self.looks)

    async def says(self, reply: Reply) -> AsyncIterator[str]:
        self.count += 1
        self.windows.append([one["content"] for one in await reply.get_history()])
        try:
            yield f"answer {self.count}"
            await self.may_go_on.wait()
            if self.error is not None:
                raise self.error
            yield ", whole"
        finally:
            self.is_closed = True


async def test_the_first_message_replies_to_the_question_in_a_group(platform: Platform) -> None:
    async def long(chat_session: ChatSession, text: str) -> None:
        await chat_session.answer("word " * (platform.limit // 4), reply_to=True)

    await platform.start(long)
    asked = await platform.say(platform.bob, "hello", at=platform.group)
    await platform.say(platform.ada, "hello")
    here = platform.private(platform.ada)
    await platform.wait(lambda: len(platform.sent(platform.group)) == len(platform.sent(here)) == 2)
    assert platform.repliers(platform.group) == [asked.source_id, None]
    assert platform.repliers(here) == [None, None], "nobody else could be meant"


async def test_a_reply_to_a_question_that_is_gone_is_sent_all_the_same(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def handler(chat_session: ChatSession, text: str) -> None:
        await gone.wait()
        await chat_session.answer("an answer", reply_to=True)

    async with Telegram(tmp_path / "sessions") as platform:  # which does not tell the bot
        await platform.start(handler)
        asked = await platform.say(platform.bob, "hello", at=platform.group)
        await platform.hears("hello")
        assert platform.server.delete(asked.raw) is None
        gone.set()
        await platform.shows("an answer", at=platform.group)
        assert platform.repliers(platform.group) == [None]


async def test_buttons_are_under_the_last_message_when_the_answer_has_ended(
    platform: Platform,
) -> None:
    here, seen = platform.private(platform.ada), list[list[list[str]]]()

    async def says() -> AsyncIterator[str]:
        for _ in range(3):
            yield "word " * (platform.limit // 8)
            seen.append(platform.labels(here))

    async def handler(chat_session: ChatSession, text: str) -> None:
        assert chat_session.outlet is not None
        chat_session.outlet.pace = 0
        await chat_session.answer(says(), buttons=platform.own_buttons("Yes", "No"))

    await platform.start(handler)
    await platform.say(platform.ada, "hello")
    await platform.wait(lambda: platform.labels(here) == [[], ["Yes", "No"]])
    assert not any(labels for shown in seen for labels in shown), "and not before"


async def test_a_footer_is_shown_and_not_stored(platform: Platform) -> None:
    async def handler(chat_session: ChatSession, text: str) -> None:
        if text == "one":
            await chat_session.answer("an answer", footer="made by a model")
        else:
            await chat_session.answer("```\ncode", footer=lambda reply: f"{len(reply.said)} signs")

    here = platform.private(platform.ada)
    await platform.start(handler)
    await platform.say(platform.ada, "one")
    await platform.shows("an answer\n\nmade by a model", at=here)
    await platform.say(platform.ada, "two")
    await platform.shows("an answer\n\nmade by a model", "```\ncode\n```\n\n8 signs", at=here)
    await platform.stores(
        "user: one", "assistant: an answer", "user: two", "assistant: ```\ncode", at=here
    )


async def test_a_stopped_answer_keeps_its_part_marked(platform: Platform) -> None:
    model, here = Model(), platform.private(platform.ada)
    model.may_go_on.clear()
    await platform.start(model, stop=True)
    await platform.say(platform.ada, "hello")
    await platform.wait(lambda: platform.labels(here) == [[STOP_LABEL]])
    await platform.press(platform.ada, here, STOP_LABEL)
    await platform.ended()
    await platform.wait(lambda: platform.labels(here) == [[]])
    assert platform.sent(here) == ["answer 1"]
    assert model.is_closed, "a provider bills for what nobody reads"
    await platform.stores("user: hello", "assistant: answer 1", at=here)
    *_, answer = await platform.turns(here)
    assert answer.interrupted
    assert answer.source_ids == platform.source_ids(here)


async def test_only_the_person_who_asked_may_stop_or_ask_again(platform: Platform) -> None:
    model, here = Model(), platform.group
    model.may_go_on.clear()
    await platform.start(model, stop=True, regenerate=model)
    await platform.say(platform.ada, "hello", at=here)
    await platform.wait(lambda: platform.labels(here) == [[STOP_LABEL]])
    await platform.press(platform.bob, here, STOP_LABEL)
    await platform.say(platform.bob, "over", at=platform.private(platform.bob))
    await platform.wait(lambda: model.count == 2)
    assert not model.is_closed
    model.may_go_on.set()
    await platform.wait(lambda: platform.labels(here) == [[AGAIN_LABEL]])
    await platform.press(platform.bob, here, AGAIN_LABEL)
    await platform.say(platform.bob, "over", at=platform.private(platform.bob))
    await platform.wait(lambda: model.count == 3)
    await platform.ended()
    assert platform.sent(here) == ["answer 1, whole"]


async def test_an_answer_that_is_asked_for_again_replaces_the_old_one_when_it_is_stored(
    platform: Platform,
) -> None:
    model, here = Model(), platform.private(platform.ada)
    await platform.start(model, regenerate=model)
    await platform.say(platform.ada, "hello")
    await platform.wait(lambda: platform.labels(here) == [[AGAIN_LABEL]])
    await platform.stores("user: hello", "assistant: answer 1, whole", at=here)
    model.may_go_on.clear()
    await platform.press(platform.ada, here, AGAIN_LABEL)
    await platform.wait(lambda: platform.sent(here) == ["answer 1, whole", "answer 2"])
    assert await platform.said(here) == ["user: hello", "assistant: answer 1, whole"]
    model.may_go_on.set()
    await platform.shows("answer 2, whole", at=here)
    await platform.stores("user: hello", "assistant: answer 2, whole", at=here)
    assert model.windows == [["hello"], ["hello"]], "the old answer is not in its window"
    await platform.wait(lambda: platform.labels(here) == [[AGAIN_LABEL]])
    await platform.press(platform.ada, here, AGAIN_LABEL)
    await platform.shows("answer 3, whole", at=here)


async def test_an_answer_is_asked_for_again_also_after_a_restart_and_once_at_a_time(
    platform: Platform,
) -> None:
    model, here = Model(), platform.private(platform.ada)
    await platform.start(model, regenerate=model)
    await platform.say(platform.ada, "hello")
    await platform.wait(lambda: platform.labels(here) == [[AGAIN_LABEL]])
    await platform.ended()
    await platform.restart()
    model.may_go_on.clear()
    for _ in range(3):
        await platform.press(platform.ada, here, AGAIN_LABEL)
    await platform.wait(lambda: len(platform.sent(here)) == 2)
    await platform.say(platform.bob, "over")
    await platform.wait(lambda: model.count == 3)
    model.may_go_on.set()
    await platform.shows("answer 2, whole", at=here)
    await platform.stores("user: hello", "assistant: answer 2, whole", at=here)


async def test_an_older_answer_is_asked_for_again_in_its_own_place(platform: Platform) -> None:
    model, here = Model(), platform.private(platform.ada)
    await platform.start(model, regenerate=model)
    await platform.say(platform.ada, "one")
    await platform.shows("answer 1, whole", at=here)
    await platform.ended()
    await platform.say(platform.ada, "two")
    await platform.wait(lambda: platform.labels(here) == [[AGAIN_LABEL], [AGAIN_LABEL]])
    await platform.press(platform.ada, here, AGAIN_LABEL, number=0)
    await platform.shows("answer 2, whole", "answer 3, whole", at=here)
    await platform.ended()
    assert model.windows[-1] == ["one"]
    session = platform.store.session(platform.key(here))
    history = [one["content"] for one in await session.get_history()]
    assert history == ["one", "answer 3, whole", "two", "answer 2, whole"]


@pytest.mark.parametrize("keep", [False, True])
async def test_the_old_answer_stays_if_the_model_fails(platform: Platform, keep: bool) -> None:
    model, here = Model(keep_interrupted=keep), platform.private(platform.ada)
    await platform.start(model, regenerate=model, failed="sorry")
    await platform.say(platform.ada, "hello")
    await platform.wait(lambda: platform.labels(here) == [[AGAIN_LABEL]])
    await platform.ended()
    model.error = RuntimeError("as it is meant")
    await platform.press(platform.ada, here, AGAIN_LABEL)
    await platform.shows("answer 1, whole", "sorry", at=here)
    await platform.stop()
    assert await platform.said(here) == ["user: hello", "assistant: answer 1, whole"]


async def test_asking_again_waits_for_the_answer_that_is_being_given(platform: Platform) -> None:
    model, here = Model(), platform.private(platform.ada)
    await platform.start(model, regenerate=model, busy="queue")
    await platform.say(platform.ada, "one")
    await platform.wait(lambda: platform.labels(here) == [[AGAIN_LABEL]])
    await platform.ended()
    model.may_go_on.clear()
    await platform.say(platform.ada, "two")
    await platform.wait(lambda: model.count == 2)
    await platform.press(platform.ada, here, AGAIN_LABEL)
    await platform.told()
    assert model.count == 2
    model.may_go_on.set()
    await platform.shows("answer 2, whole", "answer 3, whole", at=here)


async def test_a_draft_is_stopped_by_telegrams_own_button(tmp_path: Path) -> None:
    model = Model()
    model.may_go_on.clear()
    async with Telegram(tmp_path / "sessions") as platform:
        here = platform.private(platform.ada)
        await platform.start(model, stop=True, drafts=True)
        await platform.say(platform.ada, "hello")
        await platform.wait(lambda: platform.server.drafts)
        ((chat, draft),) = platform.server.drafts
        assert platform.sent(here) == []
        platform.server.stop_draft(chat, draft)
        await platform.shows("answer 1", at=here)
        await platform.ended()
        *_, answer = await platform.turns(here)
        assert (answer.text, answer.interrupted) == ("answer 1", True)


async def test_a_keyboard_that_is_not_inline_comes_with_the_message(tmp_path: Path) -> None:
    row = [KeyboardButton(text="Yes"), KeyboardButton(text="No")]
    model = Model(buttons=ReplyKeyboardMarkup(keyboard=[row]))
    async with Telegram(tmp_path / "sessions") as platform:
        await platform.start(model, regenerate=model)
        await platform.say(platform.ada, "hello")
        await platform.shows("answer 1, whole", at=platform.private(platform.ada))
        (sent,) = platform.server.called("sendMessage")
        assert [one["text"] for one in sent.params["reply_markup"]["keyboard"][0]] == ["Yes", "No"]
        assert all(one.error is None for one in platform.server.called("editMessageText"))
