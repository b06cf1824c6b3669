"""The websocket side of the emulated Discord: sessions, events, RESUME.

A session outlives its connection, as on Discord: what happens while the bot is away is kept, and
replayed when it RESUMEs. Sending never suspends: an event is numbered and kept at once, and one
task per connection writes it out, so a test knows what was said before and after a drop.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Final
from uuid import uuid4

from aiohttp import WSMsgType, web

from emulators.discord_payloads import Payload, Ref, World, ident


class Intent(IntFlag):
    """The intents that decide here what a session is told."""

    GUILDS = 1 << 0
    GUILD_MEMBERS = 1 << 1
    GUILD_PRESENCES = 1 << 8
    GUILD_MESSAGES = 1 << 9
    DIRECT_MESSAGES = 1 << 12
    MESSAGE_CONTENT = 1 << 15


NO_INTENT: Final = Intent(0)
PRIVILEGED: Final = Intent.GUILD_MEMBERS | Intent.GUILD_PRESENCES | Intent.MESSAGE_CONTENT

# An application in fewer than 100 guilds has the "limited" form of each flag.
_LIMITED_FLAGS: Final = {
    Intent.GUILD_PRESENCES: 1 << 13,
    Intent.GUILD_MEMBERS: 1 << 15,
    Intent.MESSAGE_CONTENT: 1 << 19,
}

_NOT_AUTHENTICATED, _AUTHENTICATION_FAILED, _DISALLOWED_INTENTS = 4003, 4004, 4014


def shard_of(guild: Ref, count: int) -> int:
    """Which one of so many shards is told of a guild."""
    return (int(ident(guild)) >> 22) % count


class Op(IntEnum):
    """What a packet is, in either direction."""

    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    RESUME = 6
    REQUEST_MEMBERS = 8
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11


class Connection:
    """One websocket, with what waits to be written to it."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self._socket = socket
        self._transport = request.transport
        # Any other compression that a client asks for is answered with plain text frames, which
        # discord.py takes too (it asks for zstd-stream where Python has zstd).
        stream = request.query.get("compress") == "zlib-stream"
        self._deflate = zlib.compressobj() if stream else None
        self._outbox: asyncio.Queue[str] = asyncio.Queue()

    def put(self, frame: str) -> None:
        self._outbox.put_nowait(frame)

    def abort(self) -> None:
        """Cut the line: no close frame, and what is not yet written is lost."""
        if self._transport is not None:
            self._transport.abort()

    async def pump(self) -> None:
        with suppress(ConnectionError):  # the client left; its session keeps the events
            while True:
                frame = await self._outbox.get()
                if self._deflate is None:
                    await self._socket.send_str(frame)
                    continue
                # One stream per connection, each frame flushed: clients look for that mark.
                data = self._deflate.compress(frame.encode())
                await self._socket.send_bytes(data + self._deflate.flush(zlib.Z_SYNC_FLUSH))


@dataclass
class Session:
    """What a bot got when it identified. Event number n is `events[n - 1]`."""

    id: str
    intents: Intent
    connection: Connection | None
    shard: tuple[int, int] = (0, 1)
    resumes: int = 0
    events: list[str] = field(default_factory=list, repr=False)

    def serves(self, guild: str | None) -> bool:
        """Whether this shard is told of a guild; what is in none is told to the first."""
        number, count = self.shard
        return number == (0 if guild is None else shard_of(guild, count))

    def send(self, event: str, data: Payload) -> None:
        packet = {"op": Op.DISPATCH, "t": event, "s": len(self.events) + 1, "d": data}
        self.events.append(json.dumps(packet))
        if self.connection is not None:
            self.connection.put(self.events[-1])


class Gateway:
    """All sessions of the bot, and the protocol by which they come about."""

    def __init__(self, world: World, token: str, privileged: Intent) -> None:
        self.world = world
        self.token = token
        self.privileged = privileged
        self.url = ""
        self.sessions: dict[str, Session] = {}
        self._lines: set[Connection] = set()

    @property
    def application_flags(self) -> int:
        return sum(flag for intent, flag in _LIMITED_FLAGS.items() if intent in self.privileged)

    def dispatch(
        self,
        event: str,
        data: Payload,
        *,
        needs: Intent = Intent.GUILDS,
        guild: str | None = None,
    ) -> None:
        """Send an event to every session that asked for it, also to those that are away.

        `guild` is where it happens, if the event itself does not say so as `guild_id`.
        """
        for session in self.sessions.values():
            if needs in session.intents and session.serves(guild or data.get("guild_id")):
                session.send(event, data)

    def dispatch_message(self, event: str, message: Payload) -> None:
        """Send a message event, to each session with what it may see of the content."""
        needs = self.message_intent(message)
        for session in self.sessions.values():
            if needs in session.intents and session.serves(message.get("guild_id")):
                content = Intent.MESSAGE_CONTENT in session.intents
                session.send(event, self.world.seen(message, content=content))

    def dispatch_guild(self, guild: Ref) -> None:
        for session in self.sessions.values():
            self._guild_create(session, ident(guild))

    @staticmethod
    def message_intent(place: Payload) -> Intent:
        return Intent.GUILD_MESSAGES if "guild_id" in place else Intent.DIRECT_MESSAGES

    def drop(self, *, resumable: bool) -> None:
        """Cut every connection now. What is sent from here on, the sessions keep."""
        for session in self.sessions.values():
            session.connection = None
        if not resumable:
            self.sessions.clear()
        for line in self._lines:
            line.abort()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        line = Connection(socket, request)
        self._lines.add(line)
        pump = asyncio.create_task(line.pump())
        line.put(json.dumps({"op": Op.HELLO, "d": {"heartbeat_interval": 41_250}}))
        session: Session | None = None
        try:
            async for packet in socket:
                if packet.type is WSMsgType.TEXT:
                    session, code = self._receive(line, session, json.loads(packet.data))
                    if code is not None:
                        await socket.close(code=code)
        finally:
            self._lines.discard(line)
            pump.cancel()
            if session is not None and session.connection is line:
                session.connection = None
                if socket.close_code in (1000, 1001):  # the bot said good-bye: nothing to resume
                    self.sessions.pop(session.id, None)
        return socket

    def _receive(
        self, line: Connection, session: Session | None, packet: dict[str, Any]
    ) -> tuple[Session | None, int | None]:
        """Answer one packet: the connection's session from now on, and a code to close with."""
        code: int | None = None
        match packet["op"], packet.get("d"):
            case (Op.HEARTBEAT, _):
                line.put(json.dumps({"op": Op.HEARTBEAT_ACK}))
            case (Op.IDENTIFY | Op.RESUME, {"token": token}) if token != self.token:
                code = _AUTHENTICATION_FAILED
            case (Op.IDENTIFY, {"intents": int(bits)}) if self._disallowed(Intent(bits)):
                code = _DISALLOWED_INTENTS
            case (Op.IDENTIFY, {"intents": int(bits)}):
                shard = tuple(packet["d"].get("shard", (0, 1)))
                session = self._identify(line, Intent(bits), shard)
            case (Op.RESUME, {"session_id": known, "seq": seq}):
                session = self._resume(line, known, seq)
            case (_, _) if session is None:
                code = _NOT_AUTHENTICATED
            case (Op.REQUEST_MEMBERS, _):
                self._request_members(session, packet["d"])
            case _:
                pass  # presence and voice states concern nobody here
        return session, code

    def _disallowed(self, intents: Intent) -> bool:
        return bool(intents & PRIVILEGED & ~self.privileged)

    def _identify(self, line: Connection, intents: Intent, shard: tuple[int, int]) -> Session:
        session = Session(uuid4().hex, intents, line, shard)
        self.sessions[session.id] = session
        guilds = [guild for guild in self.world.guilds if session.serves(guild)]
        ready: Payload = {
            "v": 10,
            "user": self.world.bot,
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "guilds": [{"id": guild, "unavailable": True} for guild in guilds],
            "private_channels": [],
            "application": {"id": self.world.bot["id"], "flags": self.application_flags},
            "shard": shard,
        }
        session.send("READY", ready)
        for guild in guilds:
            self._guild_create(session, guild)
        return session

    def _guild_create(self, session: Session, guild: str) -> None:
        if Intent.GUILDS in session.intents and session.serves(guild):
            everyone = Intent.GUILD_PRESENCES in session.intents
            session.send("GUILD_CREATE", self.world.guild_create(guild, all_members=everyone))

    def _resume(self, line: Connection, known: str, seq: int) -> Session | None:
        session = self.sessions.get(known)
        if session is None:
            line.put(json.dumps({"op": Op.INVALID_SESSION, "d": False}))
            return None
        if session.connection is not None:
            session.connection.abort()
        session.connection = line
        session.resumes += 1
        for frame in session.events[seq:]:
            line.put(frame)
        session.send("RESUMED", {})
        return session

    def _request_members(self, session: Session, wanted: Payload) -> None:
        chosen = {str(number) for number in wanted.get("user_ids", ())}
        prefix = wanted.get("query") or ""
        members = [
            member
            for member in self.world.members(str(wanted["guild_id"]))
            if not chosen or member["user"]["id"] in chosen
            if member["user"]["username"].startswith(prefix)
        ]
        chunk: Payload = {
            "guild_id": str(wanted["guild_id"]),
            "members": members[: wanted.get("limit") or None],
            "chunk_index": 0,
            "chunk_count": 1,
            "not_found": [],
        }
        if "nonce" in wanted:
            chunk["nonce"] = wanted["nonce"]
        session.send("GUILD_MEMBERS_CHUNK", chunk)
