"""Turn a stored turn into a chat-completions message that every provider's API takes.

The message is the caller's own copy. Parts that no API takes are left out or said in words.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from .._records.media import media_of
from .._records.sender import replied_id
from .._records.turn import Turn
from ..shapes._chat import to_chat
from ..shapes._common import Shape, plain_text, text_part
from .choices import Speakers
from .speaker import attributed, name_field, prefix

Message: TypeAlias = dict[str, Any]

EMPTY_MESSAGE: Final = "(empty message)"
"""Stands for a user turn without content, so that its answer is not orphaned."""

MESSAGE_FIELDS: Final = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "shape", "items"}
)
_INDENT: Final = "  "
_BAD_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
_MEDIA: Final = frozenset({"image_url", "input_audio", "file"})
_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking", "reasoning"})
"""Part types that only their own model takes back; chat-completions messages have none."""


def is_plain(turn: Turn) -> bool:
    """Return True if the message is just role and text, without `extra` and `speakers`."""
    content, role = turn.content, turn.role
    if turn.name or turn.tool_calls or role == "tool" or not isinstance(content, str):
        return False
    if turn.items:
        return False
    return role != "user" or not is_blank(turn)


def to_message(
    turn: Turn,
    extra: Iterable[str] = (),
    speakers: Speakers | None = None,
    shape: Shape = "openai",
) -> Message:
    """Return the message of a turn, with the fields of its `extra` that `extra` names.

    `speakers` says how a user's message names its sender. The turn's items are in the message of
    a chat-completions window, and are kept for `to_shape` if they are of another `shape`.
    """
    role, content = turn.role, turn.content
    message: Message = {"role": role, "content": content}
    if not (extra or speakers) and is_plain(turn):
        return message
    if isinstance(content, list):
        # All but the chat-completions APIs take pictures in a tool's result.
        holds = "user" if role == "tool" and shape != "openai" else role
        message["content"] = [copy.deepcopy(part) for part in shown_parts(holds, content)]
    if role == "user" and is_blank(turn):
        message["content"] = EMPTY_MESSAGE
    sender = turn.sender if role == "user" else None
    if role == "tool":
        message["content"] = message["content"] or ""
        message["tool_call_id"] = turn.tool_call_id
    elif speakers == "prefix" and sender is not None:
        message["content"] = _said_by(prefix(sender), message["content"], replied_id(turn.extra))
    elif turn.name:
        message["name"] = api_name(turn.name)
    elif speakers == "name" and sender is not None:
        message["name"] = name_field(sender)
    if role == "assistant" and turn.tool_calls:
        if is_blank(turn):
            message["content"] = None
        if turn.shape == shape != "openai":
            # Its own API gets the calls as it gave them.
            message["tool_calls"] = copy.deepcopy(turn.tool_calls)
        else:
            takes_custom = turn.shape == "openai"
            message["tool_calls"] = [_call(call, extra, takes_custom) for call in turn.tool_calls]
    items = turn.items
    if extra:
        message |= {name: copy.deepcopy(turn.extra[name]) for name in extra if name in turn.extra}
    if not items or (isinstance(content, list) and len(message["content"] or ()) != len(content)):
        return message  # items name the places of parts, which are others here
    message |= {"shape": turn.shape, "items": items}
    if turn.shape != shape or shape == "openai":
        return to_chat(message)
    message["items"] = copy.deepcopy(items)
    return message


def _said_by(
    head: str, content: str | list[dict[str, Any]], replied: str | None
) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return attributed(content, head, replied)
    parts = [
        {**part, "text": attributed(part["text"], _INDENT if at else head, None if at else replied)}
        if part["type"] == "text"
        else part
        for at, part in enumerate(content)
    ]
    if parts and parts[0]["type"] == "text":
        return parts
    return [{"type": "text", "text": head.rstrip()}, *parts]


def is_blank(turn: Turn) -> bool:
    """Return True if the content holds nothing that an API would take."""
    content = turn.content
    if isinstance(content, str):
        return not content or content.isspace()
    return not content or not shown_parts(turn.role, content)


def is_said_by_user(turn: Turn) -> bool:
    """Return True for a user turn, even a blank one."""
    return turn.role == "user"


def shown_parts(role: str, parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the content parts that a message of this role may hold, not copied.

    Blank text is left out, since Anthropic refuses it. A part that the role can't hold, such
    as an image in a tool result, becomes a short text, so the model knows about it.
    """
    shown = []
    for part in parts:
        kind = part.get("type")
        if kind == "text":
            text = part.get("text")
            if isinstance(text, str) and text.strip():
                shown.append(part)
        elif fits(role, part):
            shown.append(part)
        elif (media := media_of(part)) is not None:
            shown.append(text_part(media.text))
        elif kind in _MEDIA:
            shown.append(text_part(plain_text(part)))
        elif kind not in _THOUGHTS:
            shown.append(text_part(f"[{api_name(str(kind or '')) or 'attachment'}]"))
    return shown


def words_of(turn: Turn) -> str:
    """Return the turn's content as text, with a short text for each other part."""
    if turn.role == "user" and is_blank(turn):
        return EMPTY_MESSAGE
    if isinstance(turn.content, list):
        # A system message can hold nothing but text.
        return "\n".join(part["text"] for part in shown_parts("system", turn.content))
    return turn.content or ""


def fits(role: str, part: Mapping[str, Any]) -> bool:
    """Return True for a part, other than text, that a message of this role may hold."""
    if role == "assistant":
        refusal = part.get("refusal")
        return part.get("type") == "refusal" and isinstance(refusal, str) and bool(refusal.strip())
    if role != "user":
        return False
    match part:
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return bool(url)
        case {"type": "input_audio", "input_audio": {"data": str(), "format": "wav" | "mp3"}}:
            return True
        case {"type": "file", "file": {"file_id": str()} | {"file_data": str()}}:
            return True
    return False


def api_name(name: str) -> str:
    """Return the name in the characters that the APIs take: `^[a-zA-Z0-9_-]{1,64}$` (OpenAI)."""
    return _BAD_NAME.sub("_", name)[:64]


def _call(call: dict[str, Any], extra: Iterable[str], takes_custom: bool) -> dict[str, Any]:
    if (custom := custom_of(call)) is not None:
        name, text = api_name(custom["name"]), custom["input"]
        if takes_custom:
            return {"id": call["id"], "type": "custom", "custom": {"name": name, "input": text}}
        # Only OpenAI's APIs know these; for others it is a function of one argument.
        call = {**call, "function": {"name": name, "arguments": {"input": text}}}
    function = call["function"]
    carried = {name: copy.deepcopy(call[name]) for name in extra if name in call}
    return {
        **carried,
        "id": call["id"],
        "type": "function",
        "function": {
            "name": api_name(function["name"]),
            "arguments": arguments_text(function.get("arguments")),
        },
    }


def custom_of(call: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the name and the input of a call of a custom tool, or None for a function's."""
    match call:
        case {"type": "custom", "custom": {"name": str(name), "input": str(text)}}:
            return {"name": name, "input": text}
    return None


def arguments_text(arguments: object) -> str:
    """Return the arguments as a JSON object's text, since some servers fail on anything else."""
    if isinstance(arguments, str):
        try:
            msgspec.json.decode(arguments, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeError):
            arguments = {"arguments": arguments} if arguments.strip() else {}
        else:
            return arguments
    elif not isinstance(arguments, dict):
        arguments = {} if arguments is None else {"arguments": arguments}
    return msgspec.json.encode(arguments).decode()
