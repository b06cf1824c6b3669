"""One odd call or result of a model does not lose the reply: it is stored, and shown legally."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from turnkeep import Media, Session, SessionStore, check_messages

pytestmark = pytest.mark.anyio

NO_IDS = ["", None, "null"]


@dataclass
class Weather:
    degrees: float


class Client:
    """An object of a client's, as pydantic models are."""

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {"degrees": 21}


@pytest.fixture
async def asked() -> AsyncIterator[Session]:
    async with SessionStore("memory:") as store:
        session = store.session("test:1")
        await session.append("user", "What is the weather?")
        yield session


async def results(session: Session) -> list[str]:
    made = await session.get_history()
    assert check_messages(made) == []
    return [message["content"] for message in made if message["role"] == "tool"]


@pytest.mark.parametrize("id", NO_IDS)
async def test_a_call_without_an_id_is_stored_and_answered(asked: Session, id: Any) -> None:
    async with asked.reply() as reply:
        reply.add_tool_call(id, "weather", {"place": "Ulm"})
        reply.add_tool_call(id, "clock", "{}")
        reply.add_tool_result(id, "21°")
        assert len(await reply.get_history()) == 4
        reply.add_tool_result(id, "12:00")
        reply.add_text("It is 21°, at noon.")
    assert await results(asked) == ["21°", "12:00"]


@pytest.mark.parametrize("id", NO_IDS)
async def test_messages_without_ids_of_calls_can_be_extended_with(asked: Session, id: Any) -> None:
    function = {"name": "weather", "arguments": "{}"}
    await asked.extend(
        [
            {"role": "assistant", "tool_calls": [{"id": id, "function": function}]},
            {"role": "tool", "content": "21°", "tool_call_id": id},
            {"role": "assistant", "tool_calls": [{"function": function}]},
            {"role": "tool", "content": "22°"},
        ]
    )
    assert await results(asked) == ["21°", "22°"]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"degrees": 21, "sky": "blü"}, '{"degrees":21,"sky":"blü"}'),
        (21, "21"),
        (21.5, "21.5"),
        (True, "true"),
        ([1, "two"], '[1,"two"]'),
        (["one", "two"], '["one","two"]'),
        ([], "[]"),
        ([{"type": "hotel", "name": "Ritz"}], '[{"type":"hotel","name":"Ritz"}]'),
        ([{"type": "file", "name": "a.txt"}], '[{"type":"file","name":"a.txt"}]'),
        (None, ""),
        ({1: 2**70}, '{"1":1180591620717411303424}'),
        ({"at": datetime(2026, 11, 1, tzinfo=timezone.utc)}, '{"at":"2026-11-01T00:00:00Z"}'),
        ([Decimal("1.50"), {3}], '["1.50",[3]]'),
        (Weather(21.5), '{"degrees":21.5}'),
        ([Weather(21.5)], '[{"degrees":21.5}]'),
        (Client(), '{"degrees":21}'),
        ([Client()], '[{"degrees":21}]'),
        ({"a": "\ud800\0"}, '{"a":"\N{REPLACEMENT CHARACTER}\\u0000"}'),
    ],
)
async def test_a_result_that_is_no_text_becomes_json_text(
    asked: Session, result: Any, text: str
) -> None:
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "weather", "{}")
        reply.add_tool_result("c1", result)
        reply.add_text("Fine.")
    assert await results(asked) == [text]


async def test_content_parts_of_a_result_stay_parts(asked: Session) -> None:
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "draw", "{}")
        reply.add_tool_result("c1", ["Done", Media("photo", file_id="x")])
        reply.add_tool_call("c2", "draw", "{}")
        reply.add_tool_result("c2", [{"type": "text", "text": "Done"}])
    stored = [turn async for turn in asked.turns() if turn.role == "tool"]
    assert [part["type"] for part in stored[0].content or () if isinstance(part, dict)] == [
        "text",
        "media",
    ]
    assert stored[1].content == [{"type": "text", "text": "Done"}]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"place": "Ulm"}, {"place": "Ulm"}),
        ('{"place": "Ulm"}', {"place": "Ulm"}),
        ('{"place": ', {"arguments": '{"place": '}),
        (None, {}),
        ("", {}),
        ({"big": 2**70}, {"big": 2**70}),
        ([1], {"arguments": "[1]"}),
    ],
)
async def test_arguments_of_any_kind_are_sent_as_a_json_object(
    asked: Session, arguments: Any, sent: dict[str, Any]
) -> None:
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "weather", arguments)
        reply.add_tool_result("c1", "21°")
    made = await asked.get_history()
    assert check_messages(made) == []
    (call,) = made[1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == sent


async def test_a_pending_result_is_replaced_by_the_one_that_comes_later(asked: Session) -> None:
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "order", "{}")
        reply.add_tool_result("c1", "pending")
        reply.add_text("I have ordered it.")
    await asked.append("user", "And?")
    await asked.append("tool", "done", tool_call_id="c1")
    assert await results(asked) == ["done"]
    first = await asked.get_history(results="first")
    assert [message["content"] for message in first if message["role"] == "tool"] == ["pending"]
