"""One message of a conversation, and the way in: what is stored is checked here, once.

A `Turn` is immutable and is exactly what a storage keeps. `new_turn` makes one from what a
user hands in: it copies, replaces what no storage can hold (lone surrogates, NULs), and
raises `InvalidTurnError` for what could never go back to a model.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from math import isfinite
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import msgspec

from .._errors import InvalidTurnError, TurnTooLargeError
from .media import Media, media_of, without_data
from .result import dumped, result_content
from .text import json_text

__all__ = ["Content", "Role", "Sender", "Turn"]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Content: TypeAlias = str | list[dict[str, Any]] | None
"""Text, or content parts of the chat-completions format: `[{"type": "text", …}, …]`.

Media are parts too, `{"type": "media", "kind": …}`; see `Media`."""

ROLES: Final[frozenset[str]] = frozenset(get_args(Role))
MAX_TURN_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 100
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_ENCODER: Final = msgspec.json.Encoder()


class Sender(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who wrote a turn: the platform's id of the person, and a name to show."""

    id: str
    name: str | None = None


class Turn(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"time": "timestamp"},
    gc=False,  # copied JSON has no cycles, and a bot holds very many of these
):
    """One stored message.

    `id` is its place in the session, from 1, never used twice. `time` is aware, in UTC.
    `source_ids` are the ids that the platform gave to the message, or to the messages that
    an answer was sent as. `answers` is the id of the user turn that this turn replies to, and
    `also_answers` those of earlier ones that it replies to with it, such as a burst's.
    `epoch` counts the session's resets, from 1. `interrupted` marks the part of a reply
    that failed before its end. A `hidden` turn is kept but is in no window. `extra` is kept as
    it is, for fields of the caller's own.
    """

    id: int = 0
    role: Role
    content: Content = None
    time: datetime
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    sender: Sender | None = None
    source_ids: tuple[str, ...] = ()
    answers: int | None = None
    also_answers: tuple[int, ...] = ()
    epoch: int = 1
    interrupted: bool = False
    hidden: bool = False
    extra: dict[str, Any] = {}

    @property
    def source_id(self) -> str | None:
        """The first of `source_ids`, or None."""
        return self.source_ids[0] if self.source_ids else None

    def answers_one_of(self, ids: Container[int]) -> bool:
        """Whether it answers a turn with one of these ids, by itself or among others."""
        answered = self.also_answers if self.answers is None else (self.answers, *self.also_answers)
        return any(one in ids for one in answered)

    @property
    def text(self) -> str:
        """The content's text: itself, or the texts of its parts, one a line."""
        if isinstance(self.content, list):
            texts = (part.get("text") for part in self.content if part.get("type") == "text")
            return "\n".join(text for text in texts if isinstance(text, str))
        return self.content or ""

    @property
    def media(self) -> list[Media]:
        """The media that the content refers to."""
        parts = self.content if isinstance(self.content, list) else ()
        return [media for part in parts if (media := media_of(part)) is not None]


def new_turn(
    role: str,
    content: object = None,
    *,
    source_id: str | int | Sequence[str] | None = None,
    sender: Sender | str | int | None = None,
    name: str | None = None,
    tool_calls: Iterable[object] | None = None,
    tool_call_id: str | None = None,
    time: datetime | None = None,
    extra: Mapping[str, Any] | None = None,
    answers: int | None = None,
    also_answers: tuple[int, ...] = (),
    interrupted: bool = False,
    hidden: bool = False,
    max_bytes: int = MAX_TURN_BYTES,
    where: str = "",
) -> Turn:
    """Checks and copies what a user wants to store; `where` names the session in errors."""
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidTurnError(
            f"{where}unknown role {role!r}: use one of {', '.join(sorted(ROLES))}"
        )
    if role == "tool" or tool_call_id is not None:
        tool_call_id = _call_id(tool_call_id, f"{where}tool_call_id")
    if name is not None and not isinstance(name, str):
        raise InvalidTurnError(f"{where}name is text, not {type(name).__name__}")
    turn = Turn(
        role=cast("Role", clean_text(role)),
        content=clean_text(content) if type(content) is str else _content(role, content, where),
        time=datetime.now(timezone.utc) if time is None else _utc(time, where),
        name=name and clean_text(name),
        tool_calls=None if tool_calls is None else _tool_calls(role, tool_calls, where),
        tool_call_id=tool_call_id,
        sender=None if sender is None else as_sender(sender, where),
        source_ids=() if source_id is None else as_source_ids(source_id, where),
        answers=answers,
        also_answers=also_answers,
        interrupted=interrupted,
        hidden=hidden,
        extra={} if extra is None else _extra(extra, where),
    )
    if turn.content is None and not turn.tool_calls:
        raise InvalidTurnError(f"{where}a {role} turn needs content (or, an assistant's, calls)")
    return fit(turn, max_bytes, where)


def from_message(message: object, *, max_bytes: int, where: str = "") -> Turn:
    """A turn from a `Turn`, a chat-completions dict, or a client's message object.

    Of a `Turn` that was stored before, what belongs to its place (id, epoch, the turn it
    answers) is left behind.
    """
    if isinstance(message, Turn):
        kept = msgspec.structs.asdict(message)
        for field in ("id", "epoch", "answers", "also_answers"):
            del kept[field]
        kept["source_id"] = kept.pop("source_ids")
        return new_turn(max_bytes=max_bytes, where=where, **kept)
    message = dumped(message)
    if not isinstance(message, Mapping):
        raise InvalidTurnError(
            f"{where}a turn is a Turn or a chat-completions dict, not {type(message).__name__}"
        )
    fields = dict(message)
    role = fields.pop("role", None)
    if not isinstance(role, str):
        raise InvalidTurnError(f"{where}a message without a role can't be stored")
    known = {
        field: fields.pop(field)
        for field in ("name", "tool_calls", "tool_call_id", "source_id", "sender", "time")
        if field in fields
    }
    content = fields.pop("content", None)
    extra = fields.pop("extra", None) or {}
    if isinstance(extra, Mapping):
        extra = {**extra, **fields}
    return new_turn(role, content, extra=extra, max_bytes=max_bytes, where=where, **known)


def fit(turn: Turn, max_bytes: int, where: str) -> Turn:
    """The turn itself, or, for a tool result over the limit, the turn cut with a mark.

    A result is cut so that an answer is not lost for it; any other turn that is too large
    is the caller's to shorten, and raises `TurnTooLargeError`.
    """
    size = encoded_size(turn)
    if size <= max_bytes:
        return turn
    if turn.role != "tool":
        raise TurnTooLargeError(
            f"{where}a turn of {size:,} bytes is over the limit of {max_bytes:,}: "
            "shorten it, keep media as references, or raise SessionStore(max_turn_bytes=…)"
        )
    text = turn.text
    keep = len(text)
    while True:
        # Escapes make the encoded size a matter of content: shrink by the measured excess.
        keep = max(0, min(keep - 1, int(keep * max_bytes / size * 0.95)))
        mark = f"\n[cut: {len(text) - keep:,} of {len(text):,} characters left out]"
        cut = msgspec.structs.replace(turn, content=text[:keep] + mark)
        size = encoded_size(cut)
        if size <= max_bytes:
            return cut
        if keep == 0:
            raise TurnTooLargeError(
                f"{where}a tool turn is over the limit of {max_bytes:,} bytes even without its "
                "content: shorten its extra fields"
            )


def encoded_size(turn: Turn) -> int:
    return len(_ENCODER.encode(turn))


def clean_text(text: str) -> str:
    """The text with lone surrogates and NULs replaced by U+FFFD, which storages can't hold."""
    if type(text) is not str:
        text = str.__str__(text)  # a subclass, such as Markup or an enum, can't be encoded
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # A pair that came in two pieces of a stream is one character; only a lone one is lost.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def clean_json(value: object, what: str, depth: int = 0) -> Any:
    """A deep copy of JSON data, its texts cleaned; raises `ValueError` for anything else."""
    if depth > MAX_DEPTH:
        raise ValueError(f"{what} is nested more than {MAX_DEPTH} levels deep: flatten it")
    match value:
        case str():
            return clean_text(value)
        case None | bool():
            return value
        case int():
            if not -(2**63) <= value < 2**64:
                raise ValueError(f"{what} holds an integer over 64 bits: write it as text")
            return int(value)
        case float():
            if not isfinite(value):
                raise ValueError(f"{what} holds {value}, which JSON can't express: use None")
            return float(value)
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise ValueError(f"{what} has a key {key!r} that is no text: make it text")
            return {clean_text(k): clean_json(v, what, depth + 1) for k, v in value.items()}
        case list() | tuple():
            return [clean_json(item, what, depth + 1) for item in value]
    raise ValueError(
        f"{what} holds a {type(value).__name__}, which is not JSON: convert it to text first"
    )


def _json(value: object, what: str) -> Any:
    try:
        return clean_json(value, what)
    except ValueError as error:
        raise InvalidTurnError(str(error)) from None


def as_sender(sender: Sender | str | int | None, where: str = "") -> Sender | None:
    """A `Sender` from itself or from a bare id."""
    match sender:
        case None:
            return None
        case Sender(id=str() | int() as id, name=str() | None as name) if _is_id(id):
            return Sender(_id(id), name and clean_text(name))
        case str() | int() if _is_id(sender):
            return Sender(_id(sender))
    raise InvalidTurnError(f"{where}sender is a Sender or a non-empty id, not {sender!r}")


def _content(role: str, content: object, where: str) -> Content:
    if role == "tool":
        content = result_content(content, where)
    match content:
        case None:
            return None
        case str():
            return clean_text(content)
        case Media() | list() | tuple():
            listed = [content] if isinstance(content, Media) else content
            parts = _json([_as_part(part) for part in listed], f"{where}the content")
            for part in parts:
                if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                    raise InvalidTurnError(
                        f"{where}a content part is a dict with a 'type', not {part!r:.80}"
                    )
            return without_data(role, parts, where)
    raise InvalidTurnError(
        f"{where}the content of a {role} turn is text, Media, or a list of content parts, "
        f"not {type(content).__name__}"
    )


def _as_part(part: object) -> object:
    """A content part from itself, from text, or from `Media`."""
    if isinstance(part, Media):
        return msgspec.to_builtins(part)
    return {"type": "text", "text": part} if isinstance(part, str) else part


def _tool_calls(role: str, calls: Iterable[object], where: str) -> list[dict[str, Any]] | None:
    if role != "assistant":
        raise InvalidTurnError(f"{where}only an assistant turn has tool_calls, not a {role} turn")
    if isinstance(calls, (str, Mapping)) or not isinstance(calls, Iterable):
        raise InvalidTurnError(f"{where}tool_calls is a list of calls, not {calls!r:.80}")
    return [_tool_call(call, where) for call in calls] or None


def _tool_call(call: object, where: str) -> dict[str, Any]:
    fields: Any = dumped(call)
    match fields:
        case {"function": {"name": str()} as function}:
            pass
        case _:
            raise InvalidTurnError(
                f"{where}a tool call is {{'id': …, 'type': 'function', 'function': "
                f"{{'name': …, 'arguments': …}}}}, not {call!r:.120}"
            )
    # The APIs carry arguments as JSON text; some clients hand over the parsed value.
    arguments = function.get("arguments")
    if arguments is None:
        arguments = "{}"
    if not isinstance(arguments, str):
        try:
            arguments = json_text(arguments)
        except ValueError as error:
            raise InvalidTurnError(f"{where}a tool call: of its arguments {error}") from None
    checked = {
        **fields,
        "id": _call_id(fields.get("id"), f"{where}a tool call's id"),
        "type": "function",
        "function": {**function, "arguments": arguments},
    }
    return cast("dict[str, Any]", _json(checked, f"{where}a tool call"))


def _call_id(id: object, what: str) -> str:
    """Return the id of a call as text, empty if the server sent none; windows make one up."""
    if id is None:
        return ""
    if isinstance(id, bool) or not isinstance(id, (str, int)):
        raise InvalidTurnError(f"{what} is text, not {type(id).__name__}")
    return clean_text(id if isinstance(id, str) else str(id))


def as_source_ids(source_id: object, where: str) -> tuple[str, ...]:
    """The ids that a platform gave to a message: one, or a list, as clean text."""
    if type(source_id) is str and source_id:
        return (clean_text(source_id),)
    if source_id is None:
        return ()
    ids: list[Any] = [*source_id] if isinstance(source_id, (list, tuple)) else [source_id]
    for one in ids:
        if not _is_id(one):
            raise InvalidTurnError(
                f"{where}a source_id is non-empty text or a whole number, not {one!r:.80}"
            )
    return tuple(dict.fromkeys(map(_id, ids)))


def _is_id(id: object) -> bool:
    return isinstance(id, (str, int)) and not isinstance(id, bool) and id != ""


def _id(id: str | int) -> str:
    return clean_text(id if isinstance(id, str) else str(id))


def _extra(extra: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(extra, Mapping):
        raise InvalidTurnError(f"{where}extra is a mapping, not {type(extra).__name__}")
    return cast("dict[str, Any]", _json(extra, f"{where}extra"))


def _utc(time: datetime, where: str) -> datetime:
    if not isinstance(time, datetime) or time.utcoffset() is None:
        raise InvalidTurnError(
            f"{where}time is a datetime with a time zone, not {time!r}: "
            "use datetime.now(timezone.utc)"
        )
    try:
        utc = time.astimezone(timezone.utc)
    except OverflowError:
        raise InvalidTurnError(f"{where}time {time!r} is outside of the years 1 to 9999") from None
    # A subclass, such as pandas' Timestamp, can't be encoded.
    return utc if type(utc) is datetime else datetime.combine(utc.date(), utc.time(), timezone.utc)
