"""Any sequence of stored turns, and how a window over it is read.

A conversation is generated from a list of bytes: they say what happens next (a user speaks,
an agent calls tools, a process dies, somebody deletes a turn) and with which content. Where a
test fails, the conversation is printed as what happened and what is stored of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from turnkeep import Media, SessionInfo, SessionKey, Turn, WindowError, estimate_tokens
from turnkeep._window.arrange import View
from turnkeep._window.build import build_window
from turnkeep._window.options import WindowOptions

from .writer import NOW, OPERATIONS, Writer

Messages = list[dict[str, Any]]


@dataclass(repr=False)
class Chat:
    """A conversation: its stored turns, and the steps that made it, if it was generated."""

    turns: list[Turn]
    info: SessionInfo
    happened: Sequence[str] = ()

    def __repr__(self) -> str:
        lines = [f"a conversation, epoch {self.info.epoch}"]
        if self.info.last_consolidated:
            lines[0] += f", consolidated to {self.info.last_consolidated}: {self.info.summary!r}"
        if self.happened:
            lines.append(f"happened: {', '.join(self.happened)}")
        return "\n    ".join([*lines, *map(shown, self.turns)])

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        for number, line in enumerate(repr(self).splitlines()):
            if number:
                printer.break_()
            printer.text(line)

    @property
    def users(self) -> list[int]:
        """The ids of the user turns that a window may show."""
        return [
            turn.id
            for turn in self.turns
            if turn.role == "user" and turn.epoch == self.info.epoch and not turn.hidden
        ]


def shown(turn: Turn) -> str:
    """Return a turn in one line: who says what, and what there is to know of it."""
    known = {
        "name": turn.name and repr(turn.name),
        "from": turn.sender and repr(turn.sender.name),
        "calls": turn.tool_calls and " and ".join(map(_call, turn.tool_calls)),
        "result of": turn.tool_call_id and repr(turn.tool_call_id),
        "answers": turn.answers,
        "epoch": None if turn.epoch == 1 else turn.epoch,
        "hidden": turn.hidden or None,
    }
    details = [f"{name} {value}" for name, value in known.items() if value is not None]
    content = repr(turn.content)
    if len(content) > 100:
        content = f"{content[:97]}…"
    return f"{turn.id:3} {turn.role}: {content}{''.join(f', {one}' for one in details)}"


def _call(call: dict[str, Any]) -> str:
    function = call.get("function")
    if not isinstance(function, dict):
        return repr(call)
    return f"{function.get('name')!r}({function.get('arguments')!r}) as {call.get('id')!r}"


def says_something(content: object) -> bool:
    if isinstance(content, list):
        return any(
            part.get("type") not in ("text", "thinking")
            or (isinstance(part.get("text"), str) and part["text"].strip())
            for part in content
        )
    return isinstance(content, str) and bool(content.strip())


def _chat(written: bytes, pointer: int, summary: str | None) -> Chat:
    """What two bytes each say: what happens next, and with which content."""
    writer, happened = Writer(), []
    for operation, a in zip(written[::2], written[1::2], strict=True):
        happens = OPERATIONS[operation % len(OPERATIONS)]
        # Clearing is rare, or most of what was written would be out of sight.
        if happens is not Writer.clear or a % 4 == 0:
            happens(writer, a % 64)
            happened.append(f"{happens.__name__}({a % 64})")
    consolidated = pointer and pointer % (writer.last_id + 4) - 1
    info = info_of(writer.last_id, writer.epoch, consolidated, summary)
    return Chat(writer.turns, info, happened)


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


class Options(WindowOptions, frozen=True, kw_only=True):
    """Options that are printed without those that are as they are by default."""

    def __repr__(self) -> str:
        chosen = [
            f"{field.name}={getattr(value, '__name__', repr(value))}"
            for field in msgspec.structs.fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        return f"WindowOptions({', '.join(chosen)})"

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        printer.text(repr(self))


def _options(number: int) -> WindowOptions:
    def one_of(*choices: Any) -> Any:
        nonlocal number
        number, place = divmod(number, len(choices))
        return choices[place]

    return Options(
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
    view = View()
    if kind == 1:
        view = View(as_of=place % (chat.info.last_id + 1))
    elif kind and chat.users:
        user = chat.users[place % len(chat.users)]
        view = View(as_of=user, before_answer=user)
    note(f"what is seen of it: {view}")
    return view


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
    # A mark behind the number says that it may be cut, too.
    found = re.match(r"#(\d+) (?!\[…\])", content) if isinstance(content, str) else None
    return int(found[1]) if found else None


def ids_of(messages: Sequence[Mapping[str, Any]]) -> list[int]:
    return [id for message in messages if (id := id_of(message["content"])) is not None]
