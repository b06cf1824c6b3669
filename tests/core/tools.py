"""What the tests of the core share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest

from turnkeep import Reply, Session, Turn
from turnkeep.storage.base import Appended, Page, Snapshot
from turnkeep.storage.memory import MemoryStorage


async def stored(session: Session) -> list[Turn]:
    """Every turn of the session, of all epochs."""
    return [turn async for turn in session.turns(epoch="all")]


async def said(session: Session) -> list[Any]:
    """What every turn of the session says."""
    return [turn.content for turn in await stored(session)]


async def answer(session: Session, text: str = "Hello!") -> list[Turn]:
    """Answers the message in hand, or the latest one."""
    async with session.reply() as reply:
        reply.add_text(text)
    return reply.turns


async def failed_reply(session: Session, *, keep_interrupted: bool = False) -> Reply:
    """A reply whose block raised: it had looked, and was in the middle of its answer."""
    reply = session.reply(keep_interrupted=keep_interrupted)

    async def fail() -> None:
        async with reply:
            reply.add_tool_call("c1", "look", "{}")
            reply.add_tool_result("c1", "a cat")
            reply.add_text("A c")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    return reply


class Gated(MemoryStorage):
    """A storage whose verbs wait at a gate, so that a test decides who comes when."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()
        self.reached = anyio.Event()
        self.opened = 0
        self.closed = 0
        self.open_error: Exception | None = None
        self.append_error: Exception | None = None
        self.gated: set[str] = set()

    async def _pass(self, verb: str) -> None:
        if verb in self.gated:
            self.reached.set()
            await self.gate.wait()

    async def open(self) -> None:
        await self._pass("open")
        if self.open_error is not None:
            raise self.open_error
        self.opened += 1

    async def aclose(self) -> None:
        await self._pass("aclose")
        self.closed += 1

    async def append(self, *arguments: Any, **options: Any) -> Appended | None:
        await self._pass("append")
        if self.append_error is not None:
            raise self.append_error
        return await super().append(*arguments, **options)

    async def read(self, *arguments: Any, **options: Any) -> Snapshot:
        await self._pass("read")
        return await super().read(*arguments, **options)

    async def update_metadata(self, *arguments: Any, **options: Any) -> Mapping[str, Any]:
        await self._pass("update_metadata")
        return await super().update_metadata(*arguments, **options)

    async def sessions(self, *arguments: Any, **options: Any) -> Page:
        await self._pass("sessions")
        return await super().sessions(*arguments, **options)
