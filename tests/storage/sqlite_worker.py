"""One of several processes over a SQLite file; prints the source id of each stored turn.

python sqlite_worker.py FILE NAME TASKS
"""

from __future__ import annotations

import sys
from itertools import count

import anyio

from turnkeep import SessionStore


async def main(file: str, name: str, tasks: int) -> None:
    async with SessionStore(f"sqlite:{file}") as store, anyio.create_task_group() as group:
        for task in range(tasks):
            group.start_soon(chat, store, name, task)


async def chat(store: SessionStore, name: str, task: int) -> None:
    session = store.session(f"test:{task % 3}")
    for number in count():
        source_id = f"{name}/{task}/{number}"
        await session.append("user", source_id, source_id=source_id)
        print(task % 3, source_id, flush=True)
        if number % 10 == 9:
            assert any(source_id in message["content"] for message in await session.get_history())


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], int(sys.argv[3]))
