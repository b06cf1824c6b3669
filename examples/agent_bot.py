"""A Telegram bot whose model calls tools: TELEGRAM_TOKEN=… python examples/agent_bot.py

It can tell the time and roll dice; the calls and their results are kept with the answer, so
that a later answer knows of them.

It needs: pip install 'turnkeep[examples]' (in a checkout: pip install '.[examples]').

Environment: TELEGRAM_TOKEN (from @BotFather). OPENAI_API_KEY, OPENAI_BASE_URL (any
OpenAI-compatible server) and MODEL; without a key a small offline responder answers.
TURNKEEP_STORE is the folder (default: ./sessions). TELEGRAM_API_URL is for a Bot API server
of your own.
"""

import asyncio
import gc
import json
import logging
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from aiogram import Bot, Dispatcher, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Message

from turnkeep import Reply, SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware, privacy_router

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionFunctionToolParam

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
SYSTEM = "You are a helpful assistant with tools. Answer briefly."
ROUNDS = 8  # of calls, for one answer
SORRY = "Sorry, that went wrong."

router = Router()


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def roll(sides: int = 6) -> str:
    return str(random.randint(1, sides))


TOOLS: dict[str, Callable[..., str]] = {"now": now, "roll": roll}
SIDES: dict[str, object] = {
    "type": "object",
    "properties": {"sides": {"type": "integer", "minimum": 2}},
}
SCHEMAS: list["ChatCompletionFunctionToolParam"] = [
    {"type": "function", "function": {"name": "now", "description": "The time, in UTC."}},
    {
        "type": "function",
        "function": {"name": "roll", "description": "Roll a die.", "parameters": SIDES},
    },
]


def use(name: str, arguments: str) -> str:
    """What a tool gives; a call that can't be done is told to the model."""
    try:
        return str(TOOLS[name](**json.loads(arguments or "{}")))
    except Exception as error:
        return f"error: {error!r}"


async def agent(reply: Reply) -> AsyncIterator[str]:
    """What the model says, between the tools that it calls."""
    if not os.environ.get("OPENAI_API_KEY"):
        reply.add_tool_call("call_1", "now", {})
        reply.add_tool_result("call_1", now())
        yield f"It is {(await reply.get_history())[-1]['content']}."
        return
    from openai import AsyncOpenAI

    async with AsyncOpenAI() as client:
        for _ in range(ROUNDS):
            window = await reply.get_history(max_tokens=4000, overflow="truncate")
            answer = await client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "system", "content": SYSTEM}, *window],
                tools=SCHEMAS,
            )
            said = answer.choices[0].message
            if not said.tool_calls:
                reply.usage(answer)
                yield said.content or ""
                return
            reply.add(answer)  # with its thoughts, which some models want back
            for call in reply.calls:
                function = call["function"]
                reply.add_tool_result(call["id"], use(function["name"], function["arguments"]))


@router.message()
async def on_message(_: Message, chat_session: ChatSession) -> None:
    if chat_session.turn is None:
        return
    await chat_session.answer(agent)


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    token = os.environ.get("TELEGRAM_TOKEN")
    if not token:
        raise SystemExit("Set TELEGRAM_TOKEN to the token that @BotFather gave you.")
    api = os.environ.get("TELEGRAM_API_URL")
    dp = Dispatcher()
    async with SessionStore(os.environ.get("TURNKEEP_STORE", "./sessions")) as store:
        SessionMiddleware(store, busy="queue", render="markdown", failed=SORRY).setup(dp)
        dp.include_routers(privacy_router(), router)
        server = AiohttpSession(api=TelegramAPIServer.from_base(api)) if api else None
        gc.freeze()  # or a full collection stops the bot for 0.1 s and more, see docs/speed.md
        await dp.start_polling(Bot(token, session=server))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
