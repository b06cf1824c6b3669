"""The windows that peers cut: they slide by one message at every call.

Each is a function from a bound to a pair: one that takes the next message of a conversation, and
one that gives the window. Bounds are in messages or in tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from .conversations import Messages


class Slider(NamedTuple):
    add: Callable[[dict[str, Any]], None]
    window: Callable[[], Messages]


Cost = Callable[[dict[str, Any]], int]


def seed(most: int, cost: Cost | None) -> Slider:
    """The manager that turnkeep grew from: the last so many, from the first user's among them."""
    if cost is not None:
        raise NotImplementedError("it counts messages alone")
    stored: Messages = []

    def window() -> Messages:
        last = stored[-most:]
        first = next((at for at, one in enumerate(last) if one["role"] == "user"), 0)
        return last[first:]

    return Slider(stored.append, window)


def openai_agents(most: int, cost: Cost | None) -> Slider:
    """OpenAI Agents' session: `get_items(limit=…)` gives the last so many, wherever that cuts."""
    if cost is not None:
        raise NotImplementedError("its limit counts items alone")
    session = import_module("agents").SQLiteSession("benchmark")

    def wait(coroutine: Any) -> Any:
        return loop.run_until_complete(coroutine)

    loop = asyncio.new_event_loop()
    return Slider(
        lambda message: wait(session.add_items([message])),
        lambda: list(wait(session.get_items(limit=most))),
    )


def langchain(most: int, cost: Cost | None) -> Slider:
    """LangChain's `trim_messages`, the last so many from a human's on, as its documents say."""
    messages = import_module("langchain_core.messages")
    kinds = {"user": messages.HumanMessage, "assistant": messages.AIMessage}
    stored: list[Any] = []
    originals: Messages = []

    def add(message: dict[str, Any]) -> None:
        content, id = message["content"] or "", str(len(stored))
        if message["role"] == "tool":
            made = messages.ToolMessage(content, tool_call_id=message["tool_call_id"], id=id)
        else:
            made = kinds[message["role"]](content, id=id)
        for call in message.get("tool_calls", ()):
            made.tool_calls.append({"name": "look", "args": {}, "id": call["id"]})
        stored.append(made)
        originals.append(message)

    def window() -> Messages:
        # The end of the conversation is enough, and spares it counting all of it again.
        kept = messages.trim_messages(
            stored[-most if cost is None else -400 :],
            max_tokens=most,
            token_counter=len if cost is None else count,
            strategy="last",
            start_on="human",
        )
        return [originals[int(one.id)] for one in kept]

    def count(given: list[Any]) -> int:
        assert cost is not None
        return sum(cost(originals[int(one.id)]) for one in given)

    return Slider(add, window)


PEERS = {
    "the seed": seed,
    "OpenAI Agents, limit": openai_agents,
    "LangChain, trim_messages": langchain,
}
