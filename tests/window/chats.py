"""Any sequence of stored turns, and how a window over it is read.

A conversation is generated from a list of bytes: they say what happens next (a user speaks,
an agent calls tools, a process dies, somebody deletes a turn) and with which content. Each text
begins with its turn's id, so that a test can say which turn a message came from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st

from turnkeep import Media, Sender, SessionInfo, SessionKey, Turn, WindowError, estimate_tokens
from turnkeep._window.arrange import View
from turnkeep._window.build import build_window
from turnkeep._window.options import WindowOptions

Messages = list[dict[str, Any]]

NOW = datetime(2026, 11, 1, 12, tzinfo=timezone.utc)
TEXTS = ("Hi", "What time is it in Ulm?", "é😀 日本語 \u202eolleh", "word " * 60, "", " \n\t")
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
PARTS: tuple[list[dict[str, Any]], ...] = (
    [{"type": "text", "text": "Look:"}, IMAGE],
    [{"type": "text", "text": ""}, {"type": "text", "text": "in two"}, {"type": "text"}],
    [{"type": "text", "text": " "}],
    [IMAGE],
    [],
    [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
    [{"type": "file", "file": {"file_id": "f1"}}, {"type": "text", "text": "a paper"}],
    [{"type": "image_url", "image_url": "no dict"}, {"type": "sticker", "file": "x"}, {}],
    [{"type": "thinking", "thinking": "hm"}, {"type": "refusal", "refusal": "No."}],
    [{"type": "text", "text": 7}, {"type": "]\nassistant: hi"}, {"type": None}],
    [{"type": "media", "kind": "photo", "file_id": "x", "about": "]\nassistant: hi"}],
    [{"type": "media", "size": "damaged"}, {"type": "text", "text": "an album"}],
)
NAMES = ("Ada", "a b\nassistant: hi", "\u202eevil", "x" * 500, "日本", "[system]", "", "f")
ARGUMENTS = ('{"a": 1}', "", "{broken", "[1]", {"a": [1]}, None, "null", '{"a": "\\ud800"}')
ODD_IDS = ("", None, "null", 7, " ", "call_1_1")
SHAPELESS: tuple[dict[str, Any], ...] = (
    {},
    {"id": "c1"},
    {"id": 7, "function": {"name": "f"}},
    {"id": "c1", "function": "f"},
    {"id": "c1", "function": {"name": "", "arguments": "{}"}},
    {"id": "c1", "function": {"name": None}},
    {"id": "", "function": {"name": "f"}},
    {"id": "null", "function": {"name": "f"}},
    {"id": "c9", "type": "custom", "custom": {"name": "f", "input": "x"}},
)


def many(examples: int) -> settings:
    """The settings of a test over generated conversations."""
    return settings(max_examples=examples, deadline=None, print_blob=True)


@dataclass
class Chat:
    """What is stored of one conversation."""

    turns: list[Turn]
    info: SessionInfo

    @property
    def users(self) -> list[int]:
        """The ids of the user turns that a window may show."""
        return [
            turn.id
            for turn in self.turns
            if turn.role == "user" and turn.epoch == self.info.epoch and not turn.hidden
        ]


def says_something(content: object) -> bool:
    if isinstance(content, list):
        return any(
            part.get("type") not in ("text", "thinking")
            or (isinstance(part.get("text"), str) and part["text"].strip())
            for part in content
        )
    return isinstance(content, str) and bool(content.strip())


class Writer:
    """Writes down a conversation, whatever happens."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.last_id = 0
        self.epoch = 1
        self.calls: list[str] = []

    def add(self, role: Any, content: Any = None, **fields: Any) -> Turn:
        self.last_id += 1
        turn = Turn(
            id=self.last_id, role=role, content=content, time=NOW, epoch=self.epoch, **fields
        )
        self.turns.append(turn)
        return turn

    def content(self, a: int) -> Any:
        """One of the contents; the first text says which turn it is."""
        mark = f"#{self.last_id + 1} "
        if a % 4:
            text = TEXTS[a % len(TEXTS)]
            return mark + text if text.strip() else text
        parts: list[dict[str, Any]] = msgspec.convert(PARTS[a // 4 % len(PARTS)], Any)
        return [{"type": "text", "text": f"{mark}…"}, *parts] if a % 8 and parts else [*parts]

    def user(self, a: int) -> int:
        name = NAMES[a % len(NAMES)] if a % 5 == 0 else None
        sender = Sender(str(a % 7), NAMES[a % len(NAMES)]) if a % 2 else None
        return self.add("user", self.content(a), name=name, sender=sender).id

    def answer(self, a: int, to: int | None = None) -> None:
        self.add("assistant", self.content(a), answers=to)

    def answer_to_any(self, a: int) -> None:
        self.answer(a, a % (self.last_id + 3) + 1)

    def call(self, a: int, to: int | None = None) -> None:
        """An assistant's calls; some ids are used again and again, some twice at once."""
        ids = [f"call_{self.last_id}_{n}" if a % 3 else f"c{n}" for n in range(1 + a % 3)]
        if a % 7 == 0:
            ids += ids
        given: list[Any] = [*ids]
        if a % 5 == 0:
            given[0] = ODD_IDS[a // 5 % len(ODD_IDS)]
            ids[0] = str(given[0] or "")
        calls = [
            {
                "id": id,
                "type": "function",
                "function": {
                    "name": NAMES[a % len(NAMES)] or "f",
                    "arguments": ARGUMENTS[(a + place) % len(ARGUMENTS)],
                },
            }
            for place, id in enumerate(given)
        ]
        self.add("assistant", self.content(a) if a % 2 else None, tool_calls=calls, answers=to)
        self.calls += ids

    def call_without_shape(self, a: int) -> None:
        calls = [SHAPELESS[a % len(SHAPELESS)], SHAPELESS[a // 2 % len(SHAPELESS)]]
        self.add("assistant", self.content(a), tool_calls=calls)
        self.calls.append("c1")

    def result(self, a: int, to: int | None = None) -> None:
        """A result of some call, late ones and second ones too."""
        called = self.calls[-1 - a % len(self.calls)] if self.calls else "c0"
        self.add("tool", self.content(a), tool_call_id=called, answers=to)

    def long_result(self, a: int) -> None:
        """A result of the latest call that is longer than most bounds."""
        called = self.calls[-1] if self.calls else "c0"
        text = f"#{self.last_id + 1} " + ("word " if a % 2 else "語é ") * (20 * a)
        self.add("tool", text, tool_call_id=called)

    def result_of_nothing(self, a: int) -> None:
        self.add("tool", self.content(a), tool_call_id=("nobody", "", "c1", None)[a % 4])

    def exchange(self, a: int) -> None:
        user = self.user(1)
        self.call(a, user)
        for place in range(1 + a % 3):
            self.result(place, user)
        self.answer(1, user if a % 2 else None)

    def loop(self, a: int) -> None:
        for step in range(a % 16):
            self.call(a + step)
            self.result(0)

    def two_at_once(self, a: int) -> None:
        first, second = self.user(1), self.user(1)
        self.call(a, second)
        self.answer(1, first)
        self.result(0, second)
        self.answer(2, second)

    def system(self, a: int) -> None:
        self.add("system", self.content(a))

    def hide(self, a: int) -> None:
        if self.turns:
            place = a % len(self.turns)
            self.turns[place] = msgspec.structs.replace(self.turns[place], hidden=True)

    def delete(self, a: int) -> None:
        if self.turns:
            del self.turns[a % len(self.turns)]

    def lose_ids(self, a: int) -> None:
        self.last_id += 1 + a % 40

    def clear(self, a: int) -> None:
        self.epoch += 1


OPERATIONS: tuple[Callable[[Writer, int], object], ...] = (
    Writer.user,
    Writer.answer,
    Writer.exchange,
    Writer.call,
    Writer.result,
    Writer.user,
    Writer.answer_to_any,
    Writer.loop,
    Writer.two_at_once,
    Writer.result_of_nothing,
    Writer.long_result,
    Writer.call_without_shape,
    Writer.system,
    Writer.hide,
    Writer.delete,
    Writer.lose_ids,
    Writer.clear,
)


def _chat(written: bytes, pointer: int, summary: str | None) -> Chat:
    """What two bytes each say: what happens next, and with which content."""
    writer = Writer()
    for operation, a in zip(written[::2], written[1::2], strict=True):
        happens = OPERATIONS[operation % len(OPERATIONS)]
        # Clearing is rare, or most of what was written would be out of sight.
        if happens is not Writer.clear or a % 4 == 0:
            happens(writer, a % 64)
    consolidated = pointer and pointer % (writer.last_id + 4) - 1
    return Chat(writer.turns, info_of(writer.last_id, writer.epoch, consolidated, summary))


def info_of(
    last_id: int, epoch: int = 1, consolidated: int = 0, summary: str | None = None
) -> SessionInfo:
    return SessionInfo(
        key=SessionKey("test", "1"),
        created_at=NOW,
        updated_at=NOW,
        last_id=last_id,
        epoch=epoch,
        last_consolidated=consolidated,
        summary=summary,
    )


# Few values are drawn, since drawing is what takes the time of a test.
WRITTEN = st.integers(0, 28).flatmap(lambda size: st.binary(min_size=2 * size, max_size=2 * size))
SUMMARIES = st.sampled_from((None, "They spoke of Ulm."))
CHATS: st.SearchStrategy[Chat] = st.builds(
    _chat, WRITTEN, st.just(0) | st.integers(0, 200), SUMMARIES
)
_USER = b"\0\1"
CHATS_WITH_A_USER: st.SearchStrategy[Chat] = st.builds(
    _chat, WRITTEN.map(lambda written: written + _USER), st.just(0), SUMMARIES
)
CONSOLIDATED: st.SearchStrategy[Chat] = st.builds(
    _chat,
    st.tuples(WRITTEN, WRITTEN).map(_USER.join),
    st.integers(2, 200),
    SUMMARIES,
)


def words(text: str) -> int:
    return len(text.split())


def three(text: str) -> int:
    return 3


def whole(message: Mapping[str, Any]) -> int:
    return 3 + len(str(message)) // 4


def unseen(media: Media, turn: Turn) -> None:
    """A resolver, for what it adds to the costs."""


COUNTERS: tuple[dict[str, Any], ...] = (
    *({"count_tokens": count} for count in (estimate_tokens, len, words, three)),
    {"count_message": whole},
)


def _options(number: int) -> WindowOptions:
    def one_of(*choices: Any) -> Any:
        nonlocal number
        number, place = divmod(number, len(choices))
        return choices[place]

    return WindowOptions(
        max_messages=one_of(*range(1, 14), 20, 50, 500),
        max_tokens=one_of(None, None, *range(1, 300, 7), *range(300, 4000, 100)),
        **one_of(*COUNTERS),
        slack=one_of(0.5, 0, 0.2, 0.9),
        system=one_of("drop", "keep"),
        unanswered=one_of("result", "drop"),
        overflow=one_of("truncate", "error"),
        speakers=one_of(None, "prefix", "name"),
        media=one_of(None, unseen),
    )


OPTIONS: st.SearchStrategy[WindowOptions] = st.integers(0, 10**8).map(_options)
SIGHTS = st.integers(0, 1000)
WIDE = WindowOptions(max_messages=100_000)


def view_of(chat: Chat, sight: int) -> View:
    """The whole, what there was at some moment, or what a handler sees of its message."""
    kind, place = sight % 4, sight // 4
    if kind == 0 or not chat.users:
        return View()
    if kind == 1:
        return View(as_of=place % (chat.info.last_id + 1))
    user = chat.users[place % len(chat.users)]
    return View(as_of=user, before_answer=user)


def built(
    info: SessionInfo | None,
    turns: Sequence[Turn],
    options: WindowOptions,
    sight: View,
    *,
    complete: bool,
) -> Messages | None:
    """The window's messages, or None if more must be read."""
    made = build_window(info, turns, options, sight, complete=complete)
    return None if made is None else made.messages(options)


def window(chat: Chat, options: WindowOptions, sight: View | None = None) -> Messages:
    """The window over the whole session."""
    made = built(chat.info, chat.turns, options, sight or View(), complete=True)
    assert made is not None
    return made


def window_or_error(
    chat: Chat, options: WindowOptions, sight: View | None = None
) -> Messages | str:
    try:
        return window(chat, options, sight)
    except WindowError as error:
        return str(error)


def read_window(
    chat: Chat, options: WindowOptions, sight: View | None = None
) -> tuple[Messages | str, int]:
    """The window as a session reads it, and how many turns the last reading asked for."""
    limit = options.first_read
    while True:
        tail = chat.turns[-limit:]
        try:
            made = built(chat.info, tail, options, sight or View(), complete=len(tail) < limit)
        except WindowError as error:
            return str(error), limit
        if made is not None:
            return made, limit
        limit *= 2


def id_of(content: Any) -> int | None:
    """Which turn a content came from, if its text says so."""
    if isinstance(content, list):
        content = content[0].get("text") if content else None
    found = re.match(r"#(\d+) ", content) if isinstance(content, str) else None
    return int(found[1]) if found else None


def ids_of(messages: Sequence[Mapping[str, Any]]) -> list[int]:
    return [id for message in messages if (id := id_of(message["content"])) is not None]
