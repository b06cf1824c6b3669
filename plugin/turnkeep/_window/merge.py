"""One system message and alternating roles, for strict chat templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["merged"]


def merged(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with one system message in front, and no two of one role in a row.

    Contents are joined by an empty line, or part by part if one of them has parts. A message
    with calls, and its results, stay as they are.
    """
    system: dict[str, Any] | None = None
    out: list[dict[str, Any]] = []
    for message in messages:
        role = message["role"]
        if role == "system":
            system = message if system is None else _joined(system, message)
        elif out and role == out[-1]["role"] and role in ("user", "assistant"):
            if out[-1].get("tool_calls"):
                out.append(message)  # cannot be: its results stand between
            else:
                out[-1] = _joined(out[-1], message)
        else:
            out.append(message)
    return out if system is None else [system, *out]


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    one, other = first.get("content"), second.get("content")
    content: object
    if isinstance(one, str) and isinstance(other, str):
        content = f"{one}\n\n{other}"
    else:
        content = [*_parts(one), *_parts(other)] or None
    # Two people's names would be one; the fields of thoughts belong to the newer message.
    return {**_unnamed(first), **_unnamed(second), "content": content}


def _unnamed(message: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "name"}


def _parts(content: object) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [*content] if isinstance(content, list) else []
