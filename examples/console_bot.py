"""A bot in the terminal that remembers: python examples/console_bot.py

It keeps its conversation in ./sessions/console/me.jsonl. Stop it as you like, with Ctrl-C or
kill -9, start it again, and it goes on where it was.

It needs: pip install 'turnkeep[examples]' (in a checkout: pip install '.[examples]').

Environment: OPENAI_API_KEY, OPENAI_BASE_URL (any OpenAI-compatible server) and MODEL; without a
key a small offline responder answers. TURNKEEP_STORE is the folder (default: ./sessions).
"""

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
from anyio import to_thread

from turnkeep import Session, SessionStore, TurnkeepError

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
SYSTEM = {"role": "system", "content": "You are a helpful assistant. Answer briefly."}
HELP = "/reset begins anew, /retry answers again, /forget erases everything, /quit leaves."


async def ask(history: list[dict[str, Any]]) -> AsyncIterator[str]:
    """The model's answer to a window, piece by piece."""
    if not os.environ.get("OPENAI_API_KEY"):
        said = [message["content"] for message in history if message["role"] == "user"]
        yield f"You said: {said[-1]}\n"
        yield f"I remember {len(said)} of your messages. "
        yield f"The first was: {said[0]}"
        return
    from openai import AsyncOpenAI

    messages: Any = [SYSTEM, *history]
    async with AsyncOpenAI() as client:
        stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


async def answer(session: Session) -> None:
    try:
        async with session.reply() as reply:
            history = await reply.get_history(max_tokens=4000, overflow="truncate")
            if not history:
                print("There is nothing to answer yet.")
                return
            print("bot> ", end="", flush=True)
            async for piece in ask(history):
                reply.add_text(piece)
                print(piece, end="", flush=True)
            print()
    except Exception as error:
        print(f"\n(no answer: {error}; /retry tries again)")


async def handle(session: Session, line: str) -> None:
    match line:
        case "/reset":
            await session.clear()
            print("A new conversation; the old one is kept in the file.")
        case "/forget":
            await session.store.forget(session.key)
            print("Everything is erased.")
        case "/retry":
            await session.undo(answers_only=True)
            await answer(session)
        case _ if line.startswith("/"):
            print(HELP)
        case _:
            await session.append("user", line)
            await answer(session)


async def main() -> None:
    where = os.environ.get("TURNKEEP_STORE", "./sessions")
    async with SessionStore(where) as store:
        session = store.session("console:me")
        if not os.environ.get("OPENAI_API_KEY"):
            print("No OPENAI_API_KEY is set: a small offline responder answers.")
        print(f"This conversation is kept under {where}. {HELP}")
        earlier = await session.get_history(max_messages=6)
        if earlier:
            print("Before, we said:")
        for message in earlier:
            print(f"  {'you' if message['role'] == 'user' else 'bot'}> {message['content']}")
        while True:
            print("you> ", end="", flush=True)
            # Abandoned on Ctrl-C, since nothing can interrupt a thread that reads a terminal.
            line = await to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
            if not line or line.strip() == "/quit":
                return
            try:
                if line.strip():
                    await handle(session, line.strip())
            except TurnkeepError as error:
                print(f"({error})")


if __name__ == "__main__":
    logging.basicConfig(format="(%(message)s)")
    logging.getLogger("turnkeep").setLevel(logging.INFO)  # tells if another copy is waited for
    try:
        with suppress(KeyboardInterrupt):
            anyio.run(main)
    except TurnkeepError as error:
        raise SystemExit(str(error)) from None
    print("\nBye. Start me again, and I go on from here.", flush=True)
    os._exit(0)  # the thread that reads the terminal would hold the exit up until the next Enter
