"""A storage at a bad line, whose answers are lost on their way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from turnkeep import LostAcknowledgementError, Session, SessionStore
from turnkeep.storage.base import Capabilities
from turnkeep.storage.memory import MemoryStorage

from .tools import answer
from .two import KEY


class Losing(MemoryStorage):
    """A server that answers a verb on a bad line: it has done it, or has never heard of it."""

    def __init__(self) -> None:
        super().__init__(shared=True)
        self.losses: dict[str, list[bool]] = {}
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(shared=True, remote=True, search=True)

    def lose(self, verb: str, *, done: bool, times: int = 1) -> None:
        """Lose the next answers of a verb, which is done all the same, or not."""
        self.losses[verb] = [done] * times

    async def lost(self, verb: str, arguments: Any, options: Any) -> Any:
        perform: Any = getattr(super(), verb)
        if not self.losses.get(verb):
            return await perform(*arguments, **options)
        if self.losses[verb].pop():
            await perform(*arguments, **options)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        raise LostAcknowledgementError("the connection broke")


def _losing(verb: str) -> Any:
    async def lost(self: Losing, *arguments: Any, **options: Any) -> Any:
        return await self.lost(verb, arguments, options)

    return lost


for _verb in (
    *("append", "change", "edit", "delete", "clear", "consolidate", "update_metadata"),
    *("rename", "unlink", "forget", "claim", "release"),
):
    setattr(Losing, _verb, _losing(_verb))


class Line:
    """A store at a bad line, and one at a good one."""

    def __init__(self) -> None:
        self.storage = Losing()
        self.store = SessionStore(self.storage)
        self.other = SessionStore(self.storage)
        self.session = self.store.session(KEY)

    async def conversation(self) -> Session:
        """Two exchanges; the session, bound to the second message."""
        await answer(await self.session.receive("one", source_id="m1", sender="42"), "to one")
        asked = await self.session.receive("two", source_id="m2", sender="7")
        await answer(asked, "to two")
        return asked
