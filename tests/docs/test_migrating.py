"""The diffs of docs/migrating: both sides run, and the new one goes on from what the old one knew.

Where the package that a page is about is not installed, its test is skipped, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.tools import polling
from docs.blocks import ROOT, blocks
from docs.telegram_application import running
from emulators.openai import OpenAIEmulator
from emulators.telegram import TelegramEmulator

PAGES = ROOT / "docs" / "migrating"
CHAT = 7


def echo(messages: Sequence[dict[str, Any]]) -> str:
    """Answer with all that the model was told by people."""
    return " / ".join(str(one["content"]) for one in messages if one["role"] == "user")


async def ask_llm(messages: Sequence[dict[str, Any]]) -> str:
    return echo(messages)


def sides(page: str) -> tuple[str, str]:
    """Return the program before a diff, and the one after it."""
    (diff,) = [text for language, text in blocks(PAGES / f"{page}.md") if language == "diff"]

    def without(mark: str) -> str:
        return "\n".join(line[1:] for line in diff.splitlines() if line[:1] != mark)

    return without("+"), without("-")


def run(source: str, **given: Any) -> dict[str, Any]:
    """Return what a side of a diff defines."""
    namespace = {"ask_llm": ask_llm, "__name__": "bot", **given}
    exec(compile(source, "bot.py", "exec"), namespace)
    return namespace


def move(page: str, namespace: dict[str, Any]) -> Any:
    """Return the page's function that brings the old conversations along."""
    (text,) = [text for language, text in blocks(PAGES / f"{page}.md") if language == "python"]
    exec(compile(text, page, "exec"), namespace)
    return namespace["move"]


def test_each_page_has_one_diff_and_is_listed() -> None:
    listed = (PAGES / "index.md").read_text()
    pages = [page.stem for page in PAGES.glob("*.md") if page.stem != "index"]
    assert len(pages) == 6
    for page in pages:
        before, after = sides(page)
        assert "turnkeep" not in before
        assert "turnkeep" in after
        assert f"({page}.md)" in listed


@pytest.mark.asyncio
async def test_from_a_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before, after = map(run, sides("dict"))
    assert await before["answer"](CHAT, "My name is Ada.") == "My name is Ada."
    await move("dict", after | {"history": before["history"]})(CHAT)
    assert await after["answer"](CHAT, "And mine?") == "My name is Ada. / And mine?"
    await after["store"].aclose()
    restarted = run(sides("dict")[1])
    assert await restarted["answer"](CHAT, "Yes?") == "My name is Ada. / And mine? / Yes?"
    await restarted["store"].aclose()


@pytest.mark.asyncio
async def test_from_nanobot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nanobot")
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
async def test_from_langchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = pytest.importorskip("langchain_core.messages")
    runnables = pytest.importorskip("langchain_core.runnables")

    def answer(window: Any) -> Any:
        """Answer as a chat model does, which takes dicts and messages alike."""
        messages = core.convert_to_messages(window)
        said = [one.text for one in messages if isinstance(one, core.HumanMessage)]
        return core.AIMessage(" / ".join(said))

    model = runnables.RunnableLambda(answer)
    monkeypatch.chdir(tmp_path)
    before, after = (run(side, model=model) for side in sides("langchain"))
    assert await before["answer"](CHAT, "My name is Ada.") == "My name is Ada."
    await move("langchain", after)(CHAT, before["histories"][CHAT])
    assert await after["answer"](CHAT, "And mine?") == "My name is Ada. / And mine?"
    await after["store"].aclose()


@pytest.mark.asyncio
async def test_from_openai_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = pytest.importorskip("agents")
    from openai import AsyncOpenAI

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
        await move("openai-agents", after)(CHAT, old)
        old.close()
        assert await after["answer"](CHAT, "And mine?") == "My name is Ada. / And mine?"
        await after["store"].aclose()
        assert llm.rejections == []


@pytest.mark.asyncio
async def test_from_fsm_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aiogram.fsm.storage.base import StorageKey

    monkeypatch.chdir(tmp_path)
    before, after = map(run, sides("aiogram-fsm"))
    async with TelegramEmulator() as telegram:
        for chat in (CHAT, -100500):
            async with polling(telegram, before["dp"]):
                telegram.say(chat, "My name is Ada.", user_id=CHAT)
                await telegram.wait_sent(chat, 1)
            key = StorageKey(bot_id=42, chat_id=chat, user_id=CHAT)
            await move("aiogram-fsm", after)(before["dp"].storage, key)
            assert await before["dp"].storage.get_data(key) == {}
        async with polling(telegram, after["dp"]):
            for chat in (CHAT, -100500):
                telegram.say(chat, "And mine?", user_id=CHAT)
                sent = await telegram.wait_sent(chat, 2)
                assert sent[1]["text"] == "My name is Ada. / And mine?"


@pytest.mark.asyncio
async def test_from_python_telegram_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before, after = map(run, sides("python-telegram-bot"))
    async with TelegramEmulator() as telegram:
        async with running(telegram, before["build"]):
            telegram.say(CHAT, "My name is Ada.")
            await telegram.wait_sent(CHAT, 1)
        async with running(telegram, before["build"]) as old:
            await move("python-telegram-bot", after)(old)
        async with running(telegram, after["build"]):
            asked = telegram.say(CHAT, "And mine?")
            (_, sent) = await telegram.wait_sent(CHAT, 2)
            assert sent["text"] == "My name is Ada. / And mine?"
            await telegram.wait_taken()
            telegram.redeliver(asked)
            telegram.say(CHAT, "Bye.")
            await telegram.wait_for(lambda: telegram.sent(CHAT)[-1]["text"].endswith("Bye."))
        assert len(telegram.sent(CHAT)) == 3, "what is delivered twice is answered once"
