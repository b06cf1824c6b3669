"""The ids of calls in a window: short enough, unique in it, and Mistral's where asked."""

from __future__ import annotations

from typing import Any

import pytest

from turnkeep import SessionStore, WindowError, check_messages

pytestmark = pytest.mark.anyio

LONG = "x" * 90


def call(id: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


async def asked(ids: list[str], **options: Any) -> list[dict[str, Any]]:
    """The window over an exchange for each id."""
    async with SessionStore("memory:") as store:
        session = store.session("a:1")
        for id in ids:
            await session.append("user", "q")
            async with session.reply() as reply:
                reply.add({"role": "assistant", "content": None, "tool_calls": [call(id)]})
                reply.add_tool_result(id, f"result of {id}")
                reply.add_text("Done.")
        window: list[dict[str, Any]] = await session.get_history(**options)
        return window


def used(messages: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for message in messages for one in message.get("tool_calls", ())]


async def test_ids_have_at_most_40_characters_and_are_unique_in_the_window() -> None:
    given = ["call_0", "call_0", LONG, LONG + "y", LONG, "call_0_2"]
    window = await asked(given)
    ids = used(window)
    assert ids[0] == "call_0"
    assert len({*ids}) == 6
    assert max(map(len, ids)) <= 40
    assert [message["tool_call_id"] for message in window if message["role"] == "tool"] == ids
    assert check_messages(window) == []


async def test_mistrals_ids_are_nine_letters_and_digits() -> None:
    given = ["call_0", "call_0", "abcDEF123", LONG]
    window = await asked(given, id_style="mistral")
    ids = used(window)
    assert ids[2] == "abcDEF123"
    assert len({*ids}) == 4
    assert [message["tool_call_id"] for message in window if message["role"] == "tool"] == ids
    assert check_messages(window[:-1], for_="mistral") == []


async def test_an_unknown_style_is_an_error_that_names_the_known_one() -> None:
    with pytest.raises(WindowError, match="id_style is None or 'mistral'"):
        await asked(["c"], id_style="Mistral")


@pytest.mark.parametrize(
    ("for_", "faults"),
    [
        (None, ["message 5: an earlier call", "message 5: the id"]),
        ("openai", ["message 5: the id", "message 1: the id"]),
        ("anthropic", ["message 5: an earlier call", "message 7: the last message"]),
        ("mistral", ["message 1: the id", "message 5: the id", "message 7: the last message"]),
        ("google", []),
    ],
)
async def test_the_rules_are_the_strictest_or_those_of_one_api(
    for_: Any, faults: list[str]
) -> None:
    async with SessionStore("memory:") as store:
        session = store.session("a:1")
        for _ in range(2):
            await session.append("user", "q")
            await session.append("assistant", tool_calls=[call("c0")])
            await session.append("tool", "1", tool_call_id="c0")
            await session.append("assistant", "Done.")
        messages = await session.get_history()
    for message in messages:
        for one in message.get("tool_calls", ()):
            one["id"] = LONG
        if message["role"] == "tool":
            message["tool_call_id"] = LONG
    found = check_messages(messages, for_=for_)
    assert all(any(fault.startswith(one) for fault in found) for one in faults)
    assert bool(found) == bool(faults)
