"""Ids of calls that the chat-completions APIs take, each unique in its window."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from .choices import IdStyle

__all__ = ["MAX_ID", "MISTRAL_ID", "send_ids"]

MAX_ID: Final = 40
"""OpenAI: "string too long. Expected a string with maximum length 40"."""

MISTRAL_ID: Final = re.compile(r"[a-zA-Z0-9]{9}")
"""Mistral: "Tool call id must be a-z, A-Z, 0-9, with a length of 9"."""

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def send_ids(messages: Iterable[dict[str, Any]], style: IdStyle | None = None) -> None:
    """Replace, in these messages, the ids that an API refuses, in calls and in their results.

    It refuses ids that are too long, and ids that an earlier call of the window has. Local models
    number the calls of each answer from 0.
    """
    made: Callable[[str, int], str] = _openai if style is None else _mistral
    taken: set[str] = set()
    shown: dict[str, str] = {}
    for message in messages:
        if message["role"] == "tool":
            if shown:
                given = message["tool_call_id"]
                message["tool_call_id"] = shown.get(given, given)
        elif calls := message.get("tool_calls"):
            shown = {}
            for call in calls:
                count, given = 1, call["id"]
                while (id := made(given, count)) in taken:
                    count += 1
                taken.add(id)
                if id != given:
                    shown[given] = call["id"] = id


def _openai(id: str, count: int) -> str:
    if count == 1 and len(id) <= MAX_ID:
        return id
    if len(id) > MAX_ID:
        id = f"{id[:23]}_{_digest(id)[:12]}"
    return id if count == 1 else f"{id[:36]}_{count}"


def _mistral(id: str, count: int) -> str:
    if count == 1 and MISTRAL_ID.fullmatch(id):
        return id
    number = int(_digest(id if count == 1 else f"{id}_{count}"), 16)
    made = ""
    for _ in range(9):
        number, digit = divmod(number, len(_DIGITS))
        made += _DIGITS[digit]
    return made


def _digest(id: str) -> str:
    return hashlib.sha256(id.encode(errors="surrogatepass")).hexdigest()
