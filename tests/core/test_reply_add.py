"""`reply.add` takes what a client returned, whole, and the model gets it back unchanged."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from anthropic.types import Message as AnthropicMessage
from google.genai import types as google
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from turnkeep import InvalidTurnError, Session, SessionStore, check_messages

pytestmark = pytest.mark.anyio

STORES = pytest.mark.parametrize("where", ["memory:", "jsonl:./sessions"])

CALL: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Ulm"}'},
}
CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "deepseek-reasoner",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "I look.",
                "refusal": None,
                "reasoning_content": "They ask for the weather.",
                "tool_calls": [{**CALL, "index": 0, "extra_content": {"google": {"a": "s"}}}],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 90,
        "completion_tokens": 30,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 20},
    },
}
RESPONSES: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1.0,
    "model": "gpt-5",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "b3Bh"},
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "Ulm", "queries": ["Ulm"]},
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "weather",
            "arguments": '{"city":"Ulm"}',
            "status": "completed",
        },
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "b3Bi"},
        {
            "type": "function_call",
            "id": "fc_2",
            "call_id": "call_2",
            "name": "clock",
            "arguments": "{}",
            "status": "completed",
        },
    ],
    "usage": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 0},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 40},
        "total_tokens": 150,
    },
}
ANTHROPIC: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5",
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "content": [
        {"type": "thinking", "thinking": "", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": None}},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "tool_use", "id": "toolu_2", "name": "clock", "input": {}},
    ],
    "usage": {
        "input_tokens": 20,
        "cache_read_input_tokens": 70,
        "cache_creation_input_tokens": 5,
        "output_tokens": 33,
    },
}
GOOGLE: dict[str, Any] = {
    "modelVersion": "gemini-3-pro",
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "They ask.", "thought": True},
                    {
                        "functionCall": {"name": "weather", "args": {"city": "Ulm"}},
                        "thoughtSignature": "c2ln",
                    },
                    {"functionCall": {"name": "clock", "args": {}}},
                ],
            }
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 80,
        "cachedContentTokenCount": 16,
        "candidatesTokenCount": 12,
        "thoughtsTokenCount": 30,
    },
}
ANSWERS: dict[str, tuple[dict[str, Any], Any]] = {
    "openai": (CHAT, ChatCompletion),
    "responses": (RESPONSES, Response),
    "anthropic": (ANTHROPIC, AnthropicMessage),
    "google": (GOOGLE, google.GenerateContentResponse),
}
EVERY_ANSWER = pytest.mark.parametrize("shape", [*ANSWERS])
FORMS = pytest.mark.parametrize("form", ["dict", "dump", "object"])


def returned(shape: str, form: str) -> Any:
    """The answer as a client returns it: parsed JSON, an object, or the object's dump."""
    fields, model = ANSWERS[shape]
    if form == "dict":
        return copy.deepcopy(fields)
    made = model.model_validate(fields)
    return made if form == "object" else made.model_dump()


def answered(window: Any, shape: str) -> list[dict[str, Any]]:
    """The model's own words, of a window in its shape."""
    match shape:
        case "responses":
            results = ("function_call_output", "message")
            return [item for item in window if item["type"] not in results]
        case "anthropic":
            return list(window["messages"][1]["content"])
        case "google":
            return list(window["contents"][1]["parts"])
    return [window[1]]


EXPECTED: dict[str, list[dict[str, Any]]] = {
    "openai": [
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "They ask for the weather.",
            "tool_calls": [{**CALL, "extra_content": {"google": {"a": "s"}}}],
        }
    ],
    "responses": RESPONSES["output"],
    "anthropic": ANTHROPIC["content"],
    "google": [
        {"text": "They ask.", "thought": True},
        {
            "function_call": {"name": "weather", "args": {"city": "Ulm"}},
            "thought_signature": b"sig",
        },
        {"function_call": {"name": "clock", "args": {}}},
    ],
}


async def asked(store: SessionStore, answer: Any) -> Session:
    session = store.session("a:1")
    await session.append("user", "Is it raining in Ulm?")
    async with session.reply() as reply:
        reply.add(answer)
        for call in reply.calls:
            reply.add_tool_result(call["id"], "yes")
    return session


@STORES
@EVERY_ANSWER
@FORMS
async def test_what_a_client_returned_goes_back_to_its_shape_unchanged_and_in_order(
    where: str, shape: Any, form: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with SessionStore(where) as store:
        await asked(store, returned(shape, form))
    if where != "memory:":
        store = SessionStore(where)  # read again from what is stored
    async with store:
        window: Any = await store.session("a:1").get_history(shape=shape)
    assert answered(window, shape) == EXPECTED[shape]


@EVERY_ANSWER
async def test_another_shape_gets_its_text_and_calls_and_is_legal(shape: str) -> None:
    async with SessionStore("memory:") as store:
        session = await asked(store, returned(shape, "object"))
        window = await session.get_history()
        assert check_messages(window) == []
        assert {*window[1]} - {"reasoning_content"} <= {"role", "content", "tool_calls"}
        for other in ANSWERS:
            await session.get_history(shape=other)  # type: ignore[call-overload]


@EVERY_ANSWER
@FORMS
async def test_a_response_tells_its_usage_by_itself(shape: str, form: str) -> None:
    async with SessionStore("memory:") as store:
        session = await asked(store, returned(shape, form))
        (usage,) = [one for turn in [t async for t in session.turns()] for one in turn.usage]
    counted = (usage.input, usage.cached, usage.cache_written, usage.output, usage.reasoning)
    assert (
        counted
        == {
            "openai": (90, 64, 0, 30, 20),
            "responses": (100, 10, 0, 50, 40),
            "anthropic": (95, 70, 5, 33, 0),
            "google": (80, 16, 0, 42, 30),
        }[shape]
    )
    assert (
        usage.model
        == {
            "openai": "deepseek-reasoner",
            "responses": "gpt-5",
            "anthropic": "claude-sonnet-5",
            "google": "gemini-3-pro",
        }[shape]
    )


@pytest.mark.parametrize("answer", [None, 7, "text", {}, {"a": 1}, [{"role": "user"}], b"x"])
async def test_what_is_no_answer_is_an_error_before_anything_is_stored(answer: Any) -> None:
    async with SessionStore("memory:") as store:
        session = store.session("a:1")
        await session.append("user", "q")
        with pytest.raises(InvalidTurnError, match="session a:1: "):
            async with session.reply() as reply:
                reply.add(answer)
        assert [turn.role async for turn in session.turns()] == ["user"]


async def test_items_of_next_year_are_kept_and_never_an_exception() -> None:
    odd = {"type": "telepathy_call", "id": "t", "deep": [[[{"a": float("nan")}]]]}
    plain = {"type": "telepathy", "id": "t_2", "waves": [1, 2.5, "x"]}
    text = {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed"}
    said = {**text, "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}
    async with SessionStore("memory:") as store:
        session = await asked(store, {**RESPONSES, "output": [odd, plain, said]})
        window: Any = await session.get_history(shape="responses")
        assert window[1:] == [plain, said]  # no storage can hold the other one
        assert (await session.get_history())[1]["content"] == "Hi"


async def test_a_refusal_a_transcript_and_custom_calls_are_taken() -> None:
    custom = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    async with SessionStore("memory:") as store:
        session = store.session("a:1")
        await session.append("user", "q")
        async with session.reply() as reply:
            reply.add({"role": "assistant", "content": None, "refusal": "I won't."})
        await session.append("user", "Say it.")
        async with session.reply() as reply:
            audio = {"id": "audio_1", "data": "UklG", "expires_at": 9, "transcript": "It rains."}
            reply.add({"role": "assistant", "content": None, "audio": audio})
        await session.append("user", "Count.")
        async with session.reply() as reply:
            reply.add({"role": "assistant", "content": None, "tool_calls": [custom]})
            reply.add_tool_result("c1", "1")
        window = await session.get_history()
    assert window[1]["content"] == [{"type": "refusal", "refusal": "I won't."}]
    assert window[3] == {"role": "assistant", "content": "It rains."}
    assert window[5]["tool_calls"] == [custom]
    assert check_messages(window) == []


CITED: dict[str, Any] = {
    "type": "text",
    "text": "It rains.",
    "citations": [{"type": "char_location", "cited_text": "rain", "document_index": 0}],
}
REFUSED: dict[str, Any] = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "refusal", "refusal": "I won't."}],
}


@pytest.mark.parametrize(
    ("shape", "given", "said"),
    [
        ("anthropic", {"role": "assistant", "content": [CITED]}, [CITED]),
        ("responses", REFUSED, [REFUSED]),
        ("responses", [REFUSED], [REFUSED]),
        ("responses", [{**REFUSED, "content": []}], [{**REFUSED, "content": []}]),
    ],
)
@pytest.mark.parametrize("by", ["add", "extend"])
async def test_a_message_alone_is_read_as_one_of_the_api_that_has_such_parts(
    shape: Any, given: Any, said: Any, by: str
) -> None:
    async with SessionStore("memory:") as store:
        session = store.session("a:1")
        await session.append("user", "q")
        if by == "add":
            async with session.reply() as reply:
                reply.add(given)
        else:
            await session.extend(given if isinstance(given, list) else [given])
        window: Any = await session.get_history(shape=shape)
    assert (window["messages"][1]["content"] if shape == "anthropic" else window[1:]) == said


async def test_a_block_that_the_clients_types_do_not_know_is_taken_without_a_warning() -> None:
    blocks = [{"type": "telepathy", "waves": [1]}, {"type": "text", "text": "Hi"}]
    client: Any = AnthropicMessage  # which validates nothing of what it receives
    odd = client.construct(**{**ANTHROPIC, "content": blocks})
    async with SessionStore("memory:") as store:
        session = store.session("a:1")
        await session.append("user", "q")
        async with session.reply() as reply:
            reply.add(odd)  # the tests take a warning for an error
        window: Any = await session.get_history(shape="anthropic")
    assert window["messages"][1]["content"] == blocks


async def test_an_edit_takes_the_thoughts_about_the_old_text_away() -> None:
    async with SessionStore("memory:") as store:
        session = await asked(store, returned("anthropic", "dict"))
        turn = [turn async for turn in session.turns()][1]
        assert turn.items
        edited = await session.edit(turn, "Something else.")
        assert edited is not None
        assert edited.items is None
        assert edited.shape is None


async def test_extend_takes_the_same_and_the_older_roles() -> None:
    async with SessionStore("memory:") as store:
        session = store.session("a:1")
        older = {"role": "assistant", "content": None}
        turns = await session.extend(
            [
                {"role": "developer", "content": "Be kind."},
                {"role": "user", "content": "q"},
                returned("anthropic", "object"),
                {"role": "tool", "tool_call_id": "toolu_1", "content": "yes"},
                {"role": "tool", "tool_call_id": "toolu_2", "content": "noon"},
                {**older, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "1"},
                {"role": "assistant", "content": "Done.", "mine": 1, "reasoning_content": "…"},
            ]
        )
        window: Any = await session.get_history(shape="anthropic")
        plain = await session.get_history()
    assert [turn.role for turn in turns[:2]] == ["system", "user"]
    assert turns[-1].extra == {"mine": 1}
    assert window["messages"][1]["content"] == ANTHROPIC["content"]
    assert turns[2].usage[0].output == 33
    assert plain[-1]["reasoning_content"] == "…"
    assert check_messages(plain) == []


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values in JSON data."""
    inner = [*value.items()] if isinstance(value, dict) else []
    inner += enumerate(value) if isinstance(value, list) else []
    return [path, *(deeper for key, one in inner for deeper in places(one, (*path, key)))]


@EVERY_ANSWER
@pytest.mark.parametrize("junk", [7, [7], {"type": []}], ids=str)
async def test_no_odd_value_in_a_message_raises_after_the_model_was_paid(
    shape: str, junk: Any
) -> None:
    outside = {"choices", "message", "output", "content", "candidates", "parts", "role", 0}
    async with SessionStore("memory:") as store:
        for path in places(ANSWERS[shape][0]):
            if {*path} <= outside:
                continue  # what is left would be no answer
            damaged = copy.deepcopy(ANSWERS[shape][0])
            inner: Any = damaged
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = junk
            session = store.session("t:" + "/".join(map(str, path)))
            await session.append("user", "q")
            async with session.reply() as reply:
                reply.add(damaged)
                reply.add_text("It rains.")
            for one in ANSWERS:
                await session.get_history(shape=one)  # type: ignore[call-overload]
