"""The targets: each takes an input that a stranger may choose, and says what always holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from aiogram.types import Chat, Message, MessageEntity, User
from hypothesis import given
from hypothesis import strategies as st

from fuzz.folders import folders, opens_safely
from turnkeep import InvalidKeyError, Sender, SessionKey, build_window, check_messages
from turnkeep._records.making import new_turn
from turnkeep._window.speaker import attributed, plain_name, prefix
from turnkeep.adapter import as_said, note, reply_note, split_text
from turnkeep.storage.jsonl._names import key_of, session_path
from turnkeep_aiogram._content import content_of
from turnkeep_aiogram._markdown import render_markdown

__all__ = ["TARGETS"]

ODD: Final = "[]():\\`~*_|>#-+\n\r\t\x00\u2028\u202e\u200d\ufe0f\uff3b\u115f%{}<&é1. @/"
TEXT: Final = st.one_of(
    st.text(max_size=300),
    st.text(st.sampled_from(ODD), max_size=120),
    st.lists(
        st.sampled_from(
            [
                *("```", "~~~", "````python", "| a | b |", "|-|-|", "[button: Yes]", "Boss (1): "),
                *("[reply to Ada: hi]", "word ", "\n", "\n\n", "  ", "- ", "> ", "1. ", "**", "`"),
                *("[x](http://a.b)", "\U0001f469\u200d\U0001f4bb", "\ud83d", "a" * 90, "code x"),
            ]
        ),
        max_size=60,
    ).map("".join),
)
TARGETS: Final[dict[str, Callable[..., Any]]] = {}
"""Each is a function under Hypothesis, by its name."""


def target(function: Callable[..., Any]) -> Callable[..., Any]:
    TARGETS[function.__name__] = function
    return function


@target
@given(TEXT)
def keys(text: str) -> None:
    """A key's text gives a key or an error; its file is below the folder, and gives the key."""
    try:
        key = SessionKey.parse(text)
    except InvalidKeyError:
        return
    assert SessionKey.parse(key.text) == key
    path = session_path(Path("/folder"), key)
    assert path.resolve().parent.parent == Path("/folder")
    assert max(len(part.encode()) for part in path.parts) <= 255
    assert key_of(path.parent.name, path.stem) in (key, None)
    assert key_of(path.parent.name, path.stem) == key or "~" in f"{path}"


@target
@given(TEXT, TEXT, st.lists(TEXT, max_size=3))
def names(name: str, sender_id: str, lines: list[str]) -> None:
    """What stands before a person's text is one line, and none of their lines looks like it."""
    sender = new_turn("user", "x", sender=Sender(sender_id or "1", name)).sender
    assert sender is not None
    head = prefix(sender)
    assert len(head.splitlines()) == 1
    assert re.fullmatch(r"[^():\[\]]+ \([^\s():\[\]]+\): ", head), head
    assert not set("[]():\n") & set(plain_name(name))
    shown = attributed("\n".join(lines), head, None)
    assert all(line.startswith("  ") for line in shown.splitlines()[1:])


@target
@given(TEXT, TEXT, TEXT)
def notes(text: str, name: str, said: str) -> None:
    """A note is one line in brackets, and nobody's text has a line that looks like one."""
    for line in (reply_note(name, said), note("button", said)):
        assert len(line.splitlines()) == 1
        assert (line[0], line[-1]) == ("[", "]")
        assert not set("[]") & set(line[1:-1])
    shown = as_said(text)
    for line in shown.splitlines():
        assert not re.match(r"\s*\[(button|reply to|system|photo)\b[^\]]*:", line), line
    for line, before in zip(
        shown.splitlines(keepends=True), text.splitlines(keepends=True), strict=True
    ):
        assert line in (before, f"\\{before}")


@target
@given(
    TEXT.filter(bool),
    st.lists(
        st.tuples(
            st.sampled_from(
                ["bold", "code", "pre", "text_link", "url", "mention", "blockquote", "spoiler"]
            ),
            st.integers(-2, 400),
            st.integers(-2, 400),
        ),
        max_size=12,
    ),
)
def entities(text: str, given_entities: list[tuple[str, int, int]]) -> None:
    """A message with any entities gives a content, and a model's Markdown entities that fit."""
    clean = text.encode("utf-8", "replace").decode()
    message = Message(
        message_id=1,
        date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        chat=Chat(id=7, type="private"),
        from_user=User(id=7, is_bot=False, first_name=clean),
        text=clean,
        entities=[
            MessageEntity(type=kind, offset=offset, length=length, url="http://a.b")
            for kind, offset, length in given_entities
        ],
    )
    new_turn("user", content_of(message))
    shown = render_markdown(clean)
    end = len(shown["text"].encode("utf-16-le")) // 2
    for entity in shown.get("entities", ()):
        assert 0 <= entity.offset < entity.offset + entity.length <= end
    assert len(shown.get("entities", ())) <= 100


@target
@given(TEXT, st.integers(100, 400))
def splitters(text: str, limit: int) -> None:
    """Pieces fit and are not blank, and no word is lost."""
    pieces = split_text(text, limit)
    assert all(0 < len(piece) <= limit and piece.strip() for piece in pieces)
    joined = "".join(pieces)
    for letter in {*text} & {*"abcdewor1"}:
        assert joined.count(letter) >= text.count(letter), letter


@target
@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "assistant", "tool", "system"]), TEXT, TEXT),
        max_size=8,
    )
)
def windows(said: list[tuple[str, str, str]]) -> None:
    """A window is legal, whatever was stored."""
    turns = []
    for role, text, name in said:
        fields: dict[str, Any] = {"sender": Sender("1", name)} if role == "user" else {}
        if role == "tool":
            fields = {"tool_call_id": name or "c"}
        if role == "assistant":
            call = {"id": name or "c", "type": "function"}
            fields["tool_calls"] = [{**call, "function": {"name": text, "arguments": name}}]
        turns.append(new_turn(role, text, **fields))
    messages: Any = build_window(turns, speakers="prefix").messages
    assert not check_messages(messages), messages


@target
@given(folders())
def files(folder: dict[str, bytes]) -> None:
    """A folder from elsewhere opens, or is refused, and touches nothing outside of itself."""
    opens_safely(folder)
