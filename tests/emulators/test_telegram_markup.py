"""Markup on the emulated Telegram, parsed and refused, checked by aiogram."""

from __future__ import annotations

import pytest
from aiogram.enums import ParseMode

from emulators.telegram import TelegramEmulator
from emulators.telegram_text import command_entities
from emulators.test_telegram_emulator import connected, refused

pytestmark = pytest.mark.asyncio

ADA = 7
CODE = {
    "HTML": '<pre><code class="language-py">x.y = 1</code></pre>',
    "Markdown": "```py\nx.y = 1\n```",
    "MarkdownV2": "```py\nx.y = 1\n```",
}


@pytest.mark.parametrize(
    ("mode", "source", "text", "html"),
    [
        ("HTML", "<b>a <i>b</i></b>\n", "a b", "<b>a <i>b</i></b>"),
        ("HTML", '<a href="http://a.b?c>d">e</a>', "e", '<a href="http://a.b?c>d">e</a>'),
        ("HTML", "<blockquote>a</blockquote>", "a", "<blockquote>a</blockquote>"),
        ("Markdown", "*a* _b_ `c.d`", "a b c.d", "<b>a</b> <i>b</i> <code>c.d</code>"),
        ("Markdown", "**a**", "a", "a"),
        ("Markdown", r"a\_b", "a_b", "a_b"),
        ("Markdown", "[a](http://b.c)", "a", '<a href="http://b.c">a</a>'),
        ("MarkdownV2", "*a _b_*", "a b", "<b>a <i>b</i></b>"),
        ("MarkdownV2", "__a__ ~b~ ||c||", "a b c", "<u>a</u> <s>b</s> <tg-spoiler>c</tg-spoiler>"),
        ("MarkdownV2", r"1\.5 😀 *b*", "1.5 😀 b", "1.5 😀 <b>b</b>"),
        ("MarkdownV2", r"[a\.b](http://c.d/\))", "a.b", '<a href="http://c.d/)">a.b</a>'),
        (
            "MarkdownV2",
            ">a\n>b\nc",
            "a\nb\nc",
            "<blockquote>a\nb\n</blockquote>c",
        ),
    ],
)
async def test_markup_becomes_a_text_and_its_entities(
    mode: str, source: str, text: str, html: str
) -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        message = await bot.send_message(ADA, source, parse_mode=mode)
        assert (message.text, message.html_text) == (text, html)


@pytest.mark.parametrize("mode", CODE)
async def test_a_block_of_code_is_one_entity_with_its_language(mode: str) -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        message = await bot.send_message(ADA, CODE[mode], parse_mode=mode)
        assert message.entities is not None
        (code,) = message.entities
        assert (message.text, code.type, code.language) == ("x.y = 1", "pre", "py")


@pytest.mark.parametrize(
    ("mode", "source", "words"),
    [
        ("HTML", "<b>open", 'Can\'t find end tag corresponding to start tag "b"'),
        ("HTML", "é a < b", 'Unsupported start tag "" at byte offset 5'),
        ("HTML", "<p>no</p>", 'Unsupported start tag "p" at byte offset 0'),
        ("HTML", "a</b>", "Unexpected end tag at byte offset 1"),
        (
            "HTML",
            "<b>a</i>",
            'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"',
        ),
        ("HTML", "<span>a</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ("HTML", "a <b", "Unclosed start tag at byte offset 2"),
        (
            "Markdown",
            "é snake_case",
            "Can't find end of the entity starting at byte offset 8",
        ),
        ("Markdown", "```py\nx", "Can't find end of the entity starting at byte offset 0"),
        (
            "MarkdownV2",
            "Hello.",
            r"Character '.' is reserved and must be escaped with the preceding '\'",
        ),
        ("MarkdownV2", "a | b", "Character '|' is reserved"),
        ("MarkdownV2", "é *bold", "Can't find end of Bold entity at byte offset 3"),
        ("MarkdownV2", "```py\nx", "Can't find end of PreCode entity at byte offset 0"),
        ("MarkdownV2", ">*a\nb", "Can't find end of Bold entity at byte offset 1"),
        ("MarkdownV2", "[a](http://b", "Can't find end of a URL at byte offset 4"),
    ],
)
async def test_markup_that_cannot_be_parsed_is_refused_with_its_place(
    mode: str, source: str, words: str
) -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        sent = await bot.send_message(ADA, "plain")
        expected = f"Bad Request: can't parse entities: {words}"
        assert expected in await refused(bot.send_message(ADA, source, parse_mode=mode))
        edit = bot.edit_message_text(
            source, chat_id=ADA, message_id=sent.message_id, parse_mode=mode
        )
        assert expected in await refused(edit)


async def test_a_parse_mode_that_does_not_exist_is_refused_and_any_case_is_read() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        unknown = bot.send_message(ADA, "a", parse_mode="reST")
        assert "unsupported parse_mode" in await refused(unknown)
        assert (await bot.send_message(ADA, "*a*", parse_mode="mArKdOwN")).text == "a"
        assert set(ParseMode) == {"HTML", "Markdown", "MarkdownV2"}


async def test_the_limit_counts_what_is_left_of_the_markup() -> None:
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.open_chat(ADA)
        source = "<b>" + "x" * 4096 + "</b>"
        assert len((await bot.send_message(ADA, source, parse_mode="HTML")).text or "") == 4096
        longer = bot.send_message(ADA, f"{source}x", parse_mode="HTML")
        assert "message is too long" in await refused(longer)


async def test_a_slash_and_a_word_are_a_command_anywhere_but_in_a_path() -> None:
    found = {
        text: [text[one["offset"] :][: one["length"]] for one in command_entities(text)]
        for text in ("/home is full", "see /home", "/a/b", "a/b", "/start@emulated_bot x", "</b>")
    }
    assert found == {
        "/home is full": ["/home"],
        "see /home": ["/home"],
        "/a/b": [],
        "a/b": [],
        "/start@emulated_bot x": ["/start@emulated_bot"],
        "</b>": [],
    }
    async with TelegramEmulator() as telegram, connected(telegram) as bot:
        telegram.say(ADA, "🏠 /home is full")
        message = (await bot.get_updates())[-1].message
        assert message is not None
        assert message.entities is not None
        assert message.entities[0].extract_from(message.text or "") == "/home"
