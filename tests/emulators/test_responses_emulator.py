"""The emulated Responses API is believed by other tests, so the real client checks it here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from emulators.openai import OpenAIEmulator
from emulators.openai_responses import ResponsesEmulator
from emulators.openai_rules import Json

USER: Json = {"role": "user", "content": "hi"}
CALL: Json = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}
RESULT: Json = {"type": "function_call_output", "call_id": "c1", "output": "4"}
THOUGHT: Json = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}


def respond(items: list[Json], body: Json) -> str | list[Json]:
    return [THOUGHT, CALL] if items[-1].get("role") == "user" else "It is 4."


@pytest_asyncio.fixture
async def client() -> AsyncIterator[AsyncOpenAI]:
    async with (
        ResponsesEmulator(respond) as llm,
        AsyncOpenAI(api_key="test", base_url=llm.url, max_retries=0) as real,
    ):
        yield real


async def ask(client: AsyncOpenAI, *items: Json) -> list[Json]:
    """The output, as items for the next input."""
    given: Any = [*items]
    answer = await client.responses.create(model="emulated-model", input=given)
    return [item.model_dump(exclude_unset=True) for item in answer.output]


@pytest.mark.asyncio
async def test_the_real_client_gets_an_answer_whole_or_as_a_stream(client: AsyncOpenAI) -> None:
    output = await ask(client, USER)
    assert [item["type"] for item in output] == ["reasoning", "function_call"]
    again: Any = [USER, *output, RESULT]
    async with client.responses.stream(model="emulated-model", input=again) as stream:
        kinds = {event.type async for event in stream}
        final = await stream.get_final_response()
    assert final.output_text == "It is 4."
    assert {"response.output_text.delta", "response.completed"} <= kinds


@pytest.mark.asyncio
async def test_compaction_keeps_what_users_said_and_makes_the_rest_one_item(
    client: AsyncOpenAI,
) -> None:
    output = await ask(client, USER)
    given: Any = [USER, *output, RESULT]
    compacted = await client.responses.compact(model="emulated-model", input=given)
    assert [item.type for item in compacted.output] == ["message", "compaction"]


async def refused(client: AsyncOpenAI, *items: Json) -> str:
    with pytest.raises(openai.BadRequestError) as found:
        await ask(client, *items)
    return str(found.value)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([USER, CALL], "No tool output found for function call c1."),
        ([USER, RESULT], "No tool call found for function call output with call_id c1."),
        ([USER, RESULT, CALL], "No tool call found for function call output"),
        ([USER, {**CALL, "id": "call_1"}, RESULT], "Expected an ID that begins with 'fc'"),
        ([USER, {**CALL, "id": "fc ü"}, RESULT], "this value contained additional characters"),
        ([USER, {**CALL, "status": None}, RESULT], "Invalid value for 'input[1].status'"),
        ([USER, {"type": "reasoning", "id": "rs_1"}, USER], "'input[1].summary'"),
        ([{**USER, "name": "Ada"}], "Unknown parameter: 'input[0].name'."),
        (
            [{"role": "assistant", "content": [{"type": "input_text", "text": "a"}]}],
            "Supported values are: 'output_text' and 'refusal'.",
        ),
        ([{"role": "user", "content": [{"type": "input_image"}]}], "'image_url'"),
    ],
)
async def test_it_refuses_what_the_real_api_refuses(
    client: AsyncOpenAI, items: list[Json], reason: str
) -> None:
    assert reason in await refused(client, *items)


@pytest.mark.asyncio
async def test_a_thought_and_what_it_led_to_stand_together(client: AsyncOpenAI) -> None:
    thought, call = await ask(client, USER)
    assert "was provided without its required 'reasoning' item" in await refused(
        client, USER, call, RESULT
    )
    assert "was provided without its required following item" in await refused(
        client, USER, thought, USER
    )
    assert "Duplicate item found with id" in await refused(
        client, USER, thought, call, RESULT, thought, call, RESULT
    )
    assert await ask(client, USER, thought, call, RESULT)


@pytest.mark.asyncio
async def test_a_thinking_model_wants_its_thought_back_with_its_calls() -> None:
    function = {"name": "add", "arguments": "{}"}
    calls = [{"id": "c1", "type": "function", "function": function}]
    said: Json = {"role": "assistant", "content": None, "tool_calls": calls}
    result = {"role": "tool", "tool_call_id": "c1", "content": "4"}

    def answer(messages: list[Json]) -> Json:
        return {**said, "reasoning_content": "hm"}

    async with (
        OpenAIEmulator(answer, thinking=True) as llm,
        AsyncOpenAI(api_key="test", base_url=llm.url, max_retries=0) as client,
    ):
        messages: Any = [USER, said, result]
        with pytest.raises(openai.BadRequestError, match="must be passed back to the API"):
            await client.chat.completions.create(model="m", messages=messages)
        messages[1] = {**said, "reasoning_content": "hm"}
        stream = await client.chat.completions.create(model="m", messages=messages, stream=True)
        deltas = [piece.choices[0].delta.model_dump() async for piece in stream]
        assert deltas[0]["reasoning_content"] == "hm"
