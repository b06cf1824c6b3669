"""Is a list of messages one that every provider's API accepts?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ROLES: Final = ("system", "developer", "user", "assistant", "tool")


def check_messages(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with a list of chat-completions messages, one sentence a fault.

    >>> check_messages([{"role": "user", "content": "Hi"}])
    []
    >>> check_messages([{"role": "tool", "content": "21°", "tool_call_id": "call_1"}])
    ["message 0: a tool result for 'call_1', which no assistant message before it calls"]

    The rules are the strictest that OpenAI's, Anthropic's and Mistral's APIs answer with a
    400: after the system messages the first is a user's; each call of an assistant message
    is answered once, directly behind it; nothing is empty; names are of `[a-zA-Z0-9_-]`, 64
    at most; after a tool result comes an assistant's message.
    """
    faults: list[str] = []
    unanswered: dict[str, int] = {}
    previous = ""
    begun = False
    for index, message in enumerate(messages):
        here = f"message {index}"
        role = message.get("role")
        if role not in _ROLES:
            faults.append(f"{here}: the role {role!r} is none of {', '.join(_ROLES)}")
            continue
        if role == "tool":
            call = message.get("tool_call_id")
            if call in unanswered:
                del unanswered[call]
            else:
                faults.append(
                    f"{here}: a tool result for {call!r}, which no assistant message "
                    "before it calls"
                )
        else:
            faults += _left_unanswered(unanswered)
            unanswered = {}
        if role in ("user", "assistant", "tool"):
            if not begun and role == "assistant":
                faults.append(f"{here}: the first message is an assistant's, not a user's")
            begun = True
        if role == "user" and previous == "tool":
            faults.append(f"{here}: a user's message directly behind a tool result")
        if role == "assistant":
            for call in message.get("tool_calls") or ():
                faults += _check_call(here, call, unanswered, index)
        faults += _check_content(here, message)
        name = message.get("name")
        if name is not None and (not isinstance(name, str) or not _NAME.fullmatch(name)):
            faults.append(f"{here}: the name {name!r} does not match ^[a-zA-Z0-9_-]{{1,64}}$")
        previous = role
    return faults + _left_unanswered(unanswered)


def _left_unanswered(unanswered: Mapping[str, int]) -> list[str]:
    return [
        f"message {index}: the call {call!r} is not answered directly behind it"
        for call, index in unanswered.items()
    ]


def _check_call(
    here: str, call: Mapping[str, Any], unanswered: dict[str, int], index: int
) -> list[str]:
    function = call.get("function")
    id = call.get("id")
    if not isinstance(id, str) or not id or not isinstance(function, Mapping):
        return [f"{here}: a tool call without an id or a function"]
    faults: list[str] = []
    if id in unanswered:
        faults.append(f"{here}: two calls have the id {id!r}")
    unanswered[id] = index
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        faults.append(f"{here}: the function name {name!r} does not match the APIs' rule")
    if not isinstance(function.get("arguments"), str):
        faults.append(f"{here}: the arguments of call {id!r} are not JSON text")
    return faults


def _check_content(here: str, message: Mapping[str, Any]) -> list[str]:
    content = message.get("content")
    role = message["role"]
    faults: list[str] = []
    if isinstance(content, str):
        if "\0" in content or any("\ud800" <= char <= "\udfff" for char in content):
            faults.append(f"{here}: a NUL or a lone surrogate in the content")
        empty = not content.strip()
    elif content is None:
        empty = True
    elif isinstance(content, Sequence):
        empty = not content
        for part in content:
            if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
                faults.append(f"{here}: a content part that is no dict with a 'type'")
            elif part["type"] == "text" and not str(part.get("text") or "").strip():
                faults.append(f"{here}: an empty text part")
    else:
        return [f"{here}: the content is neither text nor a list of parts"]
    if empty and role != "tool" and not (role == "assistant" and message.get("tool_calls")):
        faults.append(f"{here}: it is empty")
    if content is None and role == "tool":
        faults.append(f"{here}: a tool result without content")
    return faults
