"""The verbs that are asked for more and more at once: linear in that is as good as it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from turnkeep import Session

from .subjects import TEXT, Subject
from .verb import Verb, verb

ON: list[Verb] = []


async def _long(on: Subject) -> Session:
    """Return a session of twice as many turns as are asked for."""
    session = on.store.session("benchmark:asked")
    there = await session.info()
    for _ in range(0 if there is None else there.turns, 2 * on.size, 10):
        await session.extend([{"role": "user", "content": TEXT, "sender": "somebody"}] * 10)
    return session


@verb(ON, linear=True)
async def window_of_so_many_messages(on: Subject) -> Awaitable[Any]:
    return (await _long(on)).get_history(on.size)


@verb(ON, linear=True)
async def turns_the_last(on: Subject) -> Awaitable[Any]:
    session = await _long(on)

    async def read() -> None:
        async for _ in session.turns(last=on.size):
            pass

    return read()


@verb(ON, linear=True, most=5)
async def extend(on: Subject) -> Awaitable[Any]:
    turns = [
        {"role": "user", "content": TEXT, "source_id": f"new{on.unique()}"} for _ in range(on.size)
    ]
    return on.store.session(f"benchmark:extended{on.unique()}").extend(turns)


@verb(ON, linear=True, most=5)
async def append_with_source_ids(on: Subject) -> Awaitable[Any]:
    session = on.store.session("benchmark:sources")
    return session.append("user", TEXT, source_id=[f"new{on.unique()}" for _ in range(on.size)])


@verb(ON, linear=True, most=5)
async def appends_at_once_in_one_chat(on: Subject) -> Awaitable[Any]:
    session = on.store.session("benchmark:crowd")
    return asyncio.gather(
        *(session.append("user", TEXT, source_id=f"new{on.unique()}") for _ in range(on.size))
    )


@verb(ON, linear=True, most=5)
async def appends_at_once_in_as_many_chats(on: Subject) -> Awaitable[Any]:
    chats = [on.store.session(f"benchmark:of{number}") for number in range(on.size)]
    return asyncio.gather(
        *(chat.append("user", TEXT, source_id=f"new{on.unique()}") for chat in chats)
    )


@verb(ON, linear=True, most=5)
async def parallel_tool_calls(on: Subject) -> Awaitable[Any]:
    received = await on.store.session(f"benchmark:agent{on.unique()}").receive("Look.")

    async def answer() -> None:
        async with received.reply() as reply:
            calls = [
                {"id": f"c{call}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                for call in range(on.size)
            ]
            reply.add({"role": "assistant", "content": None, "tool_calls": calls})
            for call in range(on.size):
                reply.add_tool_result(f"c{call}", TEXT)
            await reply.get_history(2 * on.size)
            reply.add_text(TEXT)

    return answer()


@verb(ON, linear=True, most=5)
async def fork(on: Subject) -> Awaitable[Any]:
    session = await _long(on)
    return session.fork(at=on.size, to=f"benchmark:forked{on.unique()}")


@verb(ON, linear=True, most=3)
async def page_of_sessions(on: Subject) -> Awaitable[Any]:
    chats = [on.store.session(f"page:{number}") for number in range(on.size)]
    await asyncio.gather(*(chat.append("user", TEXT, source_id="once") for chat in chats))
    return on.store.list_sessions(limit=on.size, prefix="page:")


@verb(ON, linear=True, most=1)
async def forget_sender_of_all(on: Subject) -> Awaitable[Any]:
    return (await _long(on)).forget_sender("somebody")
