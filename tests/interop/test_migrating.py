"""The diffs of docs/migrating on frameworks: the new side goes on from what the old one knew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import agents
import pytest
from langchain_core.messages import AIMessage, HumanMessage, convert_to_messages
from langchain_core.runnables import RunnableLambda
from openai import AsyncOpenAI

from docs.diffs import CHAT, echo, move, run, sides
from emulators.openai import OpenAIEmulator


@pytest.mark.asyncio
async def test_from_nanobot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("workspace").mkdir()
    before, after = sides("nanobot")
    assert await run(before)["answer"](CHAT, "My name is Ada.") == "My name is Ada."
    (folder,) = [path.parent for path in tmp_path.rglob("*.jsonl")]
    names = run(after, folder=folder)
    assert await names["answer"](CHAT, "And mine?") == "My name is Ada. / And mine?"
    await names["store"].aclose()


@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore:The class `InMemoryChatMessageHistory` was deprecated")
async def test_from_langchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(window: Any) -> Any:
        """Answer as a chat model does, which takes dicts and messages alike."""
        messages = convert_to_messages(window)
        said = [one.text for one in messages if isinstance(one, HumanMessage)]
        return AIMessage(" / ".join(said))

    model = RunnableLambda(answer)
    monkeypatch.chdir(tmp_path)
    before, after = (run(side, model=model) for side in sides("langchain"))
    assert await before["answer"](CHAT, "My name is Ada.") == "My name is Ada."
    for _ in range(2):  # a second call does nothing
        await move("langchain", after)(CHAT, before["histories"][CHAT])
    assert await after["answer"](CHAT, "And mine?") == "My name is Ada. / And mine?"
    await after["store"].aclose()


@pytest.mark.asyncio
async def test_from_openai_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    agents.set_tracing_disabled(True)
    async with (
        OpenAIEmulator(echo) as llm,
        AsyncOpenAI(base_url=llm.url, api_key="x") as client,
    ):
        model = agents.OpenAIChatCompletionsModel("emulated-model", client)
        before, after = (
            run(side, agent=agents.Agent("Echo", model=model)) for side in sides("openai-agents")
        )
        assert await before["answer"](CHAT, "My name is Ada.") == "My name is Ada."
        old = agents.SQLiteSession(f"telegram:{CHAT}", "chats.db")
        for _ in range(2):  # a second call does nothing
            await move("openai-agents", after)(CHAT, old)
        old.close()
        assert await after["answer"](CHAT, "And mine?") == "My name is Ada. / And mine?"
        await after["store"].aclose()
        assert llm.rejections == []
