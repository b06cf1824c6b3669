"""The bot of examples/docker/compose.yaml: two replicas over PostgreSQL, behind a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import cycle
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from e2e.bots import free_port, reads, run
from emulators.openai import OpenAIEmulator
from emulators.telegram import TelegramEmulator
from patience import PATIENCE
from storage.postgres_server import url_of
from turnkeep import SessionStore

CHATS = range(200, 206)


@asynccontextmanager
async def proxy(ports: list[int]) -> AsyncIterator[str]:
    """The address of a proxy that passes each update to the next replica, as Caddy does."""
    following = cycle(ports)

    async def forward(request: web.Request) -> web.Response:
        url = f"http://127.0.0.1:{next(following)}{request.path}"
        secret = "X-Telegram-Bot-Api-Secret-Token"
        headers = {name: request.headers[name] for name in (secret, "Content-Type")}
        try:
            async with client.post(url, data=await request.read(), headers=headers) as answer:
                body = await answer.read()
                return web.Response(
                    body=body, status=answer.status, content_type="application/json"
                )
        except aiohttp.ClientError:
            return web.Response(status=502)

    app = web.Application()
    app.router.add_post("/telegram", forward)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port := free_port())
    await site.start()
    try:
        async with aiohttp.ClientSession() as client:
            yield f"http://127.0.0.1:{port}/telegram"
    finally:
        await runner.cleanup()


def answered(telegram: TelegramEmulator) -> set[int]:
    return {update_id for update_id, status in telegram.updates.deliveries if status == 200}


@pytest.mark.asyncio
async def test_of_two_bots_over_one_database_one_is_killed_and_nobody_notices(
    tmp_path: Path,
) -> None:
    ports, store = [free_port(), free_port()], url_of(tmp_path)
    async with (
        TelegramEmulator() as telegram,
        OpenAIEmulator() as llm,
        proxy(ports) as url,
        AsyncExitStack() as stack,
    ):
        bots = []
        for number, port in enumerate(ports):
            (folder := tmp_path / f"{number}").mkdir()
            environment = {
                "TELEGRAM_TOKEN": telegram.token,
                "TELEGRAM_API_URL": telegram.url,
                "WEBHOOK_URL": url,
                "WEBHOOK_SECRET": "both-know-it",
                "PORT": str(port),
                "OPENAI_BASE_URL": llm.url,
                "OPENAI_API_KEY": "x",
                "TURNKEEP_STORE": store,
            }
            bots.append(await stack.enter_async_context(run("webhook_bot.py", folder, environment)))
        for bot in bots:
            await bot.wait_output("Application startup complete")
        for text in ("one", "two", "three"):
            if text == "three":
                await bots[0].kill()  # in the middle of some answers to "two"
            updates = {telegram.say(chat, text)["update_id"] for chat in CHATS}
            await telegram.wait_for(
                lambda updates=updates: updates <= answered(telegram)  # type: ignore[misc]
            )
            if text == "one":
                for chat in CHATS:
                    await reads(telegram, chat, "echo: one")
        for chat in CHATS:
            await telegram.wait_for(
                lambda chat=chat: (
                    {"echo: two", "echo: three"}  # type: ignore[misc]
                    <= {message["text"] for message in telegram.sent(chat)}
                )
            )
            # A kill may leave one answer twice, and none of the others.
            assert len(telegram.sent(chat)) <= 4
        async with asyncio.timeout(PATIENCE), SessionStore(store) as kept:
            # What was shown just before the kill is stored by the bot that takes it over.
            for chat in CHATS:
                while (info := await kept.session(f"telegram:{chat}").info()) is None or (
                    info.turns < 6
                ):
                    await asyncio.sleep(0.1)
        assert llm.rejections == []
    async with SessionStore(store) as kept:
        for chat in CHATS:
            turns = [turn async for turn in kept.session(f"telegram:{chat}").turns()]
            asked = {turn.id: turn.text for turn in turns if turn.role == "user"}
            assert [*asked.values()] == ["one", "two", "three"]
            answers = {turn.text: turn.answers for turn in turns if turn.role == "assistant"}
            assert answers == {f"echo: {text}": id for id, text in asked.items()}
            assert len(turns) == 6
