"""The tokens that real responses told of, and what they add up to.

The figures are those of responses which others have recorded from the APIs: github.com/pydantic/
pydantic-ai, under tests/models/cassettes, in the files that are named beside them. What the models
said is left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from anthropic.types.beta import BetaMessage
from google.genai import types as google
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from turnkeep import Session, SessionStore, Usage, build_window

pytestmark = pytest.mark.anyio


class Recorded(NamedTuple):
    """A response's file and interaction, its API and model, and the usage it told of."""

    file: str
    api: str
    model: str
    usage: dict[str, Any]


TOKENS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def iteration(kind: str, *tokens: int, **more: str) -> dict[str, Any]:
    return {"type": kind, **dict(zip(TOKENS, tokens, strict=True)), **more}


RECORDED = [
    Recorded(
        "test_openai/test_audio_as_binary_content_input.yaml, 1",
        "openai",
        "gpt-4o-audio-preview-2024-12-17",
        {
            "completion_tokens": 9,
            "completion_tokens_details": {"audio_tokens": 0, "reasoning_tokens": 0},
            "prompt_tokens": 64,
            "prompt_tokens_details": {"audio_tokens": 44, "cached_tokens": 0},
            "total_tokens": 73,
        },
    ),
    Recorded(
        "test_openai/test_max_completion_tokens[o3-mini].yaml, 1",
        "openai",
        "o3-mini-2025-01-31",
        {
            "completion_tokens": 87,
            "completion_tokens_details": {"audio_tokens": 0, "reasoning_tokens": 64},
            "prompt_tokens": 7,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
            "total_tokens": 94,
        },
    ),
    Recorded(
        "test_openai/test_multiple_agent_tool_calls.yaml, 3",
        "openai",
        "gpt-4o-mini-2024-07-18",
        {
            "completion_tokens": 15,
            "completion_tokens_details": {"audio_tokens": 0, "reasoning_tokens": 0},
            "prompt_tokens": 104,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
            "total_tokens": 119,
        },
    ),
    # Google's own endpoint of this API has the thoughts in the total alone.
    Recorded(
        "test_openai/test_compatible_api_with_tool_calls_without_id.yaml, 1",
        "openai",
        "gemini-2.5-pro",
        {"completion_tokens": 12, "prompt_tokens": 35, "total_tokens": 126},
    ),
    Recorded(
        "test_deepseek/test_deepseek_model_thinking_part.yaml, 1",
        "openai",
        "deepseek-reasoner",
        {
            "completion_tokens": 789,
            "completion_tokens_details": {"reasoning_tokens": 415},
            "prompt_cache_hit_tokens": 0,
            "prompt_cache_miss_tokens": 12,
            "prompt_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 0},
            "total_tokens": 801,
        },
    ),
    Recorded(
        "test_openrouter/test_openrouter_usage.yaml, 1",
        "openai",
        "openai/gpt-5-mini",
        {
            "completion_tokens": 1763,
            "completion_tokens_details": {"image_tokens": 0, "reasoning_tokens": 832},
            "cost": 0.00353025,
            "is_byok": False,
            "prompt_tokens": 17,
            "prompt_tokens_details": {"cached_tokens": 0},
            "total_tokens": 1780,
        },
    ),
    Recorded(
        "test_openai_responses/test_openai_responses_model_thinking_part.yaml, 2",
        "responses",
        "gpt-5-2025-08-07",
        {
            "input_tokens": 314,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 2737,
            "output_tokens_details": {"reasoning_tokens": 2112},
            "total_tokens": 3051,
        },
    ),
    Recorded(
        "test_openai_responses/test_openai_responses_model_web_search_tool.yaml, 1",
        "responses",
        "gpt-4o-2024-08-06",
        {
            "input_tokens": 319,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 556,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 875,
        },
    ),
    Recorded(
        "test_openai_responses/"
        "test_openai_responses_gpt_5_6_minimal_thinking_uses_low_effort.yaml, 1",
        "responses",
        "gpt-5.6-sol",
        {
            "input_tokens": 18,
            "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 23,
        },
    ),
    Recorded(
        "test_anthropic/test_anthropic_cache_messages_real_api.yaml, 1",
        "anthropic",
        "claude-sonnet-4-5-20250929",
        {
            "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 1111},
            "cache_creation_input_tokens": 1111,
            "cache_read_input_tokens": 0,
            "input_tokens": 3,
            "output_tokens": 391,
            "service_tier": "standard",
        },
    ),
    Recorded(
        "test_anthropic/test_anthropic_cache_messages_real_api.yaml, 2",
        "anthropic",
        "claude-sonnet-4-5-20250929",
        {
            "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 403},
            "cache_creation_input_tokens": 403,
            "cache_read_input_tokens": 1111,
            "input_tokens": 3,
            "output_tokens": 33,
            "service_tier": "standard",
        },
    ),
    # The end of a stream, whose counts are cumulative.
    Recorded(
        "test_anthropic/test_anthropic_model_thinking_part_stream.yaml, 1",
        "anthropic",
        "claude-sonnet-4-20250514",
        {
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "input_tokens": 43,
            "output_tokens": 277,
        },
    ),
    # A compaction and an advisor are calls of their own, which the other fields leave out.
    Recorded(
        "test_anthropic/test_anthropic_compaction_usage_with_cache.yaml, 1",
        "anthropic",
        "claude-sonnet-4-6",
        {
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "input_tokens": 180,
            "iterations": [
                iteration("compaction", 100, 55096, 0, 82),
                iteration("message", 180, 0, 0, 8),
            ],
            "output_tokens": 8,
        },
    ),
    Recorded(
        "test_anthropic/test_anthropic_advisor_tool.yaml, 1",
        "anthropic",
        "claude-sonnet-5",
        {
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "input_tokens": 2390,
            "iterations": [
                iteration("message", 1128, 0, 0, 110),
                iteration("advisor_message", 2518, 0, 0, 22, model="claude-opus-4-8"),
                iteration("message", 1262, 0, 0, 11),
            ],
            "output_tokens": 121,
            "output_tokens_details": {"thinking_tokens": 28},
        },
    ),
    Recorded(
        "test_google/test_google_model_code_execution_tool.yaml, 1",
        "google",
        "gemini-2.5-pro",
        {
            "candidatesTokenCount": 75,
            "promptTokenCount": 15,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 15}],
            "thoughtsTokenCount": 343,
            "toolUsePromptTokenCount": 429,
            "totalTokenCount": 862,
        },
    ),
    Recorded(
        "test_google/test_google_model_code_execution_tool.yaml, 2",
        "google",
        "gemini-2.5-pro",
        {
            "candidatesTokenCount": 22,
            "promptTokenCount": 39,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 39}],
            "thoughtsTokenCount": 255,
            "totalTokenCount": 316,
        },
    ),
    # The last piece of a stream.
    Recorded(
        "test_google/test_google_stream_usage_is_live_mid_stream.yaml, 1",
        "google",
        "gemini-2.5-flash",
        {
            "promptTokenCount": 18,
            "candidatesTokenCount": 80,
            "totalTokenCount": 133,
            "thoughtsTokenCount": 35,
        },
    ),
    Recorded(
        "test_google/test_google_model_youtube_video_url_input.yaml, 1",
        "google",
        "gemini-2.5-flash",
        {
            "candidatesTokenCount": 100,
            "promptTokenCount": 17713,
            "thoughtsTokenCount": 1176,
            "totalTokenCount": 18989,
        },
    ),
]


def total_of(recorded: Recorded) -> int:
    """The sum that the API itself tells, or that of the calls which it lists."""
    usage = recorded.usage
    if recorded.api != "anthropic":
        total: int = usage["totalTokenCount" if recorded.api == "google" else "total_tokens"]
        return total
    return sum(one[name] for one in usage.get("iterations", [usage]) for name in TOKENS)


def response_of(recorded: Recorded, form: str) -> Any:
    """The response with a short text, as a dict or as the object of the API's own package."""
    model, usage = recorded.model, recorded.usage
    text = {"type": "text", "text": "Yes."}
    part = {"type": "output_text", "text": "Yes.", "annotations": []}
    message = {"role": "assistant", "content": "Yes."}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    said = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    content = {"role": "model", "parts": [{"text": "Yes."}]}
    apis: dict[str, dict[str, Any]] = {
        "openai": {"choices": [choice], "object": "chat.completion", "created": 1},
        "responses": {"output": [{**said, "content": [part]}], "object": "response"},
        "anthropic": {"type": "message", "role": "assistant", "content": [text]},
        "google": {"modelVersion": model, "candidates": [{"content": content}]},
    }
    fields = apis[recorded.api]
    if recorded.api == "google":
        fields["usageMetadata"] = usage
    else:
        fields |= {"id": "1", "model": model, "usage": usage}
    if form == "dict":
        return fields
    package: Any = {
        "openai": ChatCompletion.construct,
        "responses": Response.construct,
        "anthropic": BetaMessage.construct,
        "google": google.GenerateContentResponse.model_validate,
    }[recorded.api]
    made = package(fields) if recorded.api == "google" else package(**fields)
    return made if form == "object" else made.model_dump()


def spent(usage: Usage) -> int:
    return usage.input + usage.output


async def filled(store: SessionStore, form: str) -> Session:
    session = store.session("a:1")
    for recorded in RECORDED:
        await session.append("user", "q")
        async with session.reply() as reply:
            reply.add(response_of(recorded, form))
    return session


@pytest.mark.parametrize("form", ["dict", "object", "dump"])
async def test_totals_equal_an_independent_sum_to_the_token_on_recorded_real_responses(
    store: SessionStore, form: str
) -> None:
    session = await filled(store, form)
    total = (await session.usage()).total
    assert spent(total) == sum(map(total_of, RECORDED))
    # What of it was cached, written to a cache, and thought, read off the files by hand.
    assert (total.cached, total.cache_written) == (1111, 1111 + 403 + 55096)
    thoughts = 64 + (126 - 12 - 35) + 415 + 832 + 2112 + 28 + 343 + 255 + 35 + 1176
    assert total.reasoning == thoughts


async def test_each_models_total_is_what_its_responses_told(store: SessionStore) -> None:
    session = await filled(store, "object")
    expected: dict[str, int] = {}
    for recorded in RECORDED:
        expected[recorded.model] = expected.get(recorded.model, 0) + total_of(recorded)
    expected["claude-sonnet-5"] -= 2518 + 22
    expected["claude-opus-4-8"] = 2518 + 22
    models = (await session.usage()).models
    assert {name: spent(usage) for name, usage in models.items()} == expected


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda one: one.file)
async def test_a_response_that_is_told_apart_costs_the_same(
    store: SessionStore, recorded: Recorded
) -> None:
    session = store.session("a:1")
    await session.append("user", "q")
    async with session.reply() as reply:
        reply.add_text("Yes.")
        reply.usage(response_of(recorded, "object"))
    assert sum(map(spent, reply.turns[0].usage)) == total_of(recorded)
    await session.extend([{"role": "user", "content": "q"}, response_of(recorded, "object")])
    assert spent((await session.usage()).total) == 2 * total_of(recorded)
    answer = response_of(recorded, "dump")
    (_, turn) = build_window([{"role": "user", "content": "q"}, answer]).turns
    assert sum(map(spent, turn.usage)) == total_of(recorded)


async def test_litellms_fields_of_two_apis_are_those_of_one_call(store: SessionStore) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "total_tokens": 110,
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 30,
    }
    session = store.session("a:1")
    await session.append("user", "q")
    async with session.reply() as reply:
        reply.add(response_of(Recorded("", "openai", "claude", usage), "dict"))
    assert reply.turns[0].usage == (Usage("claude", 100, 60, 30, 10),)
