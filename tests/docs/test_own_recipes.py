"""docs/recipes.md: programs without an adapter, served and talked to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn

from docs.blocks import ROOT
from docs.telegram_application import running
from docs.test_documents import run_document
from e2e.bots import free_port
from emulators.telegram import TelegramEmulator
from patience import PATIENCE

RECIPES = ROOT / "docs" / "recipes.md"
CHAT = 7


async def echo(messages: Sequence[dict[str, Any]]) -> AsyncIterator[str]:
    """Answer with all that the model was told by people, a word at a time."""
    said = [str(one["content"]) for one in messages if one["role"] == "user"]
    for word in " / ".join(said).split(" "):
        if word == "break":
            raise RuntimeError("the model broke")
        yield f"{word} "


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's blocks define, with a model that echoes."""
    monkeypatch.chdir(tmp_path)
    names = run_document(RECIPES)
    names["ask_llm"] = echo
    return names


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[aiohttp.ClientSession]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning"))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE):
        while not server.started:
            await asyncio.sleep(0.01)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        server.should_exit = True
        await task


@pytest.mark.asyncio
async def test_the_application_streams_remembers_and_answers_a_repeated_request_once(
    page: dict[str, Any],
) -> None:
    async with served(page["app"]) as client:

        async def ask(chat: str, id: str, text: str) -> tuple[int, str]:
            async with client.post(f"/chats/{chat}", json={"id": id, "text": text}) as response:
                return response.status, await response.text()

        assert await ask("a:b", "1", "I am Ada.") == (200, "I am Ada. ")
        assert (await ask("a:b", "1", "I am Ada."))[0] == 409
        assert await ask("a:b", "2", "Me?") == (200, "I am Ada. / Me? ")
        assert await ask("a", "1", "Other.") == (200, "Other. ")
        async with client.get("/chats/a:b") as response:
            said = [turn["text"] for turn in await response.json()]
        assert said == ["I am Ada.", "I am Ada. ", "Me?", "I am Ada. / Me? "]
        async with client.delete("/chats/a:b") as response:
            assert response.status == 200
        assert await ask("a:b", "3", "Again.") == (200, "Again. ")
        async with client.post("/chats/a", json={"id": "", "text": "x"}) as response:
            assert response.status == 422


@pytest.mark.asyncio
async def test_an_answer_that_the_reader_left_is_stored_as_far_as_it_was(
    page: dict[str, Any],
) -> None:
    began, closed = asyncio.Event(), asyncio.Event()

    async def slow(_: object) -> AsyncIterator[str]:
        yield "Once "
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()

    page["ask_llm"] = slow
    async with served(page["app"]) as client:
        response = await client.post("/chats/a", json={"id": "1", "text": "A story."})
        await asyncio.wait_for(began.wait(), PATIENCE)
        response.close()
        await asyncio.wait_for(closed.wait(), PATIENCE)
        async with asyncio.timeout(PATIENCE):
            while True:
                async with client.get("/chats/a") as response:
                    said = [turn["text"] for turn in await response.json()]
                if len(said) == 2:
                    break
                await asyncio.sleep(0.01)
        assert said == ["A story.", "Once "]


@pytest.mark.asyncio
async def test_the_bot_on_python_telegram_bot_remembers_resets_and_follows_edits(
    page: dict[str, Any],
) -> None:
    async with TelegramEmulator() as telegram:

        async def reads(*texts: str) -> None:
            await telegram.wait_for(
                lambda: [one["text"].strip() for one in telegram.sent(CHAT)] == [*texts]
            )

        async with running(telegram, page["build"]):
            first = telegram.say(CHAT, "I am Ada.")
            await reads("I am Ada.")
            telegram.redeliver(first)
            telegram.edit(first, "I am Bob.")
            telegram.say(CHAT, "Me?")
            await reads("I am Ada.", "I am Bob. / Me?")
            telegram.say(CHAT, "break")
            await reads("I am Ada.", "I am Bob. / Me?", page["SORRY"])
            telegram.say(CHAT, "/reset")
            telegram.say(CHAT, "Again.")
            await reads(
                *("I am Ada.", "I am Bob. / Me?", page["SORRY"], "A new conversation.", "Again.")
            )
