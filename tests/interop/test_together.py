"""A conversation that one framework has begun, any other can go on with."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from emulators.responses_rules import check_items
from turnkeep import Session, SessionStore, check_messages
from turnkeep.interop.langchain import ChatHistory
from turnkeep.interop.openai_agents import AgentsSession
from turnkeep.interop.pydantic_ai import MessageHistory


async def by_agents(session: Session) -> None:
    items: list[Any] = [
        {"role": "user", "content": "How warm?"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "21 degrees"},
        {"type": "reasoning", "id": "rs_2", "summary": []},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "It is warm.", "annotations": []}],
        },
    ]
    await AgentsSession(session).add_items(items)


async def by_pydantic(session: Session) -> None:
    await MessageHistory(session).add(
        [
            ModelRequest([UserPromptPart("How warm?")]),
            ModelResponse([ThinkingPart("hm", signature="c2ln"), ToolCallPart("f", {}, "c1")]),
            ModelRequest([ToolReturnPart("f", "21 degrees", "c1")]),
            ModelResponse([TextPart("It is warm.")]),
        ]
    )


async def by_langchain(session: Session) -> None:
    call: Any = {"name": "f", "args": {}, "id": "c1"}
    await ChatHistory(session).aadd_messages(
        [
            HumanMessage("How warm?"),
            AIMessage([{"type": "thinking", "thinking": "hm"}], tool_calls=[call]),
            ToolMessage("21 degrees", tool_call_id="c1"),
            AIMessage("It is warm."),
        ]
    )


async def by_hand(session: Session) -> None:
    function = {"name": "f", "arguments": "{}"}
    await session.append("user", "How warm?")
    await session.append("assistant", tool_calls=[{"id": "c1", "function": function}])
    await session.append("tool", "21 degrees", tool_call_id="c1")
    await session.append("assistant", "It is warm.")


async def as_agents(session: Session) -> list[str]:
    items = cast("list[Any]", await AgentsSession(session).get_items())
    check_items(items, {})
    return [str(item.get("output") or item.get("content") or item.get("name")) for item in items]


async def as_pydantic(session: Session) -> list[str]:
    messages = await MessageHistory(session).messages()
    parts = [part for message in messages for part in message.parts]
    return [str(getattr(part, "content", None) or getattr(part, "tool_name", "")) for part in parts]


async def as_langchain(session: Session) -> list[str]:
    messages = await ChatHistory(session).aget_messages()
    calls = [call for one in messages if isinstance(one, AIMessage) for call in one.tool_calls]
    return [*(one.text for one in messages), *(call["name"] for call in calls)]


async def as_window(session: Session) -> list[str]:
    window = await session.get_history()
    assert check_messages(window) == []
    return [str(message) for message in window]


@pytest.mark.asyncio
@pytest.mark.parametrize("write", [by_agents, by_pydantic, by_langchain, by_hand])
@pytest.mark.parametrize("read", [as_agents, as_pydantic, as_langchain, as_window])
async def test_what_one_framework_has_stored_the_others_read_as_text(
    write: Callable[[Session], Awaitable[None]],
    read: Callable[[Session], Awaitable[list[str]]],
    storage: str,
) -> None:
    async with SessionStore(storage) as store:
        session = store.session("telegram:1")
        await write(session)
        await session.append("user", "And now?")
        said = " ".join(await read(session))
        found = re.findall(r"How warm\?|21 degrees|It is warm\.|And now\?", said)
        assert found == ["How warm?", "21 degrees", "It is warm.", "And now?"]
        assert "'f'" in said or " f" in said


@pytest.mark.asyncio
async def test_frameworks_take_turns_in_one_conversation() -> None:
    async with SessionStore("memory:") as store:
        session = store.session("telegram:1")
        for write in (by_agents, by_pydantic, by_hand, by_langchain):
            await write(session)
        for read in (as_agents, as_pydantic, as_langchain, as_window):
            said = " ".join(await read(session))
            assert said.count("How warm?") == said.count("It is warm.") == 4
