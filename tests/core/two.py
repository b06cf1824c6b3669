"""Two stores over one shared storage, for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from turnkeep import Sender, SessionKey, SessionStore
from turnkeep.storage.memory import MemoryStorage

KEY = "telegram:-100"

Meanwhile = Callable[[], Awaitable[None]]


class Shared(MemoryStorage):
    """A storage after whose next call of a verb something else happens."""

    def __init__(self, **options: Any) -> None:
        super().__init__(shared=True, **options)
        self.meanwhile: dict[str, Meanwhile] = {}

    async def read(self, *arguments: Any, **options: Any) -> Any:
        result = await super().read(*arguments, **options)
        if options.get("limit") != 0 and "read" in self.meanwhile:
            await self.meanwhile.pop("read")()
        return result


class Summarizer:
    """Says what it was given, and lets something happen while it thinks."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []
        self.meanwhile: Meanwhile | None = None

    async def __call__(self, messages: list[Any]) -> str:
        self.calls.append(messages)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return " | ".join(str(message["content"]) for message in messages)


class Two:
    """Two stores, as two replicas of a bot have them."""

    key = SessionKey.parse(KEY)
    sender = Sender("7")

    def __init__(self) -> None:
        self.storage = Shared()
        self.a = SessionStore(self.storage)
        self.b = SessionStore(self.storage)
        self.summarize = Summarizer()

    def after_next(self, verb: str, meanwhile: Meanwhile) -> None:
        """Let something happen when a verb has looked."""
        self.storage.meanwhile[verb] = meanwhile
