"""The ways in which bots write a command that asks the model, the same on both platforms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from turnkeep.adapter import ChatSession

Asking = Callable[[ChatSession, list[Any]], Awaitable[object]]
"""A handler's body: it asks the model, and keeps the windows that the model got."""


async def model(history: list[Any], windows: list[Any]) -> AsyncIterator[str]:
    """A model that answers with its question."""
    windows.append([one["content"] for one in history])
    yield f"to {windows[-1][-1]}"


async def stream(session: ChatSession, windows: list[Any]) -> None:
    await session.answer(model(await session.get_history(), windows))


async def function(session: ChatSession, windows: list[Any]) -> None:
    async def ask(reply: Any) -> AsyncIterator[str]:
        async for piece in model(await reply.get_history(), windows):
            yield piece

    await session.answer(ask)


async def transaction(session: ChatSession, windows: list[Any]) -> None:
    async with session.reply() as reply:
        async for piece in model(await reply.get_history(), windows):
            reply.add_text(piece)


async def by_hand(session: ChatSession, windows: list[Any]) -> None:
    pieces = [piece async for piece in model(await session.get_history(), windows)]
    await session.append("assistant", "".join(pieces))


WAYS: tuple[Asking, ...] = (stream, function, transaction, by_hand)
"""Each of them in a chat whose latest message has an answer already."""
