"""A Discord for tests: REST and gateway on one loopback port, for a real discord.py client.

    async with DiscordEmulator() as server:
        channel = server.channel(server.guild("Guild"), "general")
        ada = server.user("Ada")
        with point_at(server.url):
            ...                              # start a bot with the token `server.token`
        await server.wait_ready()
        await server.say(channel, ada, "Hello!")
        await server.wait_sent(channel, 1)

The bot is discord.py as it is, but for the addresses (and two waits, see `redirect`): in this
process (`point_at`), or in another one, started with `server.environment()`. What the emulator
must get right is what a bot's history depends on: limits and error codes, echoes of the bot's own
messages, content hidden without the intent, events replayed by RESUME, messages that come twice.

The state is in `discord_payloads` and `discord_files`, what people do in `discord_people`, the
websocket in `discord_gateway`, the routes in `discord_rest`, `discord_threads`, `discord_commands`
and `discord_interactions`, the forms in `discord_components`, the limits in `discord_limits`. Time
is `clock`, which a test can advance: tokens and links end by it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from emulators import discord_patch
from emulators._server import PATIENCE, LocalServer
from emulators.discord_commands import Commands
from emulators.discord_gateway import PRIVILEGED, Gateway, Intent, Session, shard_of
from emulators.discord_http import Call, Failure, Front, refusal
from emulators.discord_interactions import Interactions
from emulators.discord_limits import GLOBAL_REQUESTS, RateLimits
from emulators.discord_patch.sitecustomize import redirect
from emulators.discord_payloads import (
    CHAT_INPUT_COMMAND,
    CONTEXT_MENU_COMMAND,
    DEFAULT,
    LOADING,
    REPLY,
    TEXT,
    Payload,
    Ref,
    World,
    ident,
)
from emulators.discord_people import People
from emulators.discord_rest import Rest

__all__ = ["DiscordEmulator", "Intent", "point_at"]

_PATCH: Final = str(Path(discord_patch.__file__).parent)


@contextmanager
def point_at(url: str) -> Iterator[None]:
    """Within the block, discord.py clients of this process talk to `url` (`server.url`)."""
    undo = redirect(url)
    try:
        yield
    finally:
        undo()


class DiscordEmulator(People, LocalServer):
    """The server, and the other people on it.

    `privileged` are the privileged intents that are enabled for the application; a bot that asks
    for another one is closed with 4014. Everything that names a thing takes its id or the thing.
    Ids on this side are the strings of the wire.
    """

    def __init__(
        self, *, port: int = 0, token: str = "emulator", privileged: Intent = PRIVILEGED
    ) -> None:
        super().__init__(port)
        self.token = token
        self._world = World(self.clock)
        self._gateway = Gateway(self._world, token, privileged)
        self._rest = Rest(self._gateway)
        self._commands = Commands(self._world)
        self._interactions = Interactions(self._rest)
        self._limits = RateLimits(self.clock)
        self._front = Front(token, self.notify, self._limits)

    def routes(self) -> list[web.RouteDef]:
        table = [*self._rest.table(), *self._commands.table(), *self._interactions.table()]
        return [
            *self._front.routes(table),
            self._front.fallback(),
            web.get("/gateway", self._gateway.handle),
            *self._world.files.routes(),
        ]

    async def start(self) -> None:
        await super().start()
        self._world.files.base_url = self.origin
        self._gateway.url = self.origin.replace("http", "ws", 1) + "/gateway"

    async def stop(self) -> None:
        self._gateway.drop(resumable=True)
        await super().stop()

    def describe(self) -> str:
        calls = [f"{call.method} {call.path}: {call.status}" for call in self.requests[-5:]]
        return f"connections: {self.connections}\nthe latest requests: {calls}"

    # What a test starts a bot with.

    @property
    def url(self) -> str:
        """The server's address, `http://127.0.0.1:PORT`."""
        return self.origin

    @property
    def bot(self) -> Payload:
        """The user that the bot logs in as; `f"<@{server.bot['id']}>"` mentions it."""
        return self._world.bot

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment in which a Python program's discord.py talks to this server."""
        path = [_PATCH, *filter(None, [os.environ.get("PYTHONPATH")])]
        ours = {"PYTHONPATH": os.pathsep.join(path), "DISCORD_EMULATOR_URL": self.url}
        return {**os.environ, **ours, **extra}

    # Who and what is there. Connected bots are told.

    def user(self, name: str, bot: bool = False) -> Payload:
        """Another user, a member of every guild."""
        return self._world.user(name, bot=bot)

    def guild(self, name: str = "Guild") -> Payload:
        """A guild in which the bot is."""
        guild = self._world.guild(name)
        self._gateway.dispatch_guild(guild)
        return guild

    @staticmethod
    def shard_of(guild: Ref, count: int) -> int:
        """Which one of so many shards is told of a guild."""
        return shard_of(guild, count)

    def role(self, guild: Ref, name: str) -> Payload:
        """A role of a guild; `f"<@&{role['id']}>"` mentions it."""
        role = self._world.role(guild, name)
        created = {"guild_id": ident(guild), "role": role}
        self._gateway.dispatch("GUILD_ROLE_CREATE", created)
        return role

    def bot_role(self, guild: Ref, bot: Ref | None = None) -> Payload:
        """Add the role that a guild manages for a bot (this one), and give it to the bot.

        Discord creates it for bots that are invited with permissions.
        """
        bot = bot or self.bot
        role = self._world.role(guild, self._world.users[ident(bot)]["username"], bot)
        self._gateway.dispatch("GUILD_ROLE_CREATE", {"guild_id": ident(guild), "role": role})
        member = self._world.member(bot, guild, named=True)
        self._gateway.dispatch("GUILD_MEMBER_UPDATE", {"guild_id": ident(guild), **member})
        return role

    def channel(self, guild: Ref, name: str = "general", kind: int = TEXT) -> Payload:
        """A channel; `kind` is Discord's number (0 text, 2 voice, 5 news, 13 stage, 15 forum)."""
        channel = self._world.channel(guild, name, kind)
        self._gateway.dispatch("CHANNEL_CREATE", channel)
        return channel

    def thread(
        self, parent: Ref, name: str, *, message: Ref | None = None, owner: Ref | None = None
    ) -> Payload:
        """A public thread that `owner` (the guild's owner) starts, from a message or without."""
        start = None
        if message is not None:
            start = self._world.messages[ident(parent)][ident(message)]
        return self._rest.start_thread(parent, name, owner or self._world.owner, start)

    def hide_past(self, channel: Ref) -> None:
        """Take the right to read what was said in a channel from everybody."""
        self._rest.hide_past(channel)

    async def archive(self, thread: Ref, *, locked: bool = False) -> None:
        """Archive a thread. A bot hears nothing of it until somebody writes in it.

        Nobody can write in a `locked` one until a moderator unarchives it.
        """
        self._rest.change_channel(thread, {"archived": True, "locked": locked})

    async def rename(self, channel: Ref, name: str) -> None:
        """Give a channel or a thread another name."""
        self._rest.change_channel(channel, {"name": name})

    def dm(self, user: Ref) -> Payload:
        """The direct-message channel with a user."""
        return self._world.dm(user)

    async def delete_channel(self, channel: Ref) -> None:
        """Delete a channel or a thread."""
        self._rest.remove_channel(channel)

    async def remove_guild(self, guild: Ref, *, outage: bool = False) -> None:
        """Take the bot out of a guild, or let it be unavailable, until `restore_guild`."""
        if outage:
            gone: Payload = {"id": ident(guild), "unavailable": True}
        else:
            gone = {"id": self._world.guilds.pop(ident(guild))["id"]}
        self._gateway.dispatch("GUILD_DELETE", gone, guild=gone["id"])

    async def restore_guild(self, guild: Ref) -> None:
        """End the outage of a guild, which comes back as if it were new."""
        self._gateway.dispatch_guild(guild)

    async def block(self, user: Ref) -> None:
        """Let a user block the bot: its direct messages get a 403, 50007."""
        self._world.closed.add(ident(user))

    # What goes wrong.

    def limit_rates(
        self, requests: int = 5, seconds: float = 5.0, everything: int = GLOBAL_REQUESTS
    ) -> None:
        """Limit each bucket to so many requests a window, and all together to so many a second.

        Every answer then says in its headers what is left. 0 lifts a limit.
        """
        self._limits.set(requests, seconds, everything)

    async def drop_connection(self, resumable: bool = True) -> None:
        """Cut all websockets, without a close frame.

        What is said between this and the next await of something else is said while the bot is
        away. It is replayed when the bot RESUMEs, which it does at once; with `resumable=False`
        its RESUME is refused, it identifies anew, and what was said is lost to it.
        """
        self._gateway.drop(resumable=resumable)

    def fail_next(
        self,
        method: str,
        path: str,
        *,
        status: int,
        code: int | None = None,
        message: str = "",
        retry_after: float = 0.0,
        times: int = 1,
    ) -> None:
        """Refuse the next requests whose path, without `/api/v10`, contains `path`.

        The code is the usual one of the status unless given (403: 50013). discord.py itself
        repeats a 429 after `retry_after` seconds, and 500, 502, 504 after 1 s, 3 s, 5 s.
        """
        error = refusal(status, code, message, retry_after)
        self._front.failures += [Failure(method, path, error) for _ in range(times)]

    # What the bot did.

    @property
    def requests(self) -> list[Call]:
        """The REST requests so far, oldest first."""
        return self._front.calls

    @property
    def connections(self) -> list[Session]:
        """The sessions that are connected now."""
        sessions = self._gateway.sessions.values()
        return [session for session in sessions if session.connection is not None]

    def sent(self, channel: Ref) -> list[Payload]:
        """The bot's messages in a channel as they read now, oldest first.

        Ephemeral ones are among them (`flags & 64`), the placeholder of a deferred answer is not.
        """
        return [
            self._world.seen(message, content=True)
            for message in self._world.messages[ident(channel)].values()
            if message["author"]["id"] == self.bot["id"]
            if message["type"] in (DEFAULT, REPLY, CHAT_INPUT_COMMAND, CONTEXT_MENU_COMMAND)
            if not message["flags"] & LOADING
        ]

    async def wait_ready(self, timeout: float = PATIENCE, connections: int = 1) -> None:
        """Wait until so many sessions are connected, each with its guilds on the way."""
        what = f"{connections} connections"
        await self.wait_for(lambda: len(self.connections) >= connections, timeout, what)

    async def wait_sent(self, channel: Ref, count: int, timeout: float = PATIENCE) -> list[Payload]:
        """Wait until the bot has at least so many messages in a channel, and return them."""
        what = f"{count} messages of the bot's in channel {ident(channel)}"
        await self.wait_for(lambda: len(self.sent(channel)) >= count, timeout, what)
        return self.sent(channel)
