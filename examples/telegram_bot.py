"""A Telegram bot that remembers: TELEGRAM_TOKEN=… python examples/telegram_bot.py

/ask asks a question (in a group it need not be addressed otherwise), /reset begins anew, /retry
answers again (in a group for its administrators), /export sends what is kept, /forget erases it.

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

from aiogram import Bot, Dispatcher, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from turnkeep import Reply, SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware, privacy_router

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
SYSTEM = "You are a helpful assistant in a chat. Answer briefly."
SORRY = "Sorry, that went wrong. /retry tries again."

router = Router()


async def ask(reply: Reply) -> AsyncIterator[str]:
    """What the model says to the conversation so far, piece by piece."""
    history = await reply.get_history(max_tokens=4000, overflow="truncate")
    if not history:
        return  # /retry, before anything was said
    if not os.environ.get("OPENAI_API_KEY"):
        said = [message["content"] for message in history if message["role"] == "user"]
        yield f"You said: {said[-1]}\n"
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


async def answer(chat_session: ChatSession, *, again: bool = False) -> None:
    await chat_session.answer(ask, replace=again, nothing="I have nothing to say.")


@router.message(Command("start", "help"))
async def on_start(message: Message) -> None:
    await message.answer(
        "I remember what we say. /reset begins anew, /retry answers again, "
        "/export sends you what I keep, /forget erases it."
    )


@router.message(Command("ask"))
async def on_ask(message: Message, command: CommandObject, chat_session: ChatSession) -> None:
    if command.args is None and message.reply_to_message is None:
        await message.answer("What do you want to know? Write /ask and your question.")
        return
    await answer(chat_session)  # its window ends with what stands behind the command


async def decides(message: Message) -> bool:
    """In a group, only its administrators begin anew, or have an answer made again."""
    if message.chat.type == "private" or message.from_user is None:
        return True
    if message.sender_chat is not None:  # an administrator who stays anonymous, or a channel
        return message.sender_chat.id == message.chat.id
    member = await message.chat.get_member(message.from_user.id)
    return member.status in ("creator", "administrator")


@router.message(Command("reset"), decides)
async def on_reset(message: Message, chat_session: ChatSession) -> None:
    await chat_session.clear()
    await message.answer("A new conversation.")


@router.message(Command("retry"), decides)
async def on_retry(_: Message, chat_session: ChatSession) -> None:
    await answer(chat_session, again=True)


@router.message()
async def on_message(_: Message, chat_session: ChatSession) -> None:
    if chat_session.turn is not None:  # else it is an unknown command, or nobody wrote it
        await answer(chat_session)


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    token = os.environ.get("TELEGRAM_TOKEN")
    if not token:
        raise SystemExit("Set TELEGRAM_TOKEN to the token that @BotFather gave you.")
    if not os.environ.get("OPENAI_API_KEY"):
        logging.warning("No OPENAI_API_KEY is set: a small offline responder answers.")
    api = os.environ.get("TELEGRAM_API_URL")
    dp = Dispatcher()
    # Opened here too: a copy that is being replaced may keep the folder for some seconds yet.
    async with SessionStore(os.environ.get("TURNKEEP_STORE", "./sessions")) as store:
        SessionMiddleware(
            store,
            busy="queue",
            render="markdown",
            failed=SORRY,
            stop=True,  # a button under an answer while it grows
            regenerate=answer,  # and one for another answer below it
        ).setup(dp)
        dp.include_routers(privacy_router(), router)
        server = AiohttpSession(api=TelegramAPIServer.from_base(api)) if api else None
        gc.freeze()  # or a full collection stops the bot for 0.1 s and more, see docs/speed.md
        await dp.start_polling(Bot(token, session=server))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
