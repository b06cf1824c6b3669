"""A Telegram bot behind a webhook, in a FastAPI application.

TELEGRAM_TOKEN=… WEBHOOK_URL=https://example.org/telegram python examples/webhook_bot.py

Telegram is told that a message has arrived when it is stored; what a crash cuts off is answered
at the next start. /export sends what is kept, /forget erases it.

It needs: pip install 'turnkeep[examples]' (in a checkout: pip install '.[examples]').

Environment: TELEGRAM_TOKEN (from @BotFather). WEBHOOK_URL is where Telegram reaches this
application, and WEBHOOK_SECRET what it has to know (default: made up at each start). PORT
(default: 8080). OPENAI_API_KEY, OPENAI_BASE_URL (any OpenAI-compatible server) and MODEL;
without a key a small offline responder answers. TURNKEEP_STORE is the folder (default:
./sessions). TELEGRAM_API_URL is for a Bot API server of your own.
"""

import gc
import json
import logging
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from aiogram import Bot, Dispatcher, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Message
from fastapi import FastAPI, HTTPException, Request

from turnkeep import Reply, SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware, privacy_router

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
SYSTEM = "You are a helpful assistant in a chat. Answer briefly."
SORRY = "Sorry, that went wrong."
MAX_UPDATE = 1_000_000  # bytes; those of Telegram have some thousands
SECRET = os.environ.get("WEBHOOK_SECRET") or secrets.token_urlsafe(32)

dp = Dispatcher()
store = SessionStore(os.environ.get("TURNKEEP_STORE", "./sessions"))
middleware = SessionMiddleware(store, busy="queue", render="markdown", failed=SORRY).setup(dp)
router = Router()
dp.include_routers(privacy_router(), router)


async def ask(reply: Reply) -> AsyncIterator[str]:
    """What the model says to the conversation so far, piece by piece."""
    history = await reply.get_history(max_tokens=4000, overflow="truncate")
    if not os.environ.get("OPENAI_API_KEY"):
        said = [message["content"] for message in history if message["role"] == "user"]
        yield f"I remember {len(said)} messages of this chat. The first was: {said[0]}"
        return
    from openai import AsyncOpenAI

    async with AsyncOpenAI() as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "system", "content": SYSTEM}, *history], stream=True
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


@router.message()
async def on_message(_: Message, chat_session: ChatSession) -> None:
    if chat_session.turn is None:
        return  # an unknown command, or nothing that anybody wrote
    await chat_session.answer(ask)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    token, url = os.environ.get("TELEGRAM_TOKEN"), os.environ.get("WEBHOOK_URL")
    if not token or not url:
        raise SystemExit(
            "Set TELEGRAM_TOKEN to the token that @BotFather gave you, and WEBHOOK_URL to where "
            "Telegram reaches this application."
        )
    api = os.environ.get("TELEGRAM_API_URL")
    server = AiohttpSession(api=TelegramAPIServer.from_base(api)) if api else None
    async with Bot(token, session=server) as bot:
        app.state.bot = bot
        await dp.emit_startup(bot=bot, dispatcher=dp, bots=(bot,))  # opens the store
        await bot.set_webhook(
            url,
            secret_token=SECRET,
            allowed_updates=dp.resolve_used_update_types(),
            max_connections=100,  # so many chats are answered at once
        )
        gc.freeze()  # or a full collection stops the bot for 0.1 s and more, see docs/speed.md
        yield
        await dp.emit_shutdown(bot=bot, dispatcher=dp, bots=(bot,))


# Nobody needs a description of this application.
app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)


async def update_of(request: Request) -> dict[str, object]:
    """The update in a request, of which nothing is read before the secret was right."""
    secret = request.headers.get("x-telegram-bot-api-secret-token", "")
    if not secrets.compare_digest(secret.encode(), SECRET.encode()):
        raise HTTPException(403)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_UPDATE:
            raise HTTPException(413)
    try:
        update = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400) from None
    if not isinstance(update, dict):
        raise HTTPException(400)
    return update


@app.post("/telegram")
async def telegram(request: Request) -> dict[str, bool]:
    update = await update_of(request)
    # An error means that it is not stored: Telegram then delivers it again.
    await middleware.feed_update(app.state.bot, update)
    return {"ok": True}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    uvicorn.run(app, host="0.0.0.0", port=int(os.environ.get("PORT", "8080")))  # noqa: S104
