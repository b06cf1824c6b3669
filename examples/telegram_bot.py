"""A Telegram bot that remembers: TELEGRAM_TOKEN=… python examples/telegram_bot.py

It needs: pip install 'turnkeep[examples]' (in a checkout: pip install '.[examples]').

Environment: TELEGRAM_TOKEN (from @BotFather). OPENAI_API_KEY, OPENAI_BASE_URL (any
OpenAI-compatible server) and MODEL; without a key a small offline responder answers.
TURNKEEP_STORE is the folder (default: ./sessions). TELEGRAM_API_URL is for a Bot API server
of your own.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramRetryAfter
from aiogram.filters import Command
from aiogram.types import Message

from turnkeep import Session, SessionStore
from turnkeep_aiogram import SessionMiddleware, source_id

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
SYSTEM = {"role": "system", "content": "You are a helpful assistant in a chat. Answer briefly."}
MAX_LENGTH = 4096  # characters of a Telegram message

dp = Dispatcher()


async def ask(history: list[dict[str, Any]]) -> AsyncIterator[str]:
    """The model's answer to a window, piece by piece."""
    if not os.environ.get("OPENAI_API_KEY"):
        said = [message["content"] for message in history if message["role"] == "user"]
        yield f"You said: {said[-1]}\n"
        yield f"I remember {len(said)} messages of this chat. The first was: {said[0]}"
        return
    from openai import AsyncOpenAI

    messages: Any = [SYSTEM, *history]
    async with AsyncOpenAI() as client:
        stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


async def answer(message: Message, session: Session) -> None:
    """Answers the message in hand; what the model said is stored if all of it was sent."""
    if session.already_answered:
        return  # Telegram has sent this update before
    try:
        async with session.reply() as reply:
            history = await reply.get_history(max_tokens=4000, overflow="truncate")
            if not history:
                await message.answer("There is nothing to answer.")
                return
            async for piece in ask(history):
                reply.add_text(piece)
            text = reply.text.strip() or "(the model had nothing to say)"
            for start in range(0, len(text), MAX_LENGTH):
                sent = await message.answer(text[start : start + MAX_LENGTH])
                await reply.link(source_id(sent))
    except Exception:
        logging.exception("No answer in %s", session.key)
        await message.answer("Sorry, that went wrong. /retry tries again.")


@dp.message(Command("start", "help"))
async def on_start(message: Message) -> None:
    await message.answer(
        "I remember what we say. /reset begins anew, /retry answers again, "
        "/forget erases everything."
    )


@dp.message(Command("reset"))
async def on_reset(message: Message, chat_session: Session) -> None:
    await chat_session.clear()
    await message.answer("A new conversation.")


@dp.message(Command("forget"))
async def on_forget(message: Message, chat_session: Session) -> None:
    await chat_session.store.forget(chat_session.key)
    await message.answer("Everything is erased.")


@dp.message(Command("retry"))
async def on_retry(message: Message, chat_session: Session) -> None:
    await chat_session.undo(answers_only=True)
    await answer(message, chat_session)


@dp.message(F.text | F.caption)
async def on_message(message: Message, chat_session: Session) -> None:
    if chat_session.turn is not None:  # else it is an unknown command, or written by a bot
        await answer(message, chat_session)


async def patiently(make_request: Any, bot: Bot, method: Any) -> Any:
    """Waits where Telegram says "too many requests", and tries again."""
    while True:
        try:
            return await make_request(bot, method)
        except TelegramRetryAfter as error:
            await asyncio.sleep(error.retry_after)


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    token = os.environ.get("TELEGRAM_TOKEN")
    if not token:
        raise SystemExit("Set TELEGRAM_TOKEN to the token that @BotFather gave you.")
    if not os.environ.get("OPENAI_API_KEY"):
        logging.warning("No OPENAI_API_KEY is set: a small offline responder answers.")
    api = os.environ.get("TELEGRAM_API_URL")
    # Opened here too: a copy that is being replaced may keep the folder for some seconds yet.
    async with SessionStore(os.environ.get("TURNKEEP_STORE", "./sessions")) as store:
        SessionMiddleware(store).setup(dp)
        server = AiohttpSession(api=TelegramAPIServer.from_base(api)) if api else None
        bot = Bot(token, session=server)
        bot.session.middleware(patiently)
        await dp.start_polling(bot)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
