"""LangChain's runnables run over turnkeep as they run over their own list of messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from langchain_core.chat_history import BaseChatMessageHistory, InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    message_chunk_to_message,
)
from langchain_core.runnables import Runnable, RunnableLambda, RunnableWithMessageHistory
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from emulators.openai import last_user_text
from emulators.openai_responses import ResponsesEmulator
from emulators.openai_rules import Json
from interop.weather import as_items, as_message
from turnkeep import InvalidTurnError, SessionStore, UnsupportedError, Usage, check_messages
from turnkeep.interop.langchain import ChatHistory

# It is LangChain's own loop over a history; LangGraph's is a checkpoint of a graph.
pytestmark = pytest.mark.filterwarnings(
    "ignore:RunnableWithMessageHistory is deprecated",
    "ignore:The class `InMemoryChatMessageHistory` was deprecated",
)

PICTURE = "data:image/png;base64,iVBORw0KGgo="


@tool(response_format="content_and_artifact")
def weather(city: str) -> tuple[str, list[Document]]:
    """Tell the weather."""
    return f"21 degrees in {city}", [Document(city, metadata={"source": 1}, id="7")]


def items(given: list[Json], body: Json) -> list[Json]:
    return as_items(given, "Ulm", "Bonn")


def message(given: list[Json]) -> Json:
    return as_message(given, "Ulm", "Bonn")


@asynccontextmanager
async def serving(api: str) -> AsyncIterator[tuple[ResponsesEmulator, Runnable[Any, Any]]]:
    """A server, and an agent's loop over LangChain's client of it."""
    async with ResponsesEmulator(items, respond=message) as server:
        model = ChatOpenAI(
            model="emulated-model",
            api_key="test",  # type: ignore[arg-type]
            base_url=server.url,
            use_responses_api=api == "responses",
            max_retries=0,
        ).bind_tools([weather])

        async def loop(messages: list[BaseMessage]) -> list[BaseMessage]:
            new: list[BaseMessage] = []
            while True:
                answer: Any = None
                async for piece in model.astream([*messages, *new]):
                    answer = piece if answer is None else answer + piece
                said = message_chunk_to_message(answer)
                assert isinstance(said, AIMessage)
                new.append(said)
                if not said.tool_calls:
                    return new
                new += [await weather.ainvoke(call) for call in said.tool_calls]

        yield server, RunnableLambda(loop)


async def three_runs(api: str, history: BaseChatMessageHistory) -> tuple[list[Any], list[Any]]:
    async with serving(api) as (server, agent):
        chain = RunnableWithMessageHistory(agent, lambda _: history)
        config: Any = {"configurable": {"session_id": "any"}}
        answers = []
        picture = {"type": "image_url", "image_url": {"url": PICTURE}}
        shown: list[Any] = [{"type": "text", "text": "And here?"}, picture]
        for asked in (HumanMessage("How warm?"), HumanMessage("Now?"), HumanMessage(shown)):
            said = await chain.ainvoke([asked], config)
            answers.append(said[-1].text)
        assert server.rejections == []
        return [one.messages for one in server.requests], answers


def without_ids(messages: list[BaseMessage]) -> list[BaseMessage]:
    """LangChain makes ids of its own up for each run."""
    return [one.model_copy(update={"id": None}) for one in messages]


@pytest.mark.asyncio
@pytest.mark.parametrize("api", ["responses", "chat"])
async def test_the_model_gets_the_same_requests_as_over_the_frameworks_own_history(
    storage: str, api: str
) -> None:
    own = InMemoryChatMessageHistory()
    theirs = await three_runs(api, own)
    async with SessionStore(storage, inline_media="keep") as store:
        session = store.session("telegram:1")
        ours = await three_runs(api, ChatHistory(session))
        assert ours == theirs
        assert len(ours[0]) == 6
        kept = await ChatHistory(store.session("telegram:1")).aget_messages()
        assert [type(one) for one in kept] == [type(one) for one in own.messages]
        assert [one.content for one in kept if one.type == "tool"] == [
            one.content for one in own.messages if one.type == "tool"
        ]
        artifacts = [one.artifact for one in kept if isinstance(one, ToolMessage)]
        assert artifacts[0] == [Document("Ulm", metadata={"source": 1}, id="7")]
        window = await session.get_history()
        assert check_messages(window) == []
        assert window[-1]["content"] == "answer 3"
        assert [m["role"] for m in window[:5]] == ["user", "assistant", "tool", "tool", "assistant"]


ALL_SORTS: list[BaseMessage] = [
    SystemMessage("Be kind.", id="s"),
    HumanMessage("hi", id="h", name="Ada", additional_kwargs={"mine": [None, 1]}),
    HumanMessage(
        [
            {"type": "text", "text": "see"},
            "bare",
            {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
            {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
            {"type": "image", "url": "https://example.org/a.png"},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
            },
            {"type": "file", "base64": "BBBB", "mime_type": "application/pdf"},
            {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "wav"}},
            {"type": "from_next_year", "value": None},
        ]
    ),
    AIMessage(
        [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "text", "text": "I look.", "citations": None},
            {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        ],
        id="a",
        tool_calls=[
            {"name": "f", "args": {"a": 1, "n": None}, "id": "c"},
            {"name": "g", "args": {}, "id": None},
        ],
        invalid_tool_calls=[{"name": "f", "args": "{", "id": "1", "error": "not JSON"}],
        usage_metadata={
            "input_tokens": 10,
            "output_tokens": 2,
            "total_tokens": 12,
            "input_token_details": {"cache_read": 4},
            "output_token_details": {"reasoning": 1},
        },
        response_metadata={"model_name": "m"},
    ),
    ToolMessage(
        "r", tool_call_id="c", id="t", status="error", artifact=[Document("x"), b"\0", {"k": [1]}]
    ),
    ToolMessage([{"type": "text", "text": "r"}], tool_call_id="none"),
    AIMessage("", additional_kwargs={"reasoning_content": "hm"}),
    ChatMessage(content="yo", role="assistant"),
    ChatMessage(content="hey", role="narrator"),
    AIMessage("Done.", id="z"),
]


@pytest.mark.asyncio
async def test_messages_come_back_with_artifacts_and_usage(storage: str) -> None:
    async with SessionStore(storage, inline_media="keep") as store:
        session = store.session("telegram:1")
        await ChatHistory(session).aadd_messages(ALL_SORTS)
        assert await ChatHistory(store.session("telegram:1")).aget_messages() == ALL_SORTS
        assert check_messages(await session.get_history()) == []
        used = Usage("m", input=10, cached=4, output=2, reasoning=1)
        assert (await session.usage()).models == {"m": used}


@pytest.mark.asyncio
async def test_what_is_no_json_in_an_artifact_becomes_text_and_loses_no_answer() -> None:
    async with SessionStore("memory:") as store:
        history = ChatHistory(store.session("a:1"))
        await history.aadd_messages([ToolMessage("r", tool_call_id="c", artifact={1: {2}})])
        (kept,) = await history.aget_messages()
        assert isinstance(kept, ToolMessage)
        assert kept.artifact == {"1": "{2}"}


@pytest.mark.asyncio
async def test_a_streamed_answer_is_kept_as_a_message() -> None:
    async with SessionStore("memory:") as store:
        history = ChatHistory(store.session("a:1"))
        await history.aadd_messages(
            [AIMessageChunk(content="Good "), AIMessageChunk(content="day.")]
        )
        assert [type(one) for one in await history.aget_messages()] == [AIMessage, AIMessage]


@pytest.mark.asyncio
async def test_a_removed_message_is_gone_for_good(storage: str) -> None:
    async with SessionStore(storage, inline_media="keep") as store:
        session = store.session("telegram:1")
        history = ChatHistory(session)
        await history.aadd_messages(ALL_SORTS)
        new = HumanMessage("new", id="n")
        dropped = HumanMessage("never", id="d")
        removed = [RemoveMessage(id="h"), new, dropped, RemoveMessage(id="d")]
        await history.aadd_messages([*removed, RemoveMessage(id="z")])
        left = [one for one in ALL_SORTS if one.id not in ("h", "z")]
        assert await history.aget_messages() == [*left, new]
        assert "hi" not in [turn.text async for turn in session.turns(epoch="all")]

        with pytest.raises(InvalidTurnError, match="there is no message with the id h to remove"):
            await history.aadd_messages([HumanMessage("more"), RemoveMessage(id="h")])
        assert await history.aget_messages() == [*left, new]

        await history.aadd_messages([RemoveMessage(id="__remove_all__"), HumanMessage("fresh")])
        assert [one.content for one in await history.aget_messages()] == ["fresh"]
        await history.aclear()
        assert await history.aget_messages() == []


def test_the_blocking_methods_say_what_to_call_instead() -> None:
    history = ChatHistory(SessionStore("memory:").session("a:1"))
    with pytest.raises(UnsupportedError, match="call aget_messages"):
        _ = history.messages
    with pytest.raises(UnsupportedError, match="call aadd_messages"):
        history.add_user_message("hi")
    with pytest.raises(UnsupportedError, match="call aclear"):
        history.clear()


@pytest.mark.asyncio
async def test_a_picture_follows_the_rule_of_the_store() -> None:
    async with SessionStore("memory:") as store:
        history = ChatHistory(store.session("a:1"))
        with pytest.raises(InvalidTurnError, match="inline_media"):
            await history.aadd_messages(ALL_SORTS)
        assert await history.aget_messages() == []


@pytest.mark.asyncio
async def test_in_a_handler_the_message_in_hand_is_sent_and_stored_once() -> None:
    async with SessionStore("memory:") as store, serving("chat") as (server, agent):
        server.respond = last_user_text
        chat = store.session("telegram:1")
        for text in ("one", "two"):
            bound = await chat.receive(text)
            chain = RunnableWithMessageHistory(agent, lambda _, bound=bound: ChatHistory(bound))
            config: Any = {"configurable": {"session_id": "any"}}
            await chain.ainvoke([HumanMessage(text)], config)
            assert bound.already_answered
        assert [turn.text async for turn in chat.turns()] == ["one", "one", "two", "two"]
        sent = [one["content"] for one in server.requests[-1].messages]
        assert sent == ["one", "one", "two"]


@pytest.mark.asyncio
async def test_an_edit_reaches_the_model_and_its_old_words_do_not() -> None:
    async with SessionStore("memory:", inline_media="keep") as store:
        session = store.session("a:1")
        await ChatHistory(session).aadd_messages(ALL_SORTS)
        async for turn in session.turns():
            if turn.text:
                await session.edit(turn, "harmless")
        messages = str(await ChatHistory(session).aget_messages())
        for gone in ("'hi'", "I look.", "Done.", "AAAA"):
            assert gone not in messages
        assert "harmless" in messages
