"""The tokens of a response, as each API counts them.

- OpenAI's `prompt_tokens` and `input_tokens` include the cached ones, and `completion_tokens`
  and `output_tokens` the reasoning.
- Anthropic's `input_tokens` leave out what was read from the cache or written to it.
- Google's `prompt_token_count` includes the cached ones, and `candidates_token_count` leaves out
  the thoughts; the tokens of its own tools' results are counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ._common import as_fields, mapping_or_empty


class Tokens(NamedTuple):
    """The tokens of one response; `Usage` documents each."""

    model: str
    input: int
    cached: int
    cache_written: int
    output: int
    reasoning: int


def tokens_of(response: Mapping[str, Any]) -> Tokens | None:
    """Return the tokens of a response, or None if it does not tell."""
    model = response.get("model", response.get("model_version", response.get("modelVersion")))
    name = model if isinstance(model, str) else ""
    google = as_fields(response.get("usage_metadata", response.get("usageMetadata")))
    if isinstance(google, Mapping):
        return _google(name, google)
    usage = mapping_or_empty(as_fields(response.get("usage")))
    if not usage:
        return None
    if "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage:
        return _anthropic(name, usage)
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        return _openai(name, usage, "prompt", "completion")
    if "input_tokens" not in usage and "output_tokens" not in usage:
        return None
    return _openai(name, usage, "input", "output")


def _count(fields: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return 0


def _openai(model: str, usage: Mapping[str, Any], asked: str, said: str) -> Tokens:
    prompt = mapping_or_empty(as_fields(usage.get(f"{asked}_tokens_details")))
    answer = mapping_or_empty(as_fields(usage.get(f"{said}_tokens_details")))
    return Tokens(
        model,
        _count(usage, f"{asked}_tokens"),
        _count(prompt, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens"),
        _count(prompt, "cache_write_tokens"),
        _count(usage, f"{said}_tokens"),
        _count(answer, "reasoning_tokens"),
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
