"""`get_history(shape=…)`: the same window as each provider's API takes it."""

from __future__ import annotations

from typing import Any

import pytest

from turnkeep import Session, WindowError
from turnkeep.shapes import to_shape

pytestmark = pytest.mark.anyio

SHAPES = ["openai", "responses", "anthropic", "google"]
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@pytest.fixture
async def talked(session: Session) -> Session:
    await session.append("user", "What is there?", name="Ada")
    await session.append("assistant", "I look.", tool_calls=[CALL])
    await session.append("tool", "a cat", tool_call_id="c1")
    await session.append("assistant", "A cat.", extra={"reasoning_content": "hm"})
    await session.append("user", "And now?")
    return session


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_window_comes_in_the_shape_that_is_asked_for(talked: Session, shape: Any) -> None:
    messages = await talked.get_history(4)
    assert await talked.get_history(4, shape=shape) == to_shape(messages, shape)


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_replys_window_does_too(talked: Session, shape: Any) -> None:
    async with talked.reply() as reply:
        reply.add_text("A dog.")
        messages = await reply.get_history()
        assert messages[-1]["content"] == "A dog."
        assert await reply.get_history(shape=shape) == to_shape(messages, shape)


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_session_without_turns_is_an_empty_window_in_every_shape(
    session: Session, shape: Any
) -> None:
    assert await session.get_history(shape=shape) == to_shape([], shape)


@pytest.mark.parametrize("shape", ["gpt", None, 7, ["openai"]])
async def test_an_unknown_shape_is_an_error_that_names_the_session(
    session: Session, shape: Any
) -> None:
    with pytest.raises(WindowError, match=r"^session telegram:12345: unknown shape .*'anthropic'"):
        await session.get_history(shape=shape)


async def test_thoughts_are_carried_to_the_api_that_they_are_from(session: Session) -> None:
    thought = {"type": "thinking", "thinking": "A cat?", "signature": "x"}
    await session.append("user", "What is there?")
    await session.append("assistant", "A cat.", extra={"thinking_blocks": [thought]})
    window = await session.get_history(shape="anthropic", extra=["thinking_blocks"])
    assert window["messages"][1]["content"] == [thought, {"type": "text", "text": "A cat."}]
    plain = await session.get_history(shape="anthropic")
    assert plain["messages"][1]["content"] == [{"type": "text", "text": "A cat."}]


async def test_an_option_that_there_is_not_is_a_type_error(session: Session) -> None:
    options: dict[str, Any] = {"max_token": 7}
    with pytest.raises(TypeError, match="max_token"):
        await session.get_history(**options)
