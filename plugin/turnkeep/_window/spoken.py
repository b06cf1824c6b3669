"""Calls and results in words, for a request that declares no tools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["without_tools"]


def without_tools(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with each call and each result as text.

    Anthropic refuses calls in a request without `tools`, and a summarizer has none.
    """
    made: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in messages:
        if message["role"] == "tool":
            name = names.get(message["tool_call_id"], "a tool")
            made.append({"role": "user", "content": f"[{name} returned] {_text(message)}"})
        elif calls := message.get("tool_calls"):
            lines = [text] if (text := _text(message)) else []
            for call in calls:
                function = call.get("function") or call["custom"]
                names[call["id"]] = function["name"]
                arguments = function.get("arguments", function.get("input", ""))
                lines.append(f"[calls {function['name']}] {arguments}")
            made.append({"role": "assistant", "content": "\n".join(lines)})
        else:
            made.append(message)
    return made


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    if isinstance(content, list):
        return "\n".join(str(part.get("text", f"[{part['type']}]")) for part in content)
    return content or ""
