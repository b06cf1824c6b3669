"""One process of several that handle the messages of a chat: python queue_worker.py URL.

Each line of standard input is the number of a message, which it receives and handles in a queue.
"go" lets handlers end. It says "in line NUMBER" when a message is received.
"""

from __future__ import annotations

import sys

import anyio

from turnkeep import Session, SessionStore
from turnkeep.adapter import Overlap

KEY = "chat:queue"


async def main(url: str) -> None:
    """Handle messages until the input ends."""
    may_end = anyio.Event()
    overlap = Overlap("queue")

    async def handle(session: Session) -> None:
        assert session.turn is not None
        await may_end.wait()
        async with session.reply() as reply:
            reply.add_text(f"to {session.turn.text}")

    async with SessionStore(url) as store, anyio.create_task_group() as tasks:
        while line := (await anyio.to_thread.run_sync(sys.stdin.readline)).strip():
            if line == "go":
                may_end.set()
                continue
            session = await store.session(KEY).receive(line, source_id=line)
            tasks.start_soon(overlap.run, session, handle)
            sys.stdout.write(f"in line {line}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
