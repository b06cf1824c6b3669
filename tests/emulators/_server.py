"""What the HTTP emulators share: a server on the loopback that a test starts, watches and stops.

It runs in the test's own event loop, so a test reads its state without locks; the bot under
test is a subprocess or lives in the same loop and sees nothing but a socket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TypeVar

from aiohttp import web

PATIENCE: Final = 300.0
"""Seconds after which a wait fails: only a hang takes so long, however busy the machine is."""

Found = TypeVar("Found")


class Clock:
    """The platform's clock: the real time, and what a test lets pass by hand.

    Tokens, links, drafts and rate limits end by this clock alone, so no test waits for them.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._stopped: float | None = None

    def advance(self, seconds: float) -> None:
        """Let time pass on the platform. The bot's own clock stays as it is."""
        self._ahead += seconds

    def stop(self) -> None:
        """Stand still from now on, except for `advance`: a slow machine changes nothing."""
        self._stopped = time.time()

    def time(self) -> float:
        """Return the seconds since the epoch, as `time.time()` does."""
        return (time.time() if self._stopped is None else self._stopped) + self._ahead

    def now(self) -> datetime:
        """Return the same moment as a date in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)


class LocalServer:
    """An aiohttp server on 127.0.0.1 that remembers its port and can be started again there."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.clock = Clock()
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """The routes to serve."""
        raise NotImplementedError

    def describe(self) -> str:
        """The state in a few lines: what somebody wants to read when a wait runs out."""
        return ""

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:PORT`, known once the server has started."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen. Called again after `stop()`, it takes the same port and keeps all state."""
        app = web.Application(client_max_size=64 * 2**20)
        app.add_routes(self.routes())
        # A handler ends with its client: a poll of a killed bot must not eat what is meant
        # for the bot that comes after it.
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection and stop listening: to the bot, an outage."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def notify(self) -> None:
        """Wake all who wait: something has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for(
        self, predicate: Callable[[], Found], timeout: float = PATIENCE, what: str = "a condition"
    ) -> Found:
        """Return the predicate's first true value, or raise `TimeoutError` and show the state.

        The predicate is also tried every 50 ms, since it may look at a file or a process of
        which the server knows nothing.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not (found := predicate()):
            left = deadline - loop.time()
            if left <= 0:
                message = f"waited {timeout} s in vain for {what}\n{self.describe()}"
                raise TimeoutError(message)
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), min(left, 0.05))
            except TimeoutError:
                continue
        return found
