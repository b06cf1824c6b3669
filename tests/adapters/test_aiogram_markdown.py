"""`render="entities"`: what models write is shown with Telegram's own formatting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiogram import Dispatcher
from aiogram.types import Message
from hypothesis import given
from hypothesis import strategies as st

from adapters.tools import polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession, split_text
from turnkeep_aiogram import SessionMiddleware
from turnkeep_aiogram._markdown import render_markdown

ANSWER = """# Steps 👩‍🔬

Do **this `now`** and *that* ~~not~~, see [it](https://a.b/c_d):

1. One
   - sub
2. Two:

   ```bash
   npm i
   ```

| name | size |
|---|---:|
| x | 10 |

> Mind **the** gap.

So: ```python
x = "**"
``` and 2 < 3 & <b>so</b> on"""

TEXT = """Steps 👩‍🔬

Do this now and that not, see it:

1. One
  • sub
2. Two:
npm i
name | size
-----+-----
x    |   10

Mind the gap.

So:
x = "**"
and 2 < 3 & <b>so</b> on"""

ENTITIES = [
    ("bold", "Steps 👩‍🔬"),
    ("bold", "this "),
    ("code", "now"),
    ("italic", "that"),
    ("strikethrough", "not"),
    ("text_link", "it"),
    ("pre", "npm i"),
    ("pre", "name | size\n-----+-----\nx    |   10"),
    ("blockquote", "Mind the gap."),
    ("bold", "the"),
    ("pre", 'x = "**"'),
]

MARKS = st.text(st.sampled_from("ab \n*_`~>#|[]()-1.👩é\\<&!"), max_size=200)
PARTS = st.sampled_from(
    [
        "**bold *both* `code`**", "[words **and** `code`](https://a.b)", "> quote\n> > more",
        "- a\n  - b\n    1. c", "```python\nx\n```", "> ```\n> x\n> ```", "|a|b|\n|-|-|\n|1|2|",
        "# Head `x`", "![i](https://a.b/c)", "***all***", "[j](data:x)", "<https://a.b>", "---",
    ]
)  # fmt: skip


def covered(text: str, entity: Any) -> str:
    """Return the words of an entity, whose place counts UTF-16 units."""
    units = text.encode("utf-16-le")
    begin, length = entity["offset"] * 2, entity["length"] * 2
    assert 0 <= begin < begin + length <= len(units)
    return units[begin : begin + length].decode("utf-16-le")


@given(st.lists(st.one_of(PARTS, MARKS), max_size=6).map("\n\n".join))
def test_entities_are_inside_of_the_text_and_overlap_only_as_nested_ones(text: str) -> None:
    shown = render_markdown(text)
    entities = [one.model_dump() for one in shown.get("entities", ())]
    around: list[tuple[int, int, str]] = []
    for one in entities:
        assert covered(shown["text"], one).strip("\n"), "an entity is not blank"
        begin, end = one["offset"], one["offset"] + one["length"]
        while around and around[-1][1] <= begin:
            around.pop()
        if around:
            assert end <= around[-1][1], "nested or apart"
            assert around[-1][2] not in ("code", "pre"), "nothing is inside of code"
        around.append((begin, end, one["type"]))


@given(st.lists(st.one_of(PARTS, MARKS), max_size=6).map("\n\n".join))
def test_no_letter_is_lost(text: str) -> None:
    shown = render_markdown(text)["text"]
    for letter in "éa":
        if "](" not in text and "<" not in text and "&" not in text and "```" not in text:
            assert shown.count(letter) == text.count(letter)


def test_a_block_of_code_is_code_while_it_grows() -> None:
    for end in range(len("```python\nx"), len("```python\nx = 1\n```")):
        shown = render_markdown("See:\n```python\nx = 1\n```"[: len("See:\n") + end])
        assert [one.type for one in shown["entities"]] == ["pre"]


def test_nothing_but_marks_is_shown_as_it_is() -> None:
    for text in ("#", "> ", "```python"):
        assert render_markdown(text)["text"] == text


def test_each_piece_of_a_long_answer_is_formatted() -> None:
    pieces = split_text("- **point**\n" * 300 + "```\n" + "code\n" * 1000 + "```", 4096)
    assert len(pieces) > 2
    for piece in pieces:
        assert render_markdown(piece)["entities"]
        assert "`" not in render_markdown(piece)["text"]


def test_of_more_than_100_entities_code_and_links_are_kept() -> None:
    shown = render_markdown("**a** " * 150 + "[b](https://a.b)\n```\nx\n```")
    types = [one.type for one in shown["entities"]]
    assert len(types) == 100
    assert types[-2:] == ["text_link", "pre"]


def test_indented_code_is_code_and_a_list_goes_on_behind_a_code_block() -> None:
    assert [one.type for one in render_markdown("So:\n\n    x\n")["entities"]] == ["pre"]
    shown = render_markdown("1. a\n\n    ```\n    x\n    ```\n\n    more\n\n2. b")
    assert shown["text"] == "1. a\nx\n\nmore\n\n2. b"
    assert [one.type for one in shown["entities"]] == ["pre"]


def test_another_word_for_render_is_refused() -> None:
    with pytest.raises(ValueError, match="'entities' or a function"):
        SessionMiddleware(SessionStore("memory:"), render="html")  # type: ignore[arg-type]


async def says() -> AsyncIterator[str]:
    for at in range(0, len(ANSWER), 40):
        yield ANSWER[at : at + 40]


async def answer(telegram: TelegramEmulator, store: SessionStore, ends: str, **options: Any) -> Any:
    """Return the message in which a bot says the answer, when its text ends so."""
    dispatcher = Dispatcher()
    SessionMiddleware(store, render="entities", **options).setup(dispatcher)

    @dispatcher.message()
    async def handle(message: Message, chat_session: ChatSession) -> None:
        assert chat_session.outlet is not None
        chat_session.outlet.pace = 0
        await chat_session.answer(says())

    def is_said() -> bool:
        return any(one["text"].endswith(ends) for one in telegram.sent(7))

    async with polling(telegram, dispatcher):
        telegram.say(7, "how?")
        await telegram.wait_for(is_said)
    assert await said(store, "telegram:7") == ["user: how?", f"assistant: {ANSWER}"]
    (sent,) = telegram.sent(7)
    return sent


@pytest.mark.asyncio
@pytest.mark.usefixtures("kept_open")
@pytest.mark.parametrize("drafts", [False, True])
async def test_markdown_is_shown_as_entities_and_stored_as_it_was_said(
    store: SessionStore, telegram: TelegramEmulator, drafts: bool
) -> None:
    sent = await answer(telegram, store, "</b> on", drafts=drafts)
    assert sent["text"] == TEXT
    assert [(one["type"], covered(TEXT, one)) for one in sent["entities"]] == ENTITIES
    languages = [one.get("language") for one in sent["entities"] if one["type"] == "pre"]
    assert languages == ["bash", None, "python"]
    assert all(call.error is None for call in telegram.calls)


@pytest.mark.asyncio
@pytest.mark.usefixtures("kept_open")
@pytest.mark.parametrize(
    "words",
    ["can't parse entities", "ENTITY_BOUNDS_INVALID", "message is too long", "wrong HTTP URL"],
)
async def test_a_piece_that_telegram_refuses_to_format_is_sent_as_it_is(
    store: SessionStore, telegram: TelegramEmulator, words: str
) -> None:
    for method in ("sendMessage", "editMessageText"):
        telegram.fail_next(method, status=400, description=f"Bad Request: {words}", times=1)
    await answer(telegram, store, "</b> on")
    first, second = telegram.called("sendMessage")
    assert first.error is not None
    assert "entities" not in second.params
