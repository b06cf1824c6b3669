"""A Telegram bot for groups: it hears all, and answers when it is addressed.

TELEGRAM_TOKEN=… python examples/group_bot.py

Mention it, reply to it, or write to it in private. It knows who said what, and what was said
before it was asked: switch its privacy mode off with @BotFather, or make it an administrator.

It needs: pip install 'turnkeep[examples]' (in a checkout: pip install '.[examples]').

Environment: TELEGRAM_TOKEN (from @BotFather). OPENAI_API_KEY, OPENAI_BASE_URL (any
OpenAI-compatible server) and MODEL; without a key a small offline responder answers.
TURNKEEP_STORE is the folder (default: ./sessions). TELEGRAM_API_URL is for a Bot API server
of your own.
"""

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

from aiogram import Bot, Dispatcher, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Message

from turnkeep import Reply, SessionStore
from turnkeep.adapter import ChatSession, ResetPolicy
from turnkeep_aiogram import SessionMiddleware, is_addressed, privacy_router

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
SYSTEM = (
    "You are one of a group of people who chat. Each message begins with its writer's name "
    "and id. Answer the last one, briefly, without a name in front."
)
SORRY = "Sorry, that went wrong."

router = Router()


async def ask(reply: Reply) -> AsyncIterator[str]:
    """What the model says to the conversation so far, piece by piece."""
    history = await reply.get_history(max_tokens=4000, overflow="truncate", speakers="prefix")
    if not os.environ.get("OPENAI_API_KEY"):
        said = [message["content"] for message in history if message["role"] == "user"]
        yield f"I heard {len(said)} messages. The last was: {said[-1]}"
        return
    from openai import AsyncOpenAI

    async with AsyncOpenAI() as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "system", "content": SYSTEM}, *history], stream=True
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


@router.message(is_addressed)
async def on_message(_: Message, chat_session: ChatSession) -> None:
    if chat_session.turn is None:
        return  # a command of another bot's, or nothing that anybody wrote
    await chat_session.answer(ask, reply_to=True)


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    token = os.environ.get("TELEGRAM_TOKEN")
    if not token:
        raise SystemExit("Set TELEGRAM_TOKEN to the token that @BotFather gave you.")
    api = os.environ.get("TELEGRAM_API_URL")
    dp = Dispatcher()
    async with SessionStore(os.environ.get("TURNKEEP_STORE", "./sessions")) as store:
        # Who asks while an answer is on its way is answered with whoever else asks meanwhile.
        reset = ResetPolicy(idle=timedelta(days=1))
        SessionMiddleware(
            store, busy="collect", reset=reset, render="markdown", failed=SORRY
        ).setup(dp)
        dp.include_routers(privacy_router(), router)
        server = AiohttpSession(api=TelegramAPIServer.from_base(api)) if api else None
        gc.freeze()  # or a full collection stops the bot for 0.1 s and more, see docs/speed.md
        await dp.start_polling(Bot(token, session=server))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
