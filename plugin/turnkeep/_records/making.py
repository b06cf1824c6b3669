"""The making of turns: everything that is stored is checked here, once.

`new_turn` copies what a caller hands in. It replaces lone surrogates and NULs, which no storage
can hold, and raises `InvalidTurnError` for what no model would ever accept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final, cast

import msgspec

from .._errors import InvalidTurnError, TurnTooLargeError, kind_of
from .clean import checked_json, clean_text
from .content import as_call_id, as_content, as_tool_calls
from .items import as_items, as_usage, fitting_items, items_beside
from .parts import InlineMedia
from .turn import ROLES, Sender, Turn
from .usage import Usage

__all__ = [
    "MAX_TURN_BYTES",
    "as_sender",
    "as_source_ids",
    "check_size",
    "encoded_size",
    "new_turn",
]

MAX_TURN_BYTES: Final = 1024 * 1024
_encode: Final = msgspec.json.Encoder().encode
_NUL: Final = b"\\u0000"
"""A NUL, as JSON writes it."""

replace: Final = msgspec.structs.replace


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
    shape: str | None = None,
    items: Iterable[Mapping[str, Any]] | None = None,
    usage: Iterable[Usage] = (),
    token: str = "",
    max_bytes: int = MAX_TURN_BYTES,
    inline_media: InlineMedia = "error",
    where: str = "",
) -> Turn:
    """Return a new turn. `where` names the session in errors."""
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidTurnError(f"{where}{_wrong_role(role, content)}")
    if role == "tool" or tool_call_id is not None:
        tool_call_id = as_call_id(tool_call_id, f"{where}tool_call_id")
    if name is not None and not isinstance(name, str):
        raise InvalidTurnError(f"{where}name is text, not {type(name).__name__}")
    if source_id is None:
        source_ids: tuple[str, ...] = ()
    elif type(source_id) is str and source_id:
        source_ids = (source_id,)
    else:
        source_ids = as_source_ids(source_id, where)
    kept = content if type(content) is str else as_content(role, content, where, inline_media)
    if items:
        items = items_beside(items, content, kept)
    turn = Turn(
        role=ROLES[role],
        content=kept,
        time=datetime.now(timezone.utc) if time is None else _utc(time, where),
        name=name and clean_text(name),
        tool_calls=None if tool_calls is None else as_tool_calls(role, tool_calls, where),
        tool_call_id=tool_call_id,
        sender=None if sender is None else as_sender(sender, where),
        source_ids=source_ids,
        answers=answers,
        also_answers=also_answers,
        interrupted=interrupted,
        hidden=hidden,
        token=token and clean_text(token),
        extra={} if extra is None else _extra(extra, where),
        shape=shape if items else None,
        items=as_items(shape, items, where) if items else None,
        usage=as_usage(usage, where) if usage else (),
    )
    if turn.content is None and not (turn.tool_calls or turn.items):
        needed = "content or tool calls" if role == "assistant" else "content"
        raise InvalidTurnError(f"{where}a turn of the role {role!r} needs {needed}")
    # The turn is encoded to be measured. The same bytes show what no storage can hold.
    try:
        encoded = _encode(turn)
    except UnicodeEncodeError:  # a lone surrogate
        encoded = _NUL
    if _NUL in encoded:
        turn = _cleaned(turn)
        encoded = _encode(turn)
    if len(encoded) > max_bytes and turn.items:
        turn = fitting_items(turn, max_bytes, where)
        encoded = _encode(turn)
    return turn if len(encoded) <= max_bytes else _cut(turn, len(encoded), max_bytes, where)


def encoded_size(turn: Turn) -> int:
    """Return the size of the encoded turn, in bytes."""
    return len(_encode(turn))


def check_size(turn: Turn, max_bytes: int, where: str) -> None:
    """Raise `TurnTooLargeError` if an assistant's turn is over the limit."""
    size = encoded_size(turn)
    if size > max_bytes:
        _cut(turn, size, max_bytes, where)


def _cleaned(turn: Turn) -> Turn:
    """Return the turn with clean text in the fields that `new_turn` takes unchanged."""
    content, sender = turn.content, turn.sender
    return replace(
        turn,
        content=clean_text(content) if isinstance(content, str) else content,
        sender=sender and Sender(clean_text(sender.id), sender.name and clean_text(sender.name)),
        source_ids=tuple(map(clean_text, turn.source_ids)),
    )


def _cut(turn: Turn, size: int, max_bytes: int, where: str) -> Turn:
    """Return a tool result that is over the limit, cut with a mark.

    So no answer is lost for a long result. Any other turn raises `TurnTooLargeError`: only the
    caller can shorten it.
    """
    if turn.role != "tool":
        raise TurnTooLargeError(
            f"{where}a turn of {size:,} bytes is over the limit of {max_bytes:,}: "
            "shorten it, keep media as references, or raise SessionStore(max_turn_bytes=…)"
        )
    text = turn.text
    keep = len(text)
    while True:
        # Escapes make the encoded size depend on the content: shrink by the measured excess.
        keep = max(0, min(keep - 1, int(keep * max_bytes / size * 0.95)))
        mark = f"\n[cut: {len(text) - keep:,} of {len(text):,} characters left out]"
        cut = replace(turn, content=text[:keep] + mark)
        size = len(_encode(cut))
        if size <= max_bytes:
            return cut
        if keep == 0:
            raise TurnTooLargeError(
                f"{where}a tool turn is over the limit of {max_bytes:,} bytes even without its "
                "content: shorten its extra fields"
            )


def as_sender(sender: Sender | str | int | None, where: str = "") -> Sender | None:
    """Return a `Sender` from a `Sender` or from a bare id."""
    if type(sender) is Sender and type(sender.id) is type(sender.name) is str and sender.id:
        return sender
    match sender:
        case None:
            return None
        case Sender(id=str() | int() as id, name=str() | None as name) if _is_id(id):
            return Sender(_id(id), name and clean_text(name))
        case str() | int() if _is_id(sender):
            return Sender(_id(sender))
    raise InvalidTurnError(f"{where}sender is a Sender or a non-empty id, not {sender!r}")


def as_source_ids(source_id: object, where: str) -> tuple[str, ...]:
    """Return a platform's ids of a message, one or a list, as clean text."""
    if source_id is None:
        return ()
    ids: list[Any] = [*source_id] if isinstance(source_id, (list, tuple)) else [source_id]
    for one in ids:
        if not _is_id(one):
            raise InvalidTurnError(
                f"{where}a source_id is non-empty text or a whole number, not {one!r:.80}"
            )
    return tuple(dict.fromkeys(map(_id, ids)))


def _wrong_role(role: object, content: object) -> str:
    """Return what is wrong with a role, without words that people may have said."""
    roles = ", ".join(sorted(ROLES))
    if isinstance(content, str) and content in ROLES:
        return "the role comes first, as in append('user', text)"
    if isinstance(role, Mapping):
        return f"a role is one of {roles}, not {kind_of(role)}: store dicts with extend([…])"
    word = repr(role) if isinstance(role, str) and role.isidentifier() else kind_of(role)
    return f"a role is one of {roles}, not {word:.40}"


def _is_id(id: object) -> bool:
    return isinstance(id, (str, int)) and not isinstance(id, bool) and id != ""


def _id(id: str | int) -> str:
    return clean_text(id if isinstance(id, str) else str(id))


def _extra(extra: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(extra, Mapping):
        raise InvalidTurnError(f"{where}extra is a mapping, not {type(extra).__name__}")
    return cast("dict[str, Any]", checked_json(extra, f"{where}extra"))


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
    # msgspec encodes no subclass, such as pandas' Timestamp.
    return utc if type(utc) is datetime else datetime.combine(utc.date(), utc.time(), timezone.utc)
