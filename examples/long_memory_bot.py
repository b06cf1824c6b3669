"""A bot in the terminal with a long memory: python examples/long_memory_bot.py

What was said long ago is folded into a summary, which the model writes in the background, and
every window begins with it. Nothing is deleted: the file keeps all that was said. /summary shows
the summary.

It needs: pip install 'turnkeep[examples]' (in a checkout: pip install '.[examples]').

Environment: OPENAI_API_KEY, OPENAI_BASE_URL (any OpenAI-compatible server) and MODEL; without a
key a small offline responder answers. AFTER_MESSAGES (default 40) is how many messages may be
without a summary, and KEEP (20) how many of the newest always are. TURNKEEP_STORE is the folder
(default: ./sessions).
"""

import logging
import os
import sys
from contextlib import suppress

import anyio
from anyio import to_thread

from turnkeep import ConsolidationPolicy, Messages, Session, SessionStore, TurnkeepError

MODEL = os.environ.get("MODEL", "gpt-4o-mini")
AFTER_MESSAGES = int(os.environ.get("AFTER_MESSAGES", "40"))
KEEP = int(os.environ.get("KEEP", "20"))
SYSTEM = "You are a helpful assistant. Answer briefly."
SUMMARIZE = {
    "role": "user",
    "content": "Summarize our conversation so far in at most 200 words, the earlier summary "
    "included: facts about me, what was decided, what is open. Write only the summary.",
}


async def ask(messages: Messages) -> str:
    """The model's answer."""
    if not os.environ.get("OPENAI_API_KEY"):
        if messages[-1] is SUMMARIZE:
            return f"{len(messages) - 1} earlier messages, from {messages[0]['content']!r} on."
        return f"You said: {messages[-1]['content']}"
    from openai import AsyncOpenAI

    async with AsyncOpenAI() as client:
        completion = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "system", "content": SYSTEM}, *messages]
        )
        return completion.choices[0].message.content or ""


async def summarize(messages: Messages) -> str:
    """The earlier summary and older messages, as one summary."""
    return await ask([*messages, SUMMARIZE])


async def handle(session: Session, line: str) -> None:
    if line == "/summary":
        info = await session.info()
        print((info and info.summary) or "(nothing is summarized yet)")
        return
    await session.append("user", line)
    try:
        async with session.reply() as reply:
            text = await ask(await reply.get_history(max_tokens=4000, overflow="truncate"))
            reply.add_text(text)
            print(f"bot> {text}")
    except Exception as error:
        print(f"(no answer: {error})")


async def talk(store: SessionStore) -> None:
    session = store.session("console:long")
    print("/summary shows what is remembered of long ago, /quit leaves.")
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


async def main() -> None:
    async with (
        anyio.create_task_group() as background,
        SessionStore(os.environ.get("TURNKEEP_STORE", "./sessions")) as store,
    ):
        # In the background: the next message need not wait for a summary.
        store.consolidation = ConsolidationPolicy(
            summarize, after_messages=AFTER_MESSAGES, keep=KEEP, task_group=background
        )
        await talk(store)


if __name__ == "__main__":
    logging.basicConfig(format="(%(message)s)")
    logging.getLogger("turnkeep").setLevel(logging.INFO)  # tells if another copy is waited for
    try:
        with suppress(KeyboardInterrupt):
            anyio.run(main)
    except TurnkeepError as error:
        raise SystemExit(str(error)) from None
    print("\nBye.", flush=True)
    os._exit(0)  # the thread that reads the terminal would hold the exit up until the next Enter
