"""A bot in the terminal that remembers: python examples/console_bot.py

It stores its conversation in ./sessions/console/me.jsonl. Stop it with Ctrl-C or kill -9, even in
the middle of an answer. Start it again, and it continues where it was.

It needs: pip install 'turnkeep[examples]' (in a checkout: pip install '.[examples]').

Environment: OPENAI_API_KEY, OPENAI_BASE_URL (any OpenAI-compatible server) and MODEL. Without a
key, a small responder answers offline. TURNKEEP_STORE is the folder (default: ./sessions).
"""

import logging
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

import anyio
from anyio import to_thread

from turnkeep import Messages, Session, SessionStore, TurnkeepError

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
SYSTEM = "You are a helpful assistant. Answer briefly."
HELP = "/reset starts a new conversation, /retry answers again, /forget erases all, /quit leaves."
NAME = re.compile(r"(?i:\bmy name is) (\w+)|(?i:\bI am|\bI'm|\bcall me) ([^\W\d_a-z]\w*)")


async def respond(said: list[str]) -> AsyncIterator[str]:
    """Answer offline, from all that the user said, slowly enough to be stopped in the middle."""
    names = [found[1] or found[2] for text in said if (found := NAME.search(text))]
    if NAME.search(said[-1]):
        answer = f"Nice to meet you, {names[-1]}. Stop me, start me again, and ask for your name."
    elif "my name" in said[-1].lower():
        answer = f"Your name is {names[-1]}." if names else "You have not told me your name."
    else:
        answer = f"You said: {said[-1]}"
    for word in re.findall(r"\s*\S+", answer):
        await anyio.sleep(0.2)
        yield word


async def ask(history: Messages) -> AsyncIterator[str]:
    """Stream the model's answer to a window."""
    if not os.environ.get("OPENAI_API_KEY"):
        said = [message["content"] for message in history if message["role"] == "user"]
        async for piece in respond(said):
            yield piece
        return
    from openai import AsyncOpenAI

    async with AsyncOpenAI() as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "system", "content": SYSTEM}, *history], stream=True
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


async def answer(session: Session, *, again: bool = False) -> None:
    try:
        async with session.reply(replace=again) as reply:
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
            print("This is a new conversation. The old one stays in the file.")
        case "/forget":
            await session.store.forget(session.key)
            print("Everything is erased.")
        case "/retry":
            await answer(session, again=True)
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
            print("OPENAI_API_KEY is not set, so a small responder answers offline.")
        print(f"This conversation is stored under {where}. {HELP}")
        earlier = await session.get_history(max_messages=6)
        if earlier:
            print("Earlier:")
        for message in earlier:
            print(f"  {'you' if message['role'] == 'user' else 'bot'}> {message['content']}")
        while True:
            print("you> ", end="", flush=True)
            # Ctrl-C abandons the thread, since nothing can interrupt it while it reads a terminal.
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
    logging.getLogger("turnkeep").setLevel(logging.INFO)  # says if it waits for another copy
    try:
        with suppress(KeyboardInterrupt):
            anyio.run(main)
    except TurnkeepError as error:
        raise SystemExit(str(error)) from None
    print("\nBye. Start me again, and I continue from here.", flush=True)
    os._exit(0)  # else the thread that reads the terminal delays the exit until the next Enter
