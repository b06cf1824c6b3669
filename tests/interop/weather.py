"""A model that asks for the weather in several cities at once, and then answers."""

from __future__ import annotations

from emulators.openai_rules import Json

__all__ = ["as_items", "as_message"]


def as_items(given: list[Json], *cities: str, **thought: str) -> list[Json]:
    """Return the items of the Responses API: the calls after a thought, or the answer."""
    asked = sum(item.get("role") == "user" for item in given)
    summary = [{"type": "summary_text", "text": "hm"}]
    first: Json = {"type": "reasoning", "summary": summary, **thought}
    if given[-1].get("type") == "function_call_output":
        part = {"type": "output_text", "text": f"answer {asked}", "annotations": []}
        return [first, {"type": "message", "role": "assistant", "content": [part]}]
    calls = [
        {"type": "function_call", "call_id": f"c{asked}{n}", **_weather_in(city)}
        for n, city in enumerate(cities)
    ]
    return [first, *calls]


def as_message(given: list[Json], *cities: str) -> Json:
    """Return the same as a chat-completions message, without the thought."""
    asked = sum(one["role"] == "user" for one in given)
    if given[-1]["role"] == "tool":
        return {"content": f"answer {asked}"}
    calls = [
        {"id": f"c{asked}{n}", "type": "function", "function": _weather_in(city)}
        for n, city in enumerate(cities)
    ]
    return {"content": None, "tool_calls": calls}


def _weather_in(city: str) -> Json:
    return {"name": "weather", "arguments": f'{{"city": "{city}"}}'}
