"""pydantic-ai's agent runs over turnkeep as it runs over its own list of messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from openai import AsyncOpenAI
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.messages import (
    AudioUrl,
    BinaryContent,
    CachePoint,
    CompactionPart,
    DocumentUrl,
    FilePart,
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import RequestUsage

from emulators.openai import last_user_text
from emulators.openai_responses import ResponsesEmulator
from emulators.openai_rules import Json
from interop.weather import as_items, as_message
from turnkeep import InvalidTurnError, SessionStore, Usage, check_messages
from turnkeep.interop.pydantic_ai import MessageHistory

PNG = b"\x89PNG\r\n\x1a\n"
THINKING = OpenAIModelProfile(
    openai_chat_thinking_field="reasoning_content", openai_chat_send_back_thinking_parts="field"
)


class InMemory:
    """pydantic-ai's own way: a list."""

    def __init__(self) -> None:
        self.kept: list[ModelMessage] = []

    async def messages(self) -> list[ModelMessage]:
        return self.kept

    async def add(self, messages: Sequence[ModelMessage]) -> None:
        self.kept = [*self.kept, *messages]


def items(given: list[Json], body: Json) -> list[Json]:
    return as_items(given, "Ulm", "Atlantis", encrypted_content="b3BhcXVl")


def message(given: list[Json]) -> Json:
    is_done = given[-1]["role"] == "tool"
    thought = "done" if is_done else last_user_text(given)
    return {**as_message(given, "Ulm", "Atlantis"), "reasoning_content": thought}


@asynccontextmanager
async def serving(api: str) -> AsyncIterator[tuple[ResponsesEmulator, Agent]]:
    async with (
        ResponsesEmulator(items, respond=message, thinking=True) as server,
        AsyncOpenAI(api_key="test", base_url=server.url, max_retries=0) as client,
    ):
        provider = OpenAIProvider(openai_client=client)
        model: Any = OpenAIResponsesModel("emulated-model", provider=provider)
        if api == "chat":
            model = OpenAIChatModel("emulated-model", provider=provider, profile=THINKING)
        agent = Agent(model, system_prompt="Be kind.", instructions="Be brief.")

        @agent.tool_plain(retries=3)
        def weather(city: str) -> dict[str, Any]:
            if city == "Atlantis":
                raise ModelRetry("There is no such city.")
            return {"city": city, "degrees": 21}

        yield server, agent


async def three_runs(api: str, history: Any) -> tuple[list[Any], list[str]]:
    async with serving(api) as (server, agent):
        first = await agent.run("How warm is it?", message_history=await history.messages())
        await history.add(first.new_messages())
        async with agent.run_stream("And now?", message_history=await history.messages()) as ran:
            second = await ran.get_output()
        await history.add(ran.new_messages())
        shown: list[Any] = ["And here?", BinaryContent(PNG, media_type="image/png")]
        last = await agent.run(shown, message_history=await history.messages())
        await history.add(last.new_messages())
        assert server.rejections == []
        return [one.messages for one in server.requests], [first.output, second, last.output]


def through_the_adapter(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """What pydantic-ai's own serialization keeps."""
    dumped = ModelMessagesTypeAdapter.dump_json([*messages])
    return ModelMessagesTypeAdapter.validate_json(dumped)


@pytest.mark.asyncio
@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_the_model_gets_the_same_requests_as_over_the_frameworks_own_list(
    storage: str, api: str
) -> None:
    own = InMemory()
    theirs = await three_runs(api, own)
    async with SessionStore(storage, inline_media="keep") as store:
        session = store.session("telegram:1")
        ours = await three_runs(api, MessageHistory(session))
        assert ours == theirs
        assert len(ours[0]) == 6
        kept = await MessageHistory(store.session("telegram:1")).messages()
        assert [type(one) for one in kept] == [type(one) for one in own.kept]
        window = await session.get_history()
        assert check_messages(window) == []
        assert window[-1]["content"] == "answer 3"
        assert [m["role"] for m in window[:5]] == ["user", "assistant", "tool", "tool", "assistant"]
        assert (await session.usage()).calls == 6


ALL_SORTS: list[ModelMessage] = [
    ModelRequest(
        [
            SystemPromptPart("Be kind.", dynamic_ref="x"),
            UserPromptPart(
                [
                    "see",
                    TextContent("noted", metadata={"a": 1}),
                    BinaryContent(PNG, media_type="image/png", vendor_metadata={"detail": "low"}),
                    BinaryContent(b"%PDF", media_type="application/pdf"),
                    CachePoint(),
                    ImageUrl("https://example.org/a.png", force_download=True),
                    DocumentUrl("https://example.org/a.pdf"),
                    AudioUrl("https://example.org/a.mp3"),
                ]
            ),
        ],
        instructions="Be brief.",
        run_id="run",
        conversation_id="talk",
        metadata={"mine": [None, 1]},
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
    ),
    ModelResponse(
        [
            ThinkingPart("hm", id="rs", signature="c2ln", provider_name="openai"),
            ThinkingPart("", signature="cmVkYWN0ZWQ="),
            TextPart("I look.", id="msg", provider_details={"phase": None}),
            NativeToolCallPart("web_search", {"query": "Ulm"}, "ws"),
            NativeToolReturnPart("web_search", {"hits": [None]}, "ws", provider_name="openai"),
            ToolCallPart("f", {"a": None}, "c1", provider_details={"thought_signature": "eA=="}),
            TextPart("And more."),
            ToolCallPart("g", "{not json", "c2", id="fc"),
            FilePart(BinaryContent(PNG, media_type="image/png")),
            CompactionPart("opaque", id="cmp", provider_name="anthropic"),
        ],
        usage=RequestUsage(input_tokens=9, cache_read_tokens=4, output_tokens=3, details={"x": 1}),
        model_name="m",
        provider_name="openai",
        provider_url="https://api",
        provider_details={"finish_reason": "tool_calls"},
        provider_response_id="resp",
        finish_reason="tool_call",
        timestamp=datetime(2026, 1, 2, tzinfo=UTC),
        metadata={"theirs": True},
    ),
    ModelRequest(
        [
            ToolReturnPart("f", {"degrees": 21}, "c1", metadata={"kept": "for me"}),
            ToolReturnPart("g", "bad arguments", "c2", outcome="failed"),
            UserPromptPart("and?"),
        ]
    ),
    ModelResponse([TextPart("Done.")], usage=RequestUsage(input_tokens=5, output_tokens=1)),
    ModelResponse([]),
    ModelRequest([UserPromptPart("")]),
]


@pytest.mark.asyncio
async def test_everything_comes_back_that_the_frameworks_own_adapter_keeps(storage: str) -> None:
    async with SessionStore(storage, inline_media="keep") as store:
        session = store.session("telegram:1")
        await MessageHistory(session).add(ALL_SORTS)
        kept = await MessageHistory(store.session("telegram:1")).messages()
        assert kept == through_the_adapter(ALL_SORTS)
        dump = ModelMessagesTypeAdapter.dump_json
        assert dump(kept) == dump(through_the_adapter(ALL_SORTS))
        assert check_messages(await session.get_history()) == []
        assert (await session.usage()).models["m"] == Usage("m", input=9, cached=4, output=3)
        turns = [turn async for turn in session.turns()]
        assert turns[2].time == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.asyncio
async def test_a_picture_follows_the_rule_of_the_store() -> None:
    async with SessionStore("memory:") as store:
        history = MessageHistory(store.session("a:1"))
        with pytest.raises(InvalidTurnError, match="inline_media"):
            await history.add([ModelRequest([UserPromptPart("before")]), ALL_SORTS[0]])
        assert await history.messages() == []


@pytest.mark.asyncio
async def test_in_a_handler_the_message_in_hand_is_sent_and_stored_once() -> None:
    async with SessionStore("memory:") as store, serving("chat") as (server, agent):
        chat = store.session("telegram:1")
        for text in ("one", "two"):
            bound = await chat.receive(text)
            history = MessageHistory(bound)
            ran = await agent.run(text, message_history=await history.messages())
            await history.add(ran.new_messages())
            assert bound.already_answered
        said = [turn.text async for turn in chat.turns() if turn.role == "user"]
        assert said == ["one", "two"]
        assert server.rejections == []
        sent = [one["content"] for one in server.requests[-1].messages if one["role"] == "user"]
        assert sent == ["one", "two"]
        await history.clear()
        assert await MessageHistory(chat).messages() == []


async def folded(messages: list[Any]) -> str:
    return "They spoke of Ulm."


@pytest.mark.asyncio
async def test_turns_of_others_and_a_summary_come_as_messages() -> None:
    async with SessionStore("memory:") as store, serving("chat") as (server, agent):
        chat = store.session("telegram:1")
        for role, text in [("user", "old"), ("assistant", "older"), ("user", "How warm?")]:
            await chat.append(role, text)
        await chat.consolidate(folded, keep=1)
        function = {"name": "weather", "arguments": '{"city": "Ulm"}'}
        await chat.append("assistant", tool_calls=[{"id": "c", "function": function}])
        await chat.append("tool", "21", tool_call_id="c")
        await chat.append("assistant", "It is warm.")
        history = MessageHistory(chat)
        messages = await history.messages()
        assert [type(part).__name__ for one in messages for part in one.parts] == [
            "UserPromptPart",
            "UserPromptPart",
            "ToolCallPart",
            "ToolReturnPart",
            "TextPart",
        ]
        assert "They spoke of Ulm." in str(messages[0])
        server.thinking = False  # its model did not say these
        server.respond = lambda _: "yes"
        assert (await agent.run("And now?", message_history=messages)).output == "yes"
        assert server.rejections == []


@pytest.mark.asyncio
async def test_an_edit_reaches_the_model_and_its_old_words_do_not() -> None:
    async with SessionStore("memory:", inline_media="keep") as store:
        session = store.session("a:1")
        await MessageHistory(session).add(ALL_SORTS)
        async for turn in session.turns():
            if turn.text:
                await session.edit(turn, "harmless")
        messages = str(await MessageHistory(session).messages())
        for gone in ("see", "I look.", "bad arguments", "Done.", "iVBORw"):
            assert gone not in messages
        assert "harmless" in messages
