"""Points discord.py at the emulator, in a process whose program is run as it is.

Python imports `sitecustomize` at its start, from the first place on PYTHONPATH that has one. If
DISCORD_EMULATOR_URL is set, discord.py is redirected when, and only if, the program imports it.
Another `sitecustomize` further down the path still runs, as it would without this one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType


def redirect(url: str) -> Callable[[], None]:
    """Send discord.py to `url`, and return what undoes it.

    Besides the two addresses, two waits are cut that only spare the real Discord: 2 s for more
    guilds before `on_ready`, and 5 s before identifying again. Instead of the first, `on_ready`
    waits for the guilds that were announced, however busy the machine is. All is looked up late,
    so it holds for clients made before, too.
    """
    import asyncio

    import yarl
    from discord.client import Client
    from discord.gateway import DiscordWebSocket
    from discord.http import Route
    from discord.state import AutoShardedConnectionState, ConnectionState

    delay_ready = ConnectionState._delay_ready
    delay_shard_ready = AutoShardedConnectionState._delay_shard_ready

    async def guilds_came(state: ConnectionState[Client]) -> None:
        for _ in range(3000):  # one that is not available stays so, and is waited for 30 s
            if not any(guild.unavailable for guild in state.guilds):
                break
            await asyncio.sleep(0.01)
        state.guild_ready_timeout = 0.1

    async def delay_ready_briefly(self: ConnectionState[Client]) -> None:
        await guilds_came(self)
        await delay_ready(self)

    async def delay_shard_ready_briefly(
        self: AutoShardedConnectionState[Client], shard_id: int
    ) -> None:
        await guilds_came(self)
        await delay_shard_ready(self, shard_id)

    async def identify_at_once(self: Client, shard_id: int | None, *, initial: bool) -> None:
        return None

    gateway = yarl.URL(url.replace("http", "ws", 1) + "/gateway")
    changes: list[tuple[type, str, object]] = [
        (Route, "BASE", f"{url}/api/v10"),
        (DiscordWebSocket, "DEFAULT_GATEWAY", gateway),
        (ConnectionState, "_delay_ready", delay_ready_briefly),
        (AutoShardedConnectionState, "_delay_shard_ready", delay_shard_ready_briefly),
        (Client, "before_identify_hook", identify_at_once),
    ]
    originals = [(owner, name, vars(owner)[name]) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)

    def undo() -> None:
        for owner, name, value in originals:
            setattr(owner, name, value)

    return undo


class _AfterImport(Loader):
    """The package's own loader, and the redirection after it."""

    def __init__(self, loader: Loader, url: str) -> None:
        self._loader = loader
        self._url = url

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Given back first: resources and tracebacks ask the module for its real loader.
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        redirect(self._url)


class _DiscordFinder(MetaPathFinder):
    """Finds `discord` once, as the other finders do, and steps aside."""

    def __init__(self, url: str) -> None:
        self._url = url

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "discord":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _AfterImport(spec.loader, self._url)
        return spec


def _run_the_next_sitecustomize() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    rest = [place for place in sys.path if os.path.abspath(place) != here]
    spec = PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


if __name__ == "sitecustomize":  # not when the emulator imports it for `redirect`
    if "DISCORD_EMULATOR_URL" in os.environ:
        sys.meta_path.insert(0, _DiscordFinder(os.environ["DISCORD_EMULATOR_URL"]))
    _run_the_next_sitecustomize()
