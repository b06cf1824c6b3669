"""Anthropic's cache breakpoints in a window."""

from __future__ import annotations

from typing import Any, Final, cast

from ._common import text_part

_MARK: Final = "cache_control"
_MARKABLE: Final = frozenset(("text", "image", "document", "tool_use", "tool_result"))


def with_breakpoints(window: Any) -> Any:
    """Mark where the window will be the same the next time, in place; return it.

    These are the ends of its two latest user messages: the one before was the end of the
    previous request, which is in the cache, and the latest will be that of the next one. Other
    marks are taken out, since the API takes at most four and the caller's prompt may have some.
    """
    messages = cast("list[dict[str, Any]]", window["messages"])
    for message in messages:
        for block in message["content"] if isinstance(message["content"], list) else ():
            block.pop(_MARK, None)
    users = [message for message in messages if message["role"] == "user"]
    for message in users[-2:]:
        if isinstance(message["content"], str):  # a mark needs a block
            message["content"] = [text_part(message["content"])]
        blocks: list[dict[str, Any]] = message["content"]
        marked = next((one for one in reversed(blocks) if one.get("type") in _MARKABLE), None)
        if marked is not None:
            marked[_MARK] = {"type": "ephemeral"}
    return window
