"""`render="markdown"` on a server with rich messages, and where it refuses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from aiogram import Dispatcher
from aiogram.types import InputRichMessage, Message
from hypothesis import given
from hypothesis import strategies as st

from adapters.test_aiogram_markdown import ANSWER, MARKS, PARTS
from adapters.tools import polling, said
from emulators.telegram import TelegramEmulator
from emulators.telegram_rich import incoming_rich, rich_text
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware
from turnkeep_aiogram._blocks import rich_message

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

TABLE = "Sizes:\n\n| name | size |\n|---|---:|\n| x | **10** |\n"
WORDS = "Do **this** and `that`."


@pytest_asyncio.fixture
async def telegram() -> AsyncIterator[TelegramEmulator]:
    async with TelegramEmulator(rich=True) as server:
        yield server


class Model:
    """A bot whose answer comes in two pieces, the second when it may."""

    def __init__(self, store: SessionStore, *pieces: str, **options: Any) -> None:
        self.pieces = pieces
        self.go_on = asyncio.Event()
        self.dispatcher = Dispatcher()
        SessionMiddleware(store, **{"render": "markdown", **options}).setup(self.dispatcher)
        self.dispatcher.message.register(self.handle)

    async def handle(self, message: Message, chat_session: ChatSession) -> None:
        assert chat_session.outlet is not None
        chat_session.outlet.pace = 0
        await chat_session.answer(self.says())

    async def says(self) -> AsyncIterator[str]:
        for piece in self.pieces:
            yield piece
            await self.go_on.wait()


def kinds(message: dict[str, Any]) -> list[str]:
    return [block["type"] for block in message["rich_message"]["blocks"]]


def dumped(rich: InputRichMessage) -> Any:
    return json.loads(rich.model_dump_json(exclude_none=True))


async def test_a_table_is_shown_as_a_table(telegram: TelegramEmulator, store: SessionStore) -> None:
    model = Model(store, TABLE)
    model.go_on.set()
    async with polling(telegram, model.dispatcher):
        telegram.say(7, "how big?")
        await telegram.wait_sent(7, 1)
    (sent,) = telegram.sent(7)
    assert kinds(sent) == ["paragraph", "table"]
    (head, row) = sent["rich_message"]["blocks"][1]["cells"]
    assert [one["is_header"] for one in head] == [True, True]
    assert row[1] | {"text": None} == {"align": "right", "valign": "top", "text": None}
    assert row[1]["text"] == [{"type": "bold", "text": ["10"]}]
    assert await said(store, "telegram:7") == ["user: how big?", f"assistant: {TABLE}"]
    assert await store.session("telegram:7").find(f"7:{sent['message_id']}") is not None


async def test_what_entities_show_as_well_is_an_ordinary_message(
    telegram: TelegramEmulator, store: SessionStore
) -> None:
    model = Model(store, WORDS)
    model.go_on.set()
    async with polling(telegram, model.dispatcher):
        telegram.say(7, "how?")
        await telegram.wait_sent(7, 1)
    (sent,) = telegram.sent(7)
    assert (sent["text"], len(sent["entities"])) == ("Do this and that.", 2)


async def test_a_growing_message_becomes_a_rich_one(
    telegram: TelegramEmulator, store: SessionStore
) -> None:
    model = Model(store, WORDS, f"\n\n# Head\n\n{TABLE}")
    async with polling(telegram, model.dispatcher):
        telegram.say(7, "how?")
        (first,) = await telegram.wait_sent(7, 1)
        assert first["text"] == "Do this and that."
        model.go_on.set()
        await telegram.wait_for(lambda: "rich_message" in telegram.sent(7)[0])
    (sent,) = telegram.sent(7)
    assert sent["message_id"] == first["message_id"]
    assert kinds(sent) == ["paragraph", "heading", "paragraph", "table"]
    assert "text" not in sent


async def test_a_draft_is_a_rich_one(telegram: TelegramEmulator, store: SessionStore) -> None:
    model = Model(store, TABLE, "\nDone.", drafts=True)
    async with polling(telegram, model.dispatcher):
        telegram.say(7, "how?")
        await telegram.wait_for(lambda: telegram.drafts)
        assert list(telegram.drafts.values()) == ["Sizes:namesizex10"]
        model.go_on.set()
        await telegram.wait_sent(7, 1)
    assert telegram.called("sendRichMessageDraft")
    assert kinds(telegram.sent(7)[0]) == ["paragraph", "table", "paragraph"]


async def test_an_older_server_gets_entities_after_one_refusal(store: SessionStore) -> None:
    model = Model(store, TABLE, TABLE)
    model.go_on.set()
    async with TelegramEmulator() as telegram, polling(telegram, model.dispatcher):
        telegram.say(7, "how?")
        await telegram.wait_sent(7, 1)
        telegram.say(8, "how?")
        await telegram.wait_for(lambda: len(telegram.called("editMessageText")) == 2)
        (sent,) = telegram.sent(8)
        assert [one["type"] for one in sent["entities"]] == ["pre", "pre"]
        assert len(telegram.called("sendRichMessage")) == 1


async def test_a_refused_piece_gets_entities_and_the_next_is_rich(
    telegram: TelegramEmulator, store: SessionStore
) -> None:
    model = Model(store, f"{TABLE}\n{'word ' * 810}\n\n{TABLE}")
    model.go_on.set()
    # The refusal of a business chat whose owner may send no rich messages; its words are not known.
    telegram.fail_next("sendRichMessage", status=400, description="Bad Request: RICH_FORBIDDEN")
    async with polling(telegram, model.dispatcher):
        telegram.say(7, "how?")
        first, second = await telegram.wait_sent(7, 2)
    assert "pre" in [one["type"] for one in first["entities"]]
    assert "table" in kinds(second)


async def test_entities_alone_are_one_word(telegram: TelegramEmulator, store: SessionStore) -> None:
    model = Model(store, TABLE, render="entities")
    model.go_on.set()
    async with polling(telegram, model.dispatcher):
        telegram.say(7, "how?")
        await telegram.wait_sent(7, 1)
    assert "entities" in telegram.sent(7)[0]
    assert not telegram.called("sendRichMessage")


async def test_an_image_of_the_models_is_a_link_which_nobody_fetches() -> None:
    rich = rich_message("# Look\n\n![a cat](https://a.b/c?secret) <img src='https://a.b/d'>")
    assert rich is not None
    _, paragraph = dumped(rich)["blocks"]
    assert paragraph["text"] == [
        {"type": "url", "text": ["a cat"], "url": "https://a.b/c?secret"},
        " <img src='https://a.b/d'>",
    ]


async def test_each_kind_of_block() -> None:
    rich = rich_message(f"{ANSWER}\n\n---\n\n- [x] done\n- [ ] to do\n\n3. three")
    assert rich is not None
    blocks = dumped(rich)["blocks"]
    assert [block["type"] for block in blocks] == [
        "heading", "paragraph", "list", "pre", "table", "blockquote", "paragraph", "pre",
        "paragraph", "divider", "list", "list",
    ]  # fmt: skip
    assert blocks[3] == {"type": "pre", "text": "npm i", "language": "bash"}
    assert [item["is_checked"] for item in blocks[-2]["items"]] == [True, False]
    assert blocks[-1]["items"][0]["value"] == 3
    nested = blocks[2]["items"][0]["blocks"]
    assert [block["type"] for block in nested] == ["paragraph", "list"]


def _words(rich: Any) -> Iterator[str]:
    yield from rich_text(rich).split()


@given(st.lists(st.one_of(PARTS, MARKS), max_size=6).map("\n\n".join))
async def test_whatever_a_model_writes_is_accepted(text: str) -> None:
    rich = rich_message(text)
    if rich is not None:
        kept = incoming_rich({"rich_message": dumped(rich)})
        assert [*_words(kept["rich_message"])] or kept["rich_message"]["blocks"]
