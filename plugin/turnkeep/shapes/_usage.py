"""The tokens of a response, as each API counts them.

- OpenAI's `prompt_tokens` and `input_tokens` include the cached ones, and `completion_tokens`
  and `output_tokens` the reasoning.
- Anthropic's `input_tokens` leave out what was read from the cache or written to it. Its fields
  also leave out what a compaction and an advisor used; `iterations` has these calls.
- Google's `prompt_token_count` includes the cached ones, and `candidates_token_count` leaves out
  the thoughts; the tokens of its own tools' results are counted apart.
- Some servers of the chat-completions API, such as Google's and xAI's, leave the thoughts out of
  `completion_tokens` and have them in `total_tokens` alone. LiteLLM adds Anthropic's fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ._common import as_fields, mapping_or_empty


class Tokens(NamedTuple):
    """The tokens of one response; `Usage` documents each."""

    model: str
    input: int
    cached: int
    cache_written: int
    output: int
    reasoning: int


_APART: Final = ("compaction", "advisor_message")


def tokens_of(response: Mapping[str, Any]) -> list[Tokens]:
    """Return the tokens of each call that a response tells of, which may be none."""
    model = response.get("model", response.get("model_version", response.get("modelVersion")))
    name = model if isinstance(model, str) else ""
    google = as_fields(response.get("usage_metadata", response.get("usageMetadata")))
    if isinstance(google, Mapping):
        return [_google(name, google)]
    usage = mapping_or_empty(as_fields(response.get("usage")))
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        return [_openai(name, usage, "prompt", "completion")]
    if usage.keys() & {"cache_read_input_tokens", "cache_creation_input_tokens", "iterations"}:
        return [_anthropic(name, usage), *_iterations(name, usage)]
    if "input_tokens" in usage or "output_tokens" in usage:
        return [_openai(name, usage, "input", "output")]
    return []


def _count(fields: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = fields.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            return int(value)
    return 0


def _openai(model: str, usage: Mapping[str, Any], asked: str, said: str) -> Tokens:
    prompt = mapping_or_empty(as_fields(usage.get(f"{asked}_tokens_details")))
    answer = mapping_or_empty(as_fields(usage.get(f"{said}_tokens_details")))
    input, output = _count(usage, f"{asked}_tokens"), _count(usage, f"{said}_tokens")
    left_out = max(0, _count(usage, "total_tokens") - input - output)
    of_cache = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
    return Tokens(
        model,
        input,
        _count(prompt, "cached_tokens") or _count(usage, *of_cache),
        _count(prompt, "cache_write_tokens") or _count(usage, "cache_creation_input_tokens"),
        output + left_out,
        _count(answer, "reasoning_tokens", "thinking_tokens") or left_out,
    )


def _anthropic(model: str, usage: Mapping[str, Any]) -> Tokens:
    cached = _count(usage, "cache_read_input_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    thoughts = mapping_or_empty(as_fields(usage.get("output_tokens_details")))
    return Tokens(
        model,
        _count(usage, "input_tokens") + cached + written,
        cached,
        written,
        _count(usage, "output_tokens"),
        _count(thoughts, "thinking_tokens", "reasoning_tokens"),
    )


def _iterations(model: str, usage: Mapping[str, Any]) -> list[Tokens]:
    """Return the tokens of the calls that the fields of the response leave out."""
    found = usage.get("iterations")
    made: list[Tokens] = []
    for one in found if isinstance(found, (list, tuple)) else ():
        call = mapping_or_empty(as_fields(one))
        if call.get("type") in _APART:
            name = call.get("model")
            made.append(_anthropic(name if isinstance(name, str) else model, call))
    return made


def _google(model: str, usage: Mapping[str, Any]) -> Tokens:
    thoughts = _count(usage, "thoughts_token_count", "thoughtsTokenCount")
    tools = _count(usage, "tool_use_prompt_token_count", "toolUsePromptTokenCount")
    return Tokens(
        model,
        _count(usage, "prompt_token_count", "promptTokenCount") + tools,
        _count(usage, "cached_content_token_count", "cachedContentTokenCount"),
        0,
        _count(usage, "candidates_token_count", "candidatesTokenCount") + thoughts,
        thoughts,
    )
