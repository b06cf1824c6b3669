"""What stood at a call that a window leaves out: its thoughts go, and its signature stays."""

from __future__ import annotations

from typing import Any

import pytest

from turnkeep import SessionStore, check_messages

pytestmark = pytest.mark.anyio


def called(name: str, **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "id": name, "args": {}}, **more}


async def dropped(answer: Any, result: str, shape: Any) -> Any:
    async with SessionStore("memory:") as store:
        session = store.session("a:1")
        await session.append("user", "q")
        async with session.reply() as reply:
            reply.add(answer)
            reply.add_tool_result(result, "1")
        assert check_messages(await session.get_history(unanswered="drop")) == []
        return await session.get_history(shape=shape, unanswered="drop")


async def test_a_signature_that_stood_at_a_dropped_call_stands_at_the_next_one() -> None:
    parts = [called("f", thoughtSignature="c2ln"), called("g"), called("h")]
    window = await dropped({"role": "model", "parts": parts}, "g", "google")
    assert window["contents"][1]["parts"] == [
        {"function_call": {"name": "g", "id": "g", "args": {}}, "thought_signature": b"sig"}
    ]


async def test_thoughts_that_only_led_to_a_dropped_call_go_with_it() -> None:
    use = {"type": "tool_use", "name": "f", "input": {}}
    thought = {"type": "thinking", "thinking": "…", "signature": "s"}
    content = [
        {**thought, "signature": "1"},
        {**use, "id": "a"},
        {**thought, "signature": "2"},
        {**use, "id": "b"},
    ]
    answer = {"type": "message", "role": "assistant", "content": content}
    first = await dropped(answer, "a", "anthropic")
    second = await dropped(answer, "b", "anthropic")
    assert first["messages"][1]["content"] == content[:2]
    assert second["messages"][1]["content"] == content[2:]


async def test_reasoning_without_the_call_that_it_led_to_does_not_go_out() -> None:
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    output = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {**call, "id": "fc_1", "call_id": "a"},
        {"type": "reasoning", "id": "rs_2", "summary": []},
        {**call, "id": "fc_2", "call_id": "b"},
    ]
    items = await dropped({"object": "response", "output": output}, "a", "responses")
    assert items[1:3] == output[:2]
    assert [item["type"] for item in items[3:]] == ["function_call_output"]


async def test_a_summarizer_gets_calls_in_words_since_it_declares_no_tools() -> None:
    seen: list[Any] = []

    async def summarize(messages: list[dict[str, Any]]) -> str:
        seen.extend(messages)
        return "They spoke."

    async with SessionStore("memory:") as store:
        session = store.session("a:1")
        for number in range(2):
            await session.append("user", f"question {number}")
            async with session.reply() as reply:
                reply.add_tool_call("c1", "weather", {"city": "Ulm"})
                reply.add_tool_result("c1", "21 degrees")
                reply.add_text("Warm.")
        await session.consolidate(summarize, keep=1)
    assert [one["content"] for one in seen] == [
        "question 0",
        '[calls weather] {"city":"Ulm"}',
        "[weather returned] 21 degrees",
        "Warm.",
    ]
    assert all(one.keys() == {"role", "content"} for one in seen)
