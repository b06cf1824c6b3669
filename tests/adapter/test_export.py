"""What an export holds, and what it leaves out."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from turnkeep import SessionStore
from turnkeep.adapter import Asker, export, forget

pytestmark = pytest.mark.asyncio


async def test_an_export_of_everything_has_hidden_turns_system_turns_and_tool_results() -> None:
    async with SessionStore("memory:") as store:
        session = store.session("telegram:7")
        await session.append("system", "the prompt")
        asked = await session.append("user", "how warm?", sender="7")
        async with session.bind(asked).reply() as reply:
            reply.add_tool_call("1", "weather", {})
            reply.add_tool_result("1", "20")
            reply.add_text("Warm.")
        asker = Asker("7", "7")
        whole = json.loads(await export(session, asker=asker, everything=True))
        short = json.loads(await export(session, asker=asker))
    assert [row["role"] for row in whole] == ["system", "user", "assistant", "tool", "assistant"]
    assert whole[2]["tool_calls"][0]["function"]["name"] == "weather"
    assert [row["content"] for row in short] == ["how warm?", "Warm."]


async def test_an_export_marks_replaced_answers_or_leaves_them_out() -> None:
    async with SessionStore("memory:") as store:
        session = store.session("telegram:7")
        asked = session.bind(await session.append("user", "how warm?", sender="7"))
        for text in ("Cold.", "Warm."):
            async with asked.reply(replace=True) as reply:
                reply.add_text(text)
        asker = Asker("7", "7")
        whole = json.loads(await export(session, asker=asker, everything=True))
        short = json.loads(await export(session, asker=asker))
        assert [row["content"] for row in short] == ["how warm?", "Warm."]
        assert [row.get("replaced", False) for row in whole] == [False, True, False]
        assert await forget(session, asker=asker)
        assert [turn async for turn in session.turns(epoch="all", variants=True)] == []


async def test_the_exports_of_several_sessions_are_one_in_the_order_of_time() -> None:
    async with SessionStore("memory:") as store:
        first, second = store.session("telegram:-1"), store.session("telegram:-2")
        for session, text in ((first, "one"), (second, "two"), (first, "three")):
            await session.append("user", text, sender="7")
        rows = json.loads(await export(first, second, asker=Asker("7")))
    assert [row["content"] for row in rows] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("key", "asker", "is_theirs"),
    [
        ("telegram:7", Asker("7", "7"), True),
        ("telegram:7", Asker("7"), False),
        ("telegram:-100:user:7", Asker("7"), True),
        ("telegram:-100:user:8", Asker("7"), False),
        ("telegram:7:business:shop", Asker("7", "7"), False),
        ("telegram:all", Asker("7", "7"), False),
    ],
)
async def test_turns_without_a_sender_belong_to_whom_the_key_names(
    key: str, asker: Asker, is_theirs: bool
) -> None:
    async with SessionStore("memory:") as store:
        session = store.session(key)
        await session.append("user", "imported")
        assert (await export(session, asker=asker) != b"[]") is is_theirs
        assert await forget(session, asker=asker) is is_theirs
        assert (await session.info() is None) is is_theirs


async def test_the_export_of_a_long_session_lets_other_tasks_run_every_few_turns() -> None:
    async with SessionStore("memory:") as store:
        session = store.session("telegram:-1")
        turns = [{"role": "user", "content": f"{number}", "sender": "7"} for number in range(5000)]
        await session.extend([*turns, {"role": "user", "content": "other", "sender": "8"}])
        ran = 0

        async def other() -> None:
            nonlocal ran
            while True:
                ran += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        rows = json.loads(await export(session, asker=Asker("7")))
        task.cancel()
    assert len(rows) == 5000
    # It reads the turns, looks whose they are, and writes them: several times in each thousand.
    assert ran >= 5 * 3 * 2


async def test_an_export_is_one_list_of_json_that_a_person_can_read() -> None:
    async with SessionStore("memory:") as store:
        session = store.session("telegram:7")
        await session.append("user", [{"type": "text", "text": 'a\nb "c"'}], sender="7")
        await session.append("assistant", "d")
        file = await export(session)
    assert file == msgspec.json.format(json.dumps(json.loads(file)).encode(), indent=2)
    assert [row["content"] for row in json.loads(file)] == [
        [{"type": "text", "text": 'a\nb "c"'}],
        "d",
    ]
