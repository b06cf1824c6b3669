"""The OpenAI emulator is believed by other tests, so the real `openai` client checks it here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from emulators.openai import OpenAIEmulator
from emulators.openai_rules import CALL_UNANSWERED, TOOL_UNASKED

MODEL = "emulated-model"
USER: dict[str, Any] = {"role": "user", "content": "hi"}
BOT: dict[str, Any] = {"role": "assistant", "content": "hello"}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "c1", "content": "4"}


def call(*ids: str, **fields: Any) -> dict[str, Any]:
    """An assistant message that calls a tool once per id."""
    function = {"name": "add", "arguments": "{}"}
    calls = [{"id": name, "type": "function", "function": function | fields} for name in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


@asynccontextmanager
async def client(llm: OpenAIEmulator, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    """The real client, which repeats nothing by itself unless told to."""
    settings: dict[str, Any] = {"api_key": "test", "base_url": llm.url, "max_retries": 0} | options
    async with AsyncOpenAI(**settings) as real:
        yield real


async def ask(real: AsyncOpenAI, messages: list[Any]) -> str | None:
    """The text of a whole answer."""
    answer = await real.chat.completions.create(model=MODEL, messages=messages)
    return answer.choices[0].message.content


async def stream(real: AsyncOpenAI, messages: list[Any], got: list[str]) -> None:
    """Collect a streamed answer's pieces in `got`, as they come."""
    chunks = await real.chat.completions.create(model=MODEL, messages=messages, stream=True)
    async for chunk in chunks:
        if chunk.choices and chunk.choices[0].delta.content:
            got.append(chunk.choices[0].delta.content)


@pytest.mark.asyncio
async def test_the_real_client_gets_an_answer_whole_or_in_pieces() -> None:
    async with OpenAIEmulator() as llm, client(llm) as real:
        assert await ask(real, [USER]) == "echo: hi"
        pieces: list[str] = []
        await stream(real, [{"role": "user", "content": "two  words\n"}], pieces)
        assert pieces == ["echo:", " two", "  words\n"]
        assert [m.id async for m in real.models.list()] == [MODEL]
        assert [request.finished for request in llm.requests] == [True, True]


@pytest.mark.asyncio
async def test_the_test_decides_what_is_answered_and_sees_what_was_asked() -> None:
    async with OpenAIEmulator(lambda messages: str(len(messages))) as llm, client(llm) as real:
        history = [{"role": "system", "content": "be kind"}, USER, BOT, USER]
        assert await ask(real, history) == "4"
        assert llm.requests[0].messages == history
        assert llm.requests[0].body["model"] == MODEL


@pytest.mark.asyncio
async def test_an_answer_can_be_a_tool_call_whole_or_streamed() -> None:
    async with OpenAIEmulator(lambda _: call("c1")) as llm, client(llm) as real:
        messages: list[Any] = [USER]
        whole = await real.chat.completions.create(model=MODEL, messages=messages)
        assert whole.choices[0].finish_reason == "tool_calls"
        assert whole.choices[0].message.tool_calls is not None
        assert whole.choices[0].message.tool_calls[0].id == "c1"
        async with real.chat.completions.stream(model=MODEL, messages=messages) as events:
            final = await events.get_final_completion()
        assert final.choices[0].message.tool_calls is not None
        assert final.choices[0].message.tool_calls[0].function.name == "add"


@pytest.mark.asyncio
async def test_usage_comes_last_in_a_stream_that_asks_for_it() -> None:
    async with OpenAIEmulator() as llm, client(llm) as real:
        chunks = await real.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        usages = [chunk.usage async for chunk in chunks]
        assert usages[-1] is not None
        assert usages[-1].completion_tokens == 2
        assert not any(usages[:-1])


LEGAL: dict[str, list[Any]] = {
    "one user": [USER],
    "system first": [{"role": "system", "content": "s"}, USER],
    "a conversation": [USER, BOT, USER],
    "two users in a row": [USER, {**USER, "name": "Ada-1_x"}],
    "an answered call": [USER, call("c1"), RESULT],
    "parallel calls answered in another order": [
        USER,
        call("c1", "c2"),
        {**RESULT, "tool_call_id": "c2"},
        RESULT,
        BOT,
        USER,
    ],
    "the same id in a later call": [USER, call("c1"), RESULT, call("c1"), RESULT],
    "an empty result": [USER, call("c1"), {**RESULT, "content": ""}],
    "content parts": [
        {"role": "user", "content": [{"type": "text", "text": "see"}]},
        BOT,
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
    ],
}

ILLEGAL: dict[str, tuple[list[Any], str]] = {
    "no messages": ([], "empty array"),
    "only a system message": ([{"role": "system", "content": "s"}], "first message"),
    "an assistant first": ([BOT, USER], "first message"),
    "a tool first": ([RESULT, USER], TOOL_UNASKED),
    "a result of no call": ([USER, BOT, RESULT], TOOL_UNASKED),
    "a result of another call": ([USER, call("c2"), RESULT], TOOL_UNASKED),
    "a result given twice": ([USER, call("c1"), RESULT, RESULT], TOOL_UNASKED),
    "a result after a user": ([USER, call("c1"), USER, RESULT], CALL_UNANSWERED + "c1"),
    "a call unanswered": ([USER, call("c1"), USER], CALL_UNANSWERED + "c1"),
    "a call half answered": ([USER, call("c1", "c2"), RESULT, USER], CALL_UNANSWERED + "c2"),
    "a last call unanswered": ([USER, call("c1")], CALL_UNANSWERED + "c1"),
    "no tool calls": ([USER, {**BOT, "tool_calls": []}, USER], "empty array"),
    "two calls with one id": ([USER, call("c1", "c1"), RESULT], "Duplicate"),
    "a call with a bad name": ([USER, call("c1", name="a b"), RESULT], "pattern"),
    "arguments that are no text": ([USER, call("c1", arguments={}), RESULT], "arguments"),
    "a result without an id": ([USER, call("c1"), {"role": "tool", "content": "4"}], "Missing"),
    "a name with a space": ([{**USER, "name": "Ada L"}], "pattern"),
    "a name that ends its line": ([{**USER, "name": "Ada\n"}], "pattern"),
    "an empty assistant": ([USER, {**BOT, "content": ""}, USER], "non-whitespace"),
    "an assistant without content": ([USER, {**BOT, "content": None}, USER], "content parts"),
    "a blank user": ([{**USER, "content": " "}], "non-whitespace"),
    "no content parts": ([{**USER, "content": []}], "content parts"),
    "an unknown part": ([{**USER, "content": [{"type": "smell"}]}], "no known"),
    "an unknown role": ([USER, {**BOT, "role": "bot"}, USER], "Supported values"),
    "an unknown field": ([{**USER, "source_id": "1"}], "Unknown parameter"),
    "a NUL": ([{**USER, "content": "a\0"}], "NUL"),
    "an assistant last": ([USER, BOT], "last role"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", LEGAL)
async def test_a_legal_window_is_answered(name: str) -> None:
    async with OpenAIEmulator() as llm, client(llm) as real:
        assert await ask(real, LEGAL[name])
        assert llm.rejections == []


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ILLEGAL)
async def test_an_illegal_window_is_refused_with_a_400_and_recorded(name: str) -> None:
    messages, words = ILLEGAL[name]
    async with OpenAIEmulator() as llm, client(llm) as real:
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(real, messages)
        assert words in caught.value.message
        assert caught.value.type == "invalid_request_error"
        assert words in llm.rejections[0]


@pytest.mark.asyncio
async def test_a_lone_surrogate_that_a_laxer_client_escapes_is_refused() -> None:
    async with OpenAIEmulator() as llm, client(llm) as real:
        body = b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}'
        with pytest.raises(openai.BadRequestError, match="lone surrogate"):
            await real.post("/chat/completions", content=body, cast_to=object)
        with pytest.raises(openai.BadRequestError, match="could not parse"):
            await real.post("/chat/completions", content=b"{", cast_to=object)


@pytest.mark.asyncio
async def test_a_held_answer_waits_for_its_release() -> None:
    async with OpenAIEmulator() as llm, client(llm) as real:
        llm.hold()
        pieces: list[str] = []
        streamed = asyncio.create_task(stream(real, [USER], pieces))
        whole = asyncio.create_task(ask(real, [USER]))
        await llm.wait_request(2)
        await asyncio.sleep(0.05)
        assert (pieces, streamed.done(), whole.done()) == ([], False, False)
        llm.release()
        await asyncio.gather(streamed, whole)
        assert pieces == ["echo:", " hi"]


@pytest.mark.asyncio
async def test_an_answer_can_be_held_in_its_middle_while_the_client_goes_away() -> None:
    async with OpenAIEmulator(lambda _: "one two three") as llm, client(llm) as real:
        llm.hold(after_chunks=2)
        pieces: list[str] = []
        streamed = asyncio.create_task(stream(real, [USER], pieces))
        await llm.wait_for(lambda: len(pieces) == 2)
        streamed.cancel()
        await asyncio.gather(streamed, return_exceptions=True)
        await llm.wait_for(lambda: llm.requests[0].error == "the client went away")
        llm.release()
        assert (pieces, llm.requests[0].finished) == (["one", " two"], False)
        assert await ask(real, [USER]) == "one two three"


@pytest.mark.asyncio
async def test_a_delay_passes_between_the_chunks() -> None:
    async with OpenAIEmulator(lambda _: "one two", delay=0.05) as llm, client(llm) as real:
        began = asyncio.get_running_loop().time()
        await stream(real, [USER], [])
        assert asyncio.get_running_loop().time() - began >= 0.1


@pytest.mark.asyncio
async def test_a_broken_stream_delivers_its_beginning_and_then_an_error() -> None:
    async with OpenAIEmulator(lambda _: "one two three") as llm, client(llm) as real:
        llm.break_next(after_chunks=2)
        pieces: list[str] = []
        with pytest.raises(openai.APIConnectionError):
            await stream(real, [USER], pieces)
        assert (pieces, llm.requests[0].finished) == (["one", " two"], False)
        llm.break_next()
        with pytest.raises(openai.APIConnectionError):
            await ask(real, [USER])


@pytest.mark.asyncio
async def test_injected_failures_come_once_and_the_client_repeats_by_itself() -> None:
    async with OpenAIEmulator() as llm, client(llm) as real:
        llm.fail_next(429, retry_after=0)
        with pytest.raises(openai.RateLimitError):
            await ask(real, [USER])
        llm.fail_next()
        with pytest.raises(openai.InternalServerError):
            await ask(real, [USER])
        async with client(llm, max_retries=1) as patient:
            llm.fail_next(429, retry_after=0)
            assert await ask(patient, [USER]) == "echo: hi"
        assert [request.status for request in llm.requests] == [429, 500, 429, 200]


@pytest.mark.asyncio
async def test_a_wait_in_vain_shows_what_was_asked() -> None:
    async with OpenAIEmulator() as llm, client(llm) as real:
        await ask(real, [USER])
        with pytest.raises(TimeoutError, match=r"(?s)2 requests.*200 'echo: hi'"):
            await llm.wait_request(2, timeout=0.1)
