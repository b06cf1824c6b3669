"""A rich Telegram message is stored as the text that its reader sees, block by block."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram import Dispatcher

from adapters.tools import all_turns, feed, polling
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep_aiogram import SessionMiddleware

pytestmark = pytest.mark.asyncio

FILE = {"file_id": "F", "file_unique_id": "U"}
PHOTO = {"type": "photo", "photo": [FILE | {"width": 1, "height": 1}]}
MAP = {
    "type": "map",
    "location": {"latitude": 48.2, "longitude": 16.37},
    "zoom": 1,
    "width": 1,
    "height": 1,
}


def paragraph(text: Any) -> dict[str, Any]:
    return {"type": "paragraph", "text": text}


def cell(text: Any) -> dict[str, Any]:
    return {"align": "left", "valign": "top", "text": text}


def button(text: str) -> dict[str, Any]:
    return {"text": text, "callback_data": "x"}


def item(label: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"label": label, "blocks": [*blocks]}


async def stored(store: SessionStore, *blocks: dict[str, Any]) -> list[str]:
    """Return the lines of the turn that a message of these blocks leaves."""
    dispatcher = Dispatcher()
    SessionMiddleware(store).setup(dispatcher)
    async with store:
        await feed(dispatcher, TelegramEmulator().say(7, rich_message={"blocks": [*blocks]}))
        (turn,) = await all_turns(store, "telegram:7")
    return turn.text.splitlines()


@pytest.mark.parametrize(
    ("block", "lines"),
    [
        ({"type": "heading", "text": "News", "size": 1}, ["News"]),
        (
            {"type": "pre", "text": "x = 1\ny = 2", "language": "python"},
            ["```python", "x = 1", "y = 2", "```"],
        ),
        ({"type": "pre", "text": "ls"}, ["```", "ls", "```"]),
        ({"type": "mathematical_expression", "expression": "x^2"}, ["x^2"]),
        (
            {"type": "list", "items": [item("1.", paragraph("tea"), paragraph("green"))]},
            ["1. tea", "green"],
        ),
        (
            {
                "type": "list",
                "items": [
                    item("•", paragraph("bread")) | {"has_checkbox": True, "is_checked": True},
                    item("•", paragraph("milk")) | {"has_checkbox": True},
                ],
            },
            ["• [x] bread", "• [ ] milk"],
        ),
        ({"type": "list", "items": [item("•"), item("•", paragraph("milk"))]}, ["•", "• milk"]),
        (
            {
                "type": "table",
                "cells": [[cell("a"), cell("b")], [cell("1"), cell(None)]],
                "caption": "Sums",
            },
            ["a | b", "1 | ", "Sums"],
        ),
        (
            {"type": "blockquote", "blocks": [paragraph("To be")], "credit": "Hamlet"},
            ["To be", "Hamlet"],
        ),
        ({"type": "pullquote", "text": "or not", "credit": "Hamlet"}, ["or not", "Hamlet"]),
        (
            {"type": "details", "summary": "More", "blocks": [paragraph("inside")]},
            ["More", "inside"],
        ),
        (PHOTO | {"caption": {"text": "a cat"}}, ["[photo]", "a cat"]),
        (
            {"type": "collage", "blocks": [PHOTO, MAP], "caption": {"text": "Vienna"}},
            ["[photo]", "[map]", "Vienna"],
        ),
        (
            {"type": "voice_note", "voice_note": FILE | {"duration": 1}},
            ["[voice note]"],
        ),
        ({"type": "buttons", "buttons": [button("Yes"), button("No")]}, ["Yes", "No"]),
        ({"type": "divider"}, []),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else None,
)
async def test_a_block_is_stored_as_its_lines(
    store: SessionStore, block: dict[str, Any], lines: list[str]
) -> None:
    assert await stored(store, block, paragraph("end")) == [*lines, "end"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (["a ", {"type": "bold", "text": {"type": "italic", "text": "b"}}], "a b"),
        ({"type": "code", "text": "f(x)"}, "`f(x)`"),
        ({"type": "url", "text": "here", "url": "https://a.org"}, "[here](https://a.org)"),
        ({"type": "url", "text": "https://a.org", "url": "https://a.org"}, "https://a.org"),
        ({"type": "mathematical_expression", "expression": "x^2"}, "x^2"),
        ({"type": "custom_emoji", "custom_emoji_id": "1", "alternative_text": "😀"}, "😀"),
        ({"type": "button", "button": button("Yes")}, "Yes"),
        (["a", {"type": "anchor", "name": "top"}], "a"),
    ],
)
async def test_a_formatted_text_is_stored_as_its_words_with_links_and_code(
    store: SessionStore, text: Any, words: str
) -> None:
    assert await stored(store, paragraph(text)) == [words]


MENTIONS: list[tuple[Any, bool]] = [
    ({"type": "mention", "text": "@Emulated_Bot", "username": "Emulated_Bot"}, True),
    ({"type": "mention", "text": "@emulated_bot_2", "username": "emulated_bot_2"}, False),
    ({"type": "text_mention", "text": "you", "user": TelegramEmulator().bot.me}, True),
    ("emulated_bot, @emulated_bot", False),
]


@pytest.mark.parametrize(("text", "is_to_the_bot"), MENTIONS)
@pytest.mark.parametrize("inside", ["paragraph", "bold", "list", "table", "quote", "caption"])
async def test_a_mention_in_a_rich_message_addresses_the_bot(
    store: SessionStore,
    telegram: TelegramEmulator,
    inside: str,
    text: Any,
    is_to_the_bot: bool,
) -> None:
    block = {
        "paragraph": paragraph(["hey ", text]),
        "bold": paragraph({"type": "bold", "text": text}),
        "list": {"type": "list", "items": [item("1.", paragraph(text))]},
        "table": {"type": "table", "cells": [[cell(text)]]},
        "quote": {"type": "blockquote", "blocks": [paragraph(text)]},
        "caption": PHOTO | {"caption": {"text": text}},
    }[inside]
    dispatcher = Dispatcher()
    SessionMiddleware(store, record="addressed").setup(dispatcher)
    async with store:
        async with polling(telegram, dispatcher):
            telegram.say(-1001234567890, rich_message={"blocks": [block]})
            await telegram.wait_taken()
        assert bool(await all_turns(store, "telegram:-1001234567890")) is is_to_the_bot
