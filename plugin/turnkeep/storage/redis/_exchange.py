"""Pipelines of scripts, sent again where that is safe, until their answers are there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

from anyio import Event
from redis import exceptions as redis_errors

from ._errors import UNDONE, is_refusal, lost, storage_error
from ._place import Place
from ._scripts import Scripts
from ._server import Server
from ._servers import Servers

__all__ = ["PATIENCE", "Command", "Exchange"]

Argument: TypeAlias = "str | bytes | int"

PATIENCE: Final = 5.0
"""So many seconds verbs wait for a server that restarts, or for a cluster's new primary."""

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.3
_BROKEN: Final = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)


class Command:
    """A script to run, and then its answer or its error.

    `then` looks at it in the event loop once it is done, in the order in which commands were sent.
    If it returns True, the command was sent once more, and its caller waits on.
    """

    __slots__ = (
        "answer",
        "arguments",
        "changes",
        "error",
        "is_abandoned",
        "key",
        "number",
        "script",
        "shard",
        "then",
        "waiter",
    )

    def __init__(
        self, shard: int, key: str, script: str, arguments: Sequence[Argument], changes: bool
    ) -> None:
        self.shard = shard
        self.key = key
        self.script = script
        self.arguments = arguments
        self.changes = changes
        self.waiter: asyncio.Future[None] | Event | None = None
        self.then: Callable[[Command], bool] | None = None
        self.number = 0
        """Its place among the calls of its storage, where the order matters."""
        self.is_abandoned = False
        """True once its caller was cancelled."""
        self.answer: Any = None
        self.error: Exception | None = None

    def redirect(self, shard: int, key: str) -> None:
        """Mean another key, and have no answer yet."""
        self.shard, self.key, self.answer = shard, key, None


class Exchange:
    """Sends commands to the servers that have their shards, and sets their answers."""

    def __init__(self, place: Place, scripts: Scripts) -> None:
        self.scripts = scripts
        self._place = place
        self.servers: Final = Servers(place)
        self._root = f"{place.prefix}:"
        self._ttl = str(place.ttl)

    def run(self, commands: Sequence[Command]) -> None:
        """Set the answer or the error of each command; raise nothing."""
        try:
            self._run(commands)
        except Exception as error:  # noqa: BLE001 (else all that wait would wait for ever)
            self.close()
            for command in commands:
                if command.answer is None and command.error is None:
                    self._fail(self._lose([command]), error)

    def _run(self, commands: Sequence[Command]) -> None:
        todo, pause, deadline = list(commands), _FIRST_PAUSE, 0.0
        while todo:
            again, why = self._attempt(todo)
            if not again:
                return
            deadline = deadline or time.monotonic() + PATIENCE
            if time.monotonic() + pause > deadline:
                for command in again:
                    command.error = storage_error(self._place.name, why or OSError("no answer"))
                return
            if len(again) == len(todo) or isinstance(why, _BROKEN):
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            todo = again
            self._find_again(why)

    def _find_again(self, why: Exception | None) -> None:
        if self.servers.is_cluster and not isinstance(why, redis_errors.NoScriptError):
            # Where none answers, the next attempt says so.
            with suppress(redis_errors.RedisError, OSError):
                self.servers.find(self.scripts)

    def _attempt(self, commands: Sequence[Command]) -> tuple[list[Command], Exception | None]:
        """Send each command to its server; return those to send again, and the reason."""
        groups: dict[Server, list[Command]] = {}
        for command in commands:
            groups.setdefault(self.servers.of(command.shard), []).append(command)
        again: list[Command] = []
        why: Exception | None = None
        sent: list[tuple[Server, list[Command]]] = []
        for server, group in groups.items():
            try:
                server.ready(self.scripts)
            except (redis_errors.RedisError, OSError) as error:
                if is_refusal(error) and not isinstance(error, UNDONE):
                    self._fail(group, error)
                else:
                    again, why = again + group, error
                continue
            try:
                server.send(map(self._request, group))
            except _BROKEN as error:
                again, why = again + self._lose(group), error
                server.close()
            else:
                sent.append((server, group))
        for server, group in sent:
            more, reason = self._receive(server, group)
            if more:
                again, why = again + more, reason
        return again, why

    def _request(self, command: Command) -> tuple[Argument, ...]:
        shard = str(command.shard)
        return (
            "EVALSHA",
            self.scripts.hashes[command.script],
            1,
            f"{self._root}{{{shard}}}:info:{command.key}",
            self._root,
            shard,
            command.key,
            "1" if self.servers.is_cluster else "0",
            self._ttl,
            *command.arguments,
        )

    def _receive(
        self, server: Server, commands: Sequence[Command]
    ) -> tuple[list[Command], Exception | None]:
        again: list[Command] = []
        why: Exception | None = None
        for place, command in enumerate(commands):
            try:
                command.answer = server.answer()
            except UNDONE as error:
                again.append(command)
                why = error
                if isinstance(error, redis_errors.BusyLoadingError):
                    # redis-py closes the connection at this one.
                    server.close()
                    return [*again, *commands[place + 1 :]], error
            except redis_errors.ResponseError as error:
                self._fail([command], error)
            except _BROKEN as error:
                server.close()
                return again + self._lose(commands[place:]), error
        self._mend(server, again, why)
        return again, why

    def _mend(self, server: Server, again: list[Command], why: Exception | None) -> None:
        """Do what the answers of a server ask for before their commands are sent again."""
        try:
            if isinstance(why, redis_errors.NoScriptError):
                server.load(self.scripts)
            elif isinstance(why, redis_errors.AskError):
                self._ask(again, why)
        except (redis_errors.RedisError, OSError):
            server.close()

    def _ask(self, again: list[Command], why: redis_errors.AskError) -> None:
        """Run commands once at the node that is being given their slot."""
        other = self.servers.other(why.host, why.port)
        other.ready(self.scripts)
        for command in list(again):
            other.send([("ASKING",), self._request(command)])
            other.answer()
            again.remove(command)
            more, _ = self._receive(other, [command])
            again.extend(more)

    def _fail(self, commands: Sequence[Command], error: Exception) -> None:
        for command in commands:
            command.error = storage_error(self._place.name, error)

    def _lose(self, commands: Sequence[Command]) -> list[Command]:
        """Return the reads, which are safe to send again; a change may have been made."""
        for command in commands:
            if command.changes:
                command.error = lost(self._place.name)
        return [command for command in commands if not command.changes]

    def close(self) -> None:
        """Close all connections."""
        self.servers.close()
