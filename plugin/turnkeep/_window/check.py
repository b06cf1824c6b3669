"""Check that every provider's API accepts a list of messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from .ids import MAX_ID, MISTRAL_ID

Provider: TypeAlias = Literal["openai", "anthropic", "mistral", "google"]

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_UNSENDABLE: Final = re.compile("[\0\ud800-\udfff]")
_ROLES: Final = ("system", "developer", "user", "assistant", "tool")
_PARTS: Final = {
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
}


class _Rules(NamedTuple):
    """The rules of an API, beside those that all share."""

    begins_with_user: bool = True
    result_before_user: bool = False
    ends_with_assistant: bool = False
    same_id_again: bool = False
    id: re.Pattern[str] | None = None


_ANY_ID: Final = re.compile(rf"[\s\S]{{1,{MAX_ID}}}")
_RULES: Final[Mapping[Provider | None, _Rules]] = {
    None: _Rules(result_before_user=True, same_id_again=True, id=_ANY_ID),
    "openai": _Rules(begins_with_user=False, id=_ANY_ID),
    "anthropic": _Rules(ends_with_assistant=True, same_id_again=True),
    "mistral": _Rules(
        begins_with_user=False, result_before_user=True, ends_with_assistant=True, id=MISTRAL_ID
    ),
    "google": _Rules(),
}


def check_messages(
    messages: Sequence[Mapping[str, Any]], *, for_: Provider | None = None
) -> list[str]:
    """Return the faults of a list of chat-completions messages, one sentence each.

    >>> check_messages([{"role": "user", "content": "Hi"}])
    []
    >>> check_messages([{"role": "tool", "content": "21°", "tool_call_id": "call_1"}])
    ["message 0: a tool result for 'call_1', which no assistant message before it calls"]

    The rules are the strictest that OpenAI's, Anthropic's and Mistral's APIs enforce with a
    400, and those of one API with `for_`: `"openai"`, `"anthropic"`, `"mistral"` or `"google"`.

    - The first message after the system messages is a user's. (Not for OpenAI and Mistral.)
    - Each call of an assistant message has one result, directly after that message.
    - An assistant message follows a tool result. (Mistral.)
    - No message is empty.
    - A name has at most 64 characters of `[a-zA-Z0-9_-]`.
    - The id of a call has at most 40 characters (OpenAI), and no other call of the list has the
      same (Anthropic). Mistral's have nine letters and digits; only `for_="mistral"` asks this.
    - The last message is not an assistant's. Anthropic's newer models and Mistral refuse to go on
      with it; only `for_` asks this, since a whole conversation may end so.

    It never raises, whatever the list holds.
    """
    faults: list[str] = []
    unanswered: dict[str, int] = {}
    used: set[str] = set()
    rules = _RULES.get(for_, _RULES[None])
    previous: object = ""
    begun = not rules.begins_with_user
    for index, message in enumerate(messages):
        here = f"message {index}"
        if not isinstance(message, Mapping):
            faults.append(f"{here}: it is a {type(message).__name__}, not a dict")
            continue
        role = message.get("role")
        if role not in _ROLES:
            faults.append(f"{here}: the role {role!r} is none of {', '.join(_ROLES)}")
            continue
        if role == "tool":
            faults += _check_result(here, message.get("tool_call_id"), unanswered)
        else:
            faults += _left_unanswered(unanswered)
            unanswered = {}
        if role in ("user", "assistant", "tool"):
            if not begun and role == "assistant":
                faults.append(f"{here}: the first message is an assistant's, not a user's")
            begun = True
        if role == "user" and previous == "tool" and rules.result_before_user:
            faults.append(f"{here}: a user's message directly behind a tool result")
        faults += _check_calls(here, message, unanswered, index)
        faults += _check_ids(here, unanswered, index, used, rules)
        faults += _check_content(here, message)
        name = message.get("name")
        if name is not None and not _is_name(name):
            faults.append(f"{here}: the name {name!r} does not match ^[a-zA-Z0-9_-]{{1,64}}$")
        previous = role
    if previous == "assistant" and rules.ends_with_assistant:
        faults.append(f"message {len(messages) - 1}: the last message is an assistant's")
    return faults + _left_unanswered(unanswered)


def _check_ids(
    here: str, calls: Mapping[str, int], index: int, used: set[str], rules: _Rules
) -> Iterator[str]:
    for id, place in calls.items():
        if place != index:
            continue
        if id in used and rules.same_id_again:
            yield f"{here}: an earlier call has the id {id!r}, too"
        if rules.id is not None and not rules.id.fullmatch(id):
            yield f"{here}: the id {id!r} does not match ^{rules.id.pattern}$"
        used.add(id)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _check_result(here: str, call: object, unanswered: dict[str, int]) -> Iterator[str]:
    if isinstance(call, str) and call in unanswered:
        del unanswered[call]
    else:
        yield f"{here}: a tool result for {call!r}, which no assistant message before it calls"


def _left_unanswered(unanswered: Mapping[str, int]) -> list[str]:
    return [
        f"message {index}: the call {call!r} is not answered directly behind it"
        for call, index in unanswered.items()
    ]


def _check_calls(
    here: str, message: Mapping[str, Any], unanswered: dict[str, int], index: int
) -> Iterator[str]:
    calls = message.get("tool_calls")
    if calls is None:
        return
    if message["role"] != "assistant":
        yield f"{here}: tool calls in a message that is not an assistant's"
    elif not isinstance(calls, (list, tuple)) or not calls:
        yield f"{here}: the tool calls are no list, or an empty one"
    else:
        for call in calls:
            yield from _check_call(here, call, unanswered, index)


def _check_call(here: str, call: object, unanswered: dict[str, int], index: int) -> Iterator[str]:
    match call:
        case {"type": "function", "id": str(id), "function": Mapping() as function} if id:
            pass
        case {"type": "custom", "id": str(id), "custom": {"input": str(text), **rest}} if id:
            function = {**rest, "arguments": text}
        case _:
            yield f"{here}: a tool call without an id, the type 'function' or a function"
            return
    if id == "null":
        yield f"{here}: a call has the id 'null', which stands for none"
    if id in unanswered:
        yield f"{here}: two calls have the id {id!r}"
    unanswered[id] = index
    if not _is_name(function.get("name")):
        yield f"{here}: the function name {function.get('name')!r} does not match the APIs' rule"
    if not isinstance(function.get("arguments"), str):
        yield f"{here}: the arguments of call {id!r} are not JSON text"


def _check_content(here: str, message: Mapping[str, Any]) -> Iterator[str]:
    role, content = message["role"], message.get("content")
    if content is None:
        if role == "tool":
            yield f"{here}: a tool result without content"
        elif not _calls(message):
            yield f"{here}: it is empty"
    elif isinstance(content, str):
        yield from _check_text(here, content)
        # Beside calls the APIs accept an empty text, but Anthropic refuses a blank one.
        if not content.strip() and role != "tool" and not (_calls(message) and not content):
            yield f"{here}: it is empty"
    elif not isinstance(content, (list, tuple)):
        yield f"{here}: the content is neither text nor a list of parts"
    elif not content:
        yield f"{here}: it is empty"
    else:
        for part in content:
            yield from _check_part(here, role, part)


def _calls(message: Mapping[str, Any]) -> bool:
    return message["role"] == "assistant" and bool(message.get("tool_calls"))


def _check_part(here: str, role: str, part: object) -> Iterator[str]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or not isinstance(kind, str):
        yield f"{here}: a content part that is no dict with a 'type'"
    elif kind not in _PARTS.get(role, ("text",)):
        yield f"{here}: a content part of type {kind!r}, which a {role} message can't hold"
    elif kind != "text" and kind != "refusal":
        if not isinstance(part.get(kind), Mapping):
            yield f"{here}: an {kind} part without its {kind!r} dict"
    elif not isinstance(part.get(kind), str) or not part[kind].strip():
        yield f"{here}: an empty text part"
    else:
        yield from _check_text(here, part[kind])


def _check_text(here: str, text: str) -> Iterator[str]:
    if _UNSENDABLE.search(text):
        yield f"{here}: a NUL or a lone surrogate in the content"
