"""Reading of a client's return value: a response, a message or an item, an object or a dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from .._errors import InvalidTurnError, kind_of
from ._anthropic_read import answer_from_anthropic, from_anthropic
from ._chat_read import PLAIN, SAID_FIELDS, answer_from_chat
from ._common import Message, as_fields, mapping_or_empty
from ._google_read import answer_from_google
from ._responses_read import answers_from_responses
from ._usage import Tokens, tokens_of

_CHAT_PARTS: Final = frozenset(
    ("text", "refusal", "image_url", "input_audio", "file", "media", "output_audio")
)
_RESPONSES_PARTS: Final = frozenset(("output_text", "input_text", "input_image", "input_file"))
_RESPONSES_ITEMS: Final = ("_call", "_output", "_request", "_response", "_tools")
_RESPONSES_NAMES: Final = frozenset(
    ("reasoning", "compaction", "item_reference", "program", "compaction_trigger")
)


class Returned(NamedTuple):
    """The messages of what a client returned, and the tokens that it cost."""

    messages: list[Message]
    tokens: Sequence[Tokens] = ()


def read_returned(value: object) -> Returned:
    """Return the messages, with their items; raise `InvalidTurnError` for what is no answer.

    An unknown block or item of a known answer is kept, and never an error.
    """
    if isinstance(value, (list, tuple)):
        return _several([as_fields(one) for one in value])
    found = as_fields(value)
    if not isinstance(found, Mapping):
        raise InvalidTurnError(_expected(value))
    fields = cast("Mapping[str, Any]", found)
    tokens = tokens_of(fields)
    match fields:
        case {"choices": [first, *_]}:
            message = mapping_or_empty(as_fields(mapping_or_empty(as_fields(first)).get("message")))
            if not message:
                raise InvalidTurnError(
                    "this is a piece of a stream: add the texts with add_text, or the answer "
                    "that your client assembles from the stream"
                )
            return Returned([answer_from_chat(message)], tokens)
        case {"output": list(output)} if not is_item(fields):
            return Returned(answers_from_responses(_dicts(output)), tokens)
        case {"candidates": candidates}:
            first = next(iter(_dicts(candidates)), {})
            content = mapping_or_empty(as_fields(first.get("content")))
            return Returned(answer_from_google(_dicts(content.get("parts"))), tokens)
    messages = _message(fields)
    if messages is None:
        raise InvalidTurnError(_expected(value))
    return Returned(messages, tokens)


def _expected(value: object) -> str:
    return (
        "an answer is what the client of a chat-completions, Responses, Anthropic or Google API "
        f"returned, or one of its messages, not {kind_of(value)}"
    )


def _dicts(values: object) -> list[Mapping[str, Any]]:
    found = map(as_fields, values if isinstance(values, (list, tuple)) else ())
    return [cast("Mapping[str, Any]", one) for one in found if isinstance(one, Mapping)]


def _several(values: Sequence[object]) -> Returned:
    """Return the messages of a list; items of the Responses API are read together."""
    if values and all(isinstance(one, Mapping) and is_item(one) for one in values):
        return Returned(answers_from_responses(_dicts(values)))
    messages: list[Message] = []
    for one in values:
        messages += read_returned(one).messages
    return Returned(messages)


def is_item(fields: Mapping[str, Any]) -> bool:
    """Return True for an item of the Responses API."""
    kind = fields.get("type")
    if not isinstance(kind, str):
        return False
    if kind == "message":
        kinds = _kinds(fields)
        bare = fields.get("role") == "assistant" and isinstance(fields.get("content"), list)
        # Anthropic's message has no refusals, and says why it stopped.
        bare = bare and kinds <= {"refusal"} and "stop_reason" not in fields
        return bare or bool(kinds & _RESPONSES_PARTS)
    return "role" not in fields and (kind in _RESPONSES_NAMES or kind.endswith(_RESPONSES_ITEMS))


def _kinds(fields: Mapping[str, Any]) -> set[str]:
    content = fields.get("content")
    parts = _dicts(content) if isinstance(content, (list, tuple)) else []
    return {
        "reasoning part"
        if isinstance(part.get("thinking"), list)
        else "cited text"  # only Anthropic's texts have these
        if isinstance(part.get("citations"), (list, tuple))
        else str(part.get("type"))
        for part in parts
    }


def _message(fields: Mapping[str, Any]) -> list[Message] | None:
    if is_item(fields):
        return answers_from_responses([fields])
    role = fields.get("role")
    parts = fields.get("parts")
    if role == "model" or (role is None and isinstance(parts, list) and parts):
        return answer_from_google(_dicts(parts))
    if not isinstance(role, str) or isinstance(fields.get("items"), list):
        return [dict(fields)] if isinstance(role, str) else None
    kinds = _kinds(fields)
    if kinds & _RESPONSES_PARTS and role == "assistant":
        return answers_from_responses([{**fields, "type": "message"}])
    is_anthropic = bool(kinds - _CHAT_PARTS - {"reasoning part"} - _RESPONSES_PARTS)
    if fields.get("type") == "message" or (is_anthropic and "tool_calls" not in fields):
        content = fields.get("content")
        if role == "assistant" and not isinstance(content, str):
            return answer_from_anthropic(_dicts(content))
        if role == "user" and kinds & {"tool_result", "image", "document"}:
            return from_anthropic({"messages": [{"role": role, "content": content}]})
    return [answer_from_chat(fields)] if role == "assistant" else [dict(fields)]


def tokens_of_response(response: object) -> list[Tokens]:
    """Return the tokens of each call that a response tells of, which may be none."""
    fields = as_fields(response)
    return tokens_of(cast("Mapping[str, Any]", fields)) if isinstance(fields, Mapping) else []


def read_message(value: object) -> Returned | None:
    """Return the messages of an answer that stands in a list of messages, or None.

    A chat-completions dict may hold fields of the caller's own, so only those that models are
    known to say become items. None is for a message that a caller has written.
    """
    fields = as_fields(value)
    if not isinstance(fields, Mapping):
        return None
    fields = cast("Mapping[str, Any]", fields)
    role = fields.get("role")
    if isinstance(fields.get("items"), list):
        return None
    if fields.keys() & {"choices", "output", "candidates"} and role is None:
        return read_returned(fields)
    if is_item(fields) or role == "model" or (role is None and "parts" in fields):
        return read_returned(fields)
    if role == "user" and _kinds(fields) & {"tool_result", "image", "document"}:
        return read_returned(fields)
    if role != "assistant":
        return None
    if fields is not value or _kinds(fields) - _CHAT_PARTS or "stop_reason" in fields:
        return read_returned(fields)
    if not fields.keys() & SAID_FIELDS:
        return None
    said = answer_from_chat({key: fields[key] for key in fields if key in SAID_FIELDS | PLAIN})
    rest = {key: fields[key] for key in fields if key not in SAID_FIELDS | PLAIN}
    return Returned([{**rest, **said}])
