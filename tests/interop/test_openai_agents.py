"""The OpenAI Agents SDK runs over turnkeep as it runs over its own SQLite session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    SQLiteSession,
    WebSearchTool,
    function_tool,
    handoff,
)
from agents.memory import Session as AgentsProtocol
from agents.memory import SessionSettings
from agents.memory.openai_responses_compaction_session import OpenAIResponsesCompactionSession
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI

from emulators.openai_responses import ResponsesEmulator
from emulators.openai_rules import Json
from turnkeep import InvalidTurnError, Session, SessionStore, check_messages
from turnkeep.interop.openai_agents import AgentsSession

PICTURE = "data:image/png;base64,iVBORw0KGgo="


@function_tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"21 degrees in {city}"


@function_tool
def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


def call(name: str, id: str, arguments: str) -> Json:
    return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}


def said(text: str) -> Json:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "content": [part]}


def thought(text: str) -> Json:
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


def model(items: list[Json], body: Json) -> list[Json]:
    """Search the web, call two tools at once, hand over, and answer; each after a thought."""
    tools = {tool.get("name", tool["type"]) for tool in body.get("tools", [])}
    asked = next(n for n, item in enumerate(reversed(items)) if item.get("role") == "user")
    since = items[len(items) - asked :]
    results = [item for item in since if item.get("type") == "function_call_output"]
    turn = sum(item.get("role") == "user" for item in items)
    if "transfer_to_loud" in tools and not results:
        search = {"type": "search", "query": "Ulm"}
        return [
            thought("I search."),
            {"type": "web_search_call", "action": search},
            thought("I call."),
            call("weather", f"call_{turn}a", '{"city": "Ulm"}'),
            call("weather", f"call_{turn}b", '{"city": "Bonn"}'),
        ]
    if "transfer_to_loud" in tools:
        return [thought("Not mine."), call("transfer_to_loud", f"call_{turn}c", "{}")]
    if "shout" in tools and results[-1]["output"] != "HI":
        return [thought("Loud."), call("shout", f"call_{turn}d", '{"text": "hi"}')]
    return [thought("Done."), said(f"answer {turn}")]


def agent(client: AsyncOpenAI) -> Agent[None]:
    settings = ModelSettings(parallel_tool_calls=True)
    served = OpenAIResponsesModel("emulated-model", client)
    loud = Agent[None](name="loud", model=served, tools=[shout], model_settings=settings)
    return Agent[None](
        name="front",
        model=served,
        tools=[weather, WebSearchTool()],
        handoffs=[handoff(loud)],
        model_settings=settings,
    )


@asynccontextmanager
async def serving(
    respond: Callable[[list[Json], Json], Any] = model,
) -> AsyncIterator[tuple[ResponsesEmulator, AsyncOpenAI]]:
    async with (
        ResponsesEmulator(respond) as server,
        AsyncOpenAI(api_key="test", base_url=server.url, max_retries=0) as client,
    ):
        yield server, client


QUIET = RunConfig(tracing_disabled=True)


async def three_runs(client: AsyncOpenAI, session: AgentsProtocol) -> list[str]:
    """Ask in a run, in a streamed run, and with a picture."""
    first = await Runner.run(agent(client), "How warm is it?", session=session, run_config=QUIET)
    streamed = Runner.run_streamed(agent(client), "Again?", session=session, run_config=QUIET)
    async for _ in streamed.stream_events():
        pass
    parts = [
        {"type": "input_text", "text": "And here?"},
        {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
    ]
    shown: Any = [{"role": "user", "content": parts}]
    config = RunConfig(tracing_disabled=True, session_input_callback=lambda old, new: old + new)
    last = await Runner.run(agent(client), shown, session=session, run_config=config)
    return [first.final_output, str(streamed.final_output), last.final_output]


async def over(session: AgentsProtocol) -> tuple[list[list[Json]], list[Json], list[str]]:
    async with serving() as (server, client):
        answers = await three_runs(client, session)
        assert server.rejections == []
        return server.inputs, [dict(item) for item in await session.get_items()], answers


@pytest.mark.asyncio
async def test_the_model_gets_the_same_requests_as_over_the_frameworks_own_session(
    storage: str,
) -> None:
    theirs = await over(SQLiteSession("any"))
    async with SessionStore(storage, inline_media="keep") as store:
        session = store.session("telegram:1")
        ours = await over(AgentsSession(session))
        assert ours == theirs
        assert len(ours[0]) == 12
        again = AgentsSession(store.session("telegram:1"))
        assert await again.get_items() == theirs[1]
        window = await session.get_history()
        assert check_messages(window) == []
        assert [m["content"] for m in window if m["role"] == "user"][:2] == [
            "How warm is it?",
            "Again?",
        ]
        assert window[-1]["content"] == "answer 3"
        assert len(window[1]["tool_calls"]) == 2


@pytest.mark.asyncio
async def test_compaction_by_the_framework_gives_the_same_requests_and_items() -> None:
    async def compacted(inner: Any) -> tuple[list[list[Json]], Any]:
        async with serving(lambda items, _: [thought("hm"), said(f"{len(items)} items")]) as (
            server,
            client,
        ):
            session = OpenAIResponsesCompactionSession(
                "any",
                inner,
                client=client,
                compaction_mode="input",
                should_trigger_compaction=lambda it: len(it["compaction_candidate_items"]) > 3,
            )
            model = OpenAIResponsesModel("emulated-model", client)
            for text in ("one", "two", "three"):
                one = Agent[None](name="one", model=model)
                await Runner.run(one, text, session=session, run_config=QUIET)
            assert server.rejections == []
            return server.inputs, await inner.get_items()

    async with SessionStore("memory:") as store:
        session = store.session("telegram:1")
        ours = await compacted(AgentsSession(session))
        assert ours == await compacted(SQLiteSession("any"))
        assert any(item["type"] == "compaction" for item in ours[1] if "type" in item)
        before = [turn.text async for turn in session.turns(epoch=1) if turn.role == "user"]
        assert before[:2] == ["one", "two"], "what was compacted stays readable"


TEXTS = st.text("ab \n\0é漢", max_size=5)
IDS = st.sampled_from(["a", "b_1", "ü !", "x" * 70])
EXTRAS = st.fixed_dictionaries(
    {}, optional={"status": st.sampled_from(["completed", None]), "phase": st.none(), "n": IDS}
)


def dicts(**fields: Any) -> st.SearchStrategy[Json]:
    known = {key: one if isinstance(one, st.SearchStrategy) else st.just(one)
             for key, one in fields.items()}  # fmt: skip
    return st.tuples(st.fixed_dictionaries(known), EXTRAS).map(lambda two: two[1] | two[0])


PARTS = st.lists(
    dicts(type="input_text", text=TEXTS)
    | dicts(type="input_image", image_url=st.just(PICTURE), detail=st.sampled_from(["low", None]))
    | dicts(type="input_file", file_url="https://a.b/c")
    | dicts(type="from_next_year", value=st.lists(st.none())),
    max_size=3,
)
SAID = st.lists(
    dicts(type="output_text", text=TEXTS, annotations=st.just([]), logprobs=st.none())
    | dicts(type="refusal", refusal=TEXTS),
    max_size=3,
)
ITEMS = st.lists(
    dicts(role=st.sampled_from(["user", "system", "developer"]), content=TEXTS | PARTS)
    | dicts(type="message", role="user", content=TEXTS | PARTS)
    | dicts(role="assistant", content=TEXTS)
    | dicts(type="message", role="assistant", id=IDS, content=SAID)
    | dicts(type="reasoning", id=IDS, summary=st.just([]), encrypted_content=st.none())
    | dicts(type="function_call", call_id=IDS, name="f", arguments=TEXTS)
    | dicts(type="function_call_output", call_id=IDS, output=TEXTS | PARTS)
    | dicts(type="custom_tool_call", call_id=IDS, name="f", input=TEXTS)
    | dicts(type="custom_tool_call_output", call_id=IDS, output=TEXTS)
    | dicts(type="computer_call", call_id=IDS, action=st.just({"type": "wait"}))
    | dicts(type="computer_call_output", call_id=IDS, output=st.just({"image_url": PICTURE}))
    | dicts(type="web_search_call", id=IDS)
    | dicts(type="mcp_approval_request", id=IDS, arguments="{}")
    | dicts(type="compaction", encrypted_content=TEXTS)
    | dicts(type="item_reference", id=IDS)
    | dicts(type="from_next_year", value=st.lists(st.none() | st.booleans() | st.just(1.0))),
    max_size=8,
)


def without_nuls(value: Any) -> Any:
    """What any storage holds of a text."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [*map(without_nuls, value)]
    return {k: without_nuls(v) for k, v in value.items()} if isinstance(value, dict) else value


@given(batches=st.lists(ITEMS, max_size=3), limit=st.integers(1, 6))
def test_any_items_come_back_as_they_were_given_and_are_popped_one_by_one(
    batches: list[list[Any]], limit: int
) -> None:
    async def tried() -> None:
        async with SessionStore("memory:", inline_media="keep") as store:
            session = AgentsSession(store.session("a:1"))
            for batch in batches:
                await session.add_items(batch)
            given = [without_nuls(item) for batch in batches for item in batch]
            assert await session.get_items() == given
            assert await session.get_items(limit) == given[-limit:]
            assert check_messages(await session.session.get_history()) == []
            while given:
                assert await session.pop_item() == given.pop()
                assert await session.get_items() == given
            assert await session.pop_item() is None

    asyncio.run(tried())


@pytest.mark.asyncio
async def test_the_settings_limit_what_the_model_gets(storage: str) -> None:
    async with SessionStore(storage) as store:
        session = AgentsSession(store.session("a:1"), settings=SessionSettings(limit=2))
        assert isinstance(session, AgentsProtocol)
        texts = ["one", "two", "three"]
        await session.add_items([{"role": "user", "content": text} for text in texts])
        assert [item.get("content") for item in await session.get_items()] == ["two", "three"]
        assert len(await session.get_items(3)) == 3
        assert await session.get_items(0) == []
        await session.clear_session()
        assert await session.get_items() == []


@pytest.mark.asyncio
async def test_two_who_pop_at_once_get_each_item_once(storage: str) -> None:
    async with SessionStore(storage) as store:
        session = AgentsSession(store.session("a:1"))
        await session.add_items([{"role": "user", "content": str(n)} for n in range(20)])
        popped: list[Any] = await asyncio.gather(*(session.pop_item() for _ in range(20)))
        assert sorted(int(str(item["content"])) for item in popped if item) == [*range(20)]


ANSWER: list[Any] = [
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "b3Bh"},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "x"}},
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc_1"},
    {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "b3Bi"},
    {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}", "id": "fc_2"},
]


@pytest.mark.asyncio
async def test_an_item_of_an_answer_of_several_is_popped_in_one_step(storage: str) -> None:
    async with SessionStore(storage) as store:
        session = AgentsSession(store.session("a:1"))
        await session.add_items([{"role": "user", "content": "q"}, *ANSWER])
        stored = [turn async for turn in session.session.turns()]
        assert len(stored) == 2
        revision = (await session.session.info()).revision  # type: ignore[union-attr]
        for left in range(len(ANSWER) - 1, 0, -1):
            assert await session.pop_item() == ANSWER[left]
            turns = [turn async for turn in session.session.turns()]
            assert [turn.id for turn in turns] == [turn.id for turn in stored]
            revision += 1
            assert (await session.session.info()).revision == revision  # type: ignore[union-attr]
            assert check_messages(await session.session.get_history()) == []
        assert await session.get_items() == [{"role": "user", "content": "q"}, ANSWER[0]]


@pytest.mark.asyncio
async def test_several_who_pop_from_one_answer_get_each_item_once(storage: str) -> None:
    async with SessionStore(storage) as store:
        session = AgentsSession(store.session("a:1"))
        await session.add_items(ANSWER)
        popped: list[Any] = await asyncio.gather(*(session.pop_item() for _ in range(8)))
        found = [item for item in popped if item is not None]
        assert sorted(map(str, found)) == sorted(map(str, ANSWER))
        assert await session.get_items() == []


@pytest.mark.parametrize("results", [["c1", "c2"], ["c1"], ["c2"], [], ["c1", "c2", "orphan"]])
@pytest.mark.parametrize("is_hidden", [True, False])
@pytest.mark.asyncio
async def test_items_of_what_others_stored_are_popped_one_by_one(
    storage: str, results: list[str], is_hidden: bool
) -> None:
    calls = [
        {"id": id, "function": {"name": "f", "arguments": "{}"}}
        for id in ("c1", "c2")[: 1 + bool(results)]
    ]
    async with SessionStore(storage) as store:
        chat = store.session("a:1")
        await chat.append("user", "q")
        await chat.append("assistant", "I look.", tool_calls=calls)
        for id in results:
            await chat.append("tool", f"result of {id}", tool_call_id=id)
        if is_hidden:
            await chat.append("user", "not for the model", hidden=True)
        session = AgentsSession(chat)
        items = await session.get_items()
        assert len(items) >= 4
        while items:
            assert await session.pop_item() == items[-1]
            left = await session.get_items()
            assert len(left) < len(items)
            assert left == items[: len(left)]
            items = left
        assert await session.pop_item() is None


async def handled(session: Session, client: AsyncOpenAI) -> str:
    """A bot's handler: the session is bound to the message in hand."""
    assert session.turn is not None
    one = Agent[None](name="one", model=OpenAIResponsesModel("emulated-model", client))
    ran = await Runner.run(one, session.turn.text, session=AgentsSession(session), run_config=QUIET)
    return str(ran.final_output)


@pytest.mark.asyncio
async def test_in_a_handler_the_message_in_hand_is_sent_and_stored_once(storage: str) -> None:
    def echo(items: list[Json], body: Json) -> str:
        texts = [item["content"] for item in items if item.get("role") == "user"]
        return " | ".join(text if isinstance(text, str) else text[0]["text"] for text in texts)

    async with SessionStore(storage) as store, serving(echo) as (server, client):
        chat = store.session("telegram:1")
        first = await chat.receive("one", source_id="1")
        later = await chat.receive("two", source_id="2")
        assert await handled(first, client) == "one"
        assert first.already_answered
        assert not later.already_answered
        assert await handled(later, client) == "one | two"
        assert [turn.text async for turn in chat.turns()] == ["one", "two", "one", "one | two"]
        assert [turn.answers async for turn in chat.turns()] == [None, None, 1, 2]
        assert server.rejections == []
        again = await chat.receive("two", source_id="2")
        assert again.already_answered


@pytest.mark.asyncio
async def test_a_crash_in_the_middle_of_a_run_leaves_the_message_unanswered() -> None:
    async with SessionStore("memory:") as store:
        message = await store.session("telegram:1").receive("warm?", source_id="1")
        session = AgentsSession(message)
        asked: Any = [{"role": "user", "content": "warm?"}, call("weather", "c1", "{}")]
        await session.add_items(asked)
        assert not message.already_answered
        assert len(await AgentsSession(store.session("telegram:1")).get_items()) == 2


@pytest.mark.asyncio
async def test_a_picture_follows_the_rule_of_the_store(storage: str) -> None:
    item: Any = {"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}
    async with SessionStore(storage) as store:
        session = AgentsSession(store.session("a:1"))
        with pytest.raises(InvalidTurnError, match="inline_media"):
            await session.add_items([{"role": "user", "content": "before"}, item])
        assert await session.get_items() == []


async def folded(messages: list[Any]) -> str:
    return "They spoke of Ulm."


@pytest.mark.asyncio
async def test_turns_of_others_and_a_summary_come_as_items_that_the_api_takes() -> None:
    async with SessionStore("memory:") as store, serving(lambda *_: "yes") as (server, client):
        chat = store.session("telegram:1")
        await chat.append("user", "old")
        await chat.append("assistant", "older")
        await chat.append("user", "How warm?", sender="42")
        await chat.consolidate(folded, keep=1)
        function = {"name": "weather", "arguments": '{"city": "Ulm"}'}
        tool = {"id": "call_0", "type": "function", "function": function}
        await chat.append("assistant", None, tool_calls=[tool])  # and its result was lost
        await chat.append("assistant", "It is warm.")
        assert await handled(await chat.receive("And now?"), client) == "yes"
        assert server.rejections == []
        kinds = [item.get("type") for item in server.inputs[0]]
        assert kinds.count("function_call") == kinds.count("function_call_output") == 1
        assert "They spoke of Ulm." in str(server.inputs[0][0])
        assert "old" not in [item.get("content") for item in server.inputs[0]]


@pytest.mark.asyncio
async def test_an_edit_reaches_the_model_and_its_old_words_do_not(storage: str) -> None:
    async with SessionStore(storage) as store:
        session = AgentsSession(store.session("a:1"))
        await session.add_items(
            [{"role": "user", "content": "secret"}, call("f", "c", "{}")]  # type: ignore[list-item]
        )
        await session.add_items(
            [{"type": "function_call_output", "call_id": "c", "output": "secret too"}]
        )
        turns = [turn async for turn in session.session.turns()]
        await session.session.edit(turns[0], "harmless")
        await session.session.edit(turns[2], "cut")
        assert "secret" not in str(await session.get_items())
        assert [item.get("output") for item in await session.get_items()][-1] == "cut"
