"""A conversation as it is written down, whatever happens: what is stored of it, turn by turn.

Each text begins with its turn's id, so that a test can say which turn a message came from.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import msgspec

from turnkeep import Sender, Turn

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
