"""A Telegram Bot API server for tests: what a real aiogram bot talks to, over a real socket.

The test plays the users (`say`, `edit`, `press`, `migrate`, ...) and reads what they would see
(`sent`); the bot, usually a subprocess, gets real JSON over HTTP and is refused what Telegram
refuses, in Telegram's words. Beside this file: `telegram_people` (what users do),
`telegram_methods` (what each method does, with `telegram_topics`, `telegram_drafts`,
`telegram_ephemeral` and `telegram_queries`), `telegram_updates` (the queue), `telegram_limits`,
`telegram_chats` and `telegram_text` (what is kept). Time is `clock`, which a test can advance.

Known differences: message ids count per chat, as in supergroups, where Telegram lets private chats
and basic groups share one sequence; links are not found in texts; privacy mode is announced by
`getMe` but filters nothing; rate limits are off until `limit_rates` or `flood`; rich messages come
with `rich=True` (`telegram_rich`).
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ._server import PATIENCE, LocalServer
from .telegram_chats import PHOTO
from .telegram_errors import BotApiError, flooded
from .telegram_limits import PER_CHAT, PER_GROUP, Limit
from .telegram_methods import BotMethods, decode
from .telegram_people import People
from .telegram_queries import Queries
from .telegram_text import Json
from .telegram_updates import UpdateQueue

__all__ = ["PHOTO", "Call", "TelegramEmulator"]

_DESCRIPTIONS = {
    400: "Bad Request",
    403: "Forbidden: bot was blocked by the user",
    500: "Internal Server Error",
    502: "Bad Gateway",
}


@dataclass
class Call:
    """One method call of the bot, with its parameters decoded and how it ended."""

    method: str
    params: Json
    time: float
    result: Any = None
    error: BotApiError | None = None
    lost: bool = False
    """Carried out, but the connection was cut before the answer."""


@dataclass(frozen=True)
class Fault:
    """A failure that waits for its call."""

    method: str
    error: BotApiError
    chat_id: int | None
    lost: bool


class TelegramEmulator(People, Queries, LocalServer):
    """Telegram, as one bot and its users know it.

    `async with TelegramEmulator() as telegram:` and give the bot `telegram.url` and
    `telegram.token`. `stop()` and `start()` are an outage: port, queue and chats stay.
    """

    def __init__(
        self,
        token: str = "42:TEST",
        *,
        port: int = 0,
        reads_all_messages: bool = True,
        rich: bool = False,
    ) -> None:
        super().__init__(port)
        self.token = token
        self.calls: list[Call] = []
        self.updates = UpdateQueue(self.notify, self.call, self.clock)
        self.bot = BotMethods(token, self.updates, self.clock, reads_all_messages)
        self.bot.knows_rich = rich
        self._faults: list[Fault] = []

    @property
    def url(self) -> str:
        """For `TelegramAPIServer.from_base(url)`."""
        return self.origin

    # What a test sees.

    def sent(self, chat_id: int, connection: str = "") -> list[Json]:
        """The bot's messages that are visible in the chat now, edits applied, oldest first."""
        chat = self.bot.chats.get((chat_id, connection))
        if chat is None:
            return []
        visible = sorted(chat.own & chat.messages.keys())
        return [copy.deepcopy(chat.messages[message_id]) for message_id in visible]

    async def wait_sent(
        self, chat_id: int, count: int, timeout: float = PATIENCE, connection: str = ""
    ) -> list[Json]:
        """`sent`, once there are at least `count`."""
        what = f"{count} messages of the bot in chat {chat_id}"
        await self.wait_for(lambda: len(self.sent(chat_id, connection)) >= count, timeout, what)
        return self.sent(chat_id, connection)

    async def wait_taken(self, timeout: float = PATIENCE) -> None:
        """Until the bot polls for more: it has begun to handle all that there was."""
        await self.wait_for(lambda: self.polling and not self.pending(), timeout, "the next poll")

    def called(self, method: str) -> list[Call]:
        """The calls of one method, refused ones included."""
        return [call for call in self.calls if call.method.lower() == method.lower()]

    @property
    def drafts(self) -> dict[tuple[int, int], str]:
        """The previews on screen, by (chat id, draft id)."""
        return {key: draft.text for key, draft in self.bot.drafts.items()}

    def pending(self) -> int:
        """How many updates the bot has not confirmed."""
        return len(self.updates)

    @property
    def confirmed_offset(self) -> int:
        """Updates with a lower id are confirmed."""
        return self.updates.confirmed_offset

    @property
    def polling(self) -> bool:
        """Whether a long poll is waiting now: the bot is up and has taken what there was."""
        return self.updates.polling

    def describe(self) -> str:
        """For the error of `wait_for`."""
        lines = [f"{len(self.calls)} calls, {self.pending()} updates pending; the last calls:"]
        for call in self.calls[-8:]:
            lines.append(f"  {call.method} {call.params} -> {call.error or call.result}")
        return "\n".join(lines)

    # What goes wrong.

    def fail_next(
        self,
        method: str,
        *,
        status: int = 500,
        description: str = "",
        retry_after: int = 0,
        chat_id: int | None = None,
        times: int = 1,
        lost: bool = False,
    ) -> None:
        """Let the next calls of a method fail, or the next to one chat.

        With `lost` the call is carried out and the connection cut before the answer: the bot
        cannot know that its message arrived.
        """
        error = BotApiError(status, description or _DESCRIPTIONS.get(status, "Error"))
        if retry_after:
            error = flooded(retry_after)
            error.description = description or error.description
        self._faults += [Fault(method.lower(), error, chat_id, lost)] * times

    def limit_rates(
        self,
        chat: Limit | None = PER_CHAT,
        group: Limit | None = PER_GROUP,
    ) -> None:
        """Enforce Telegram's limits, or others, from now on; None lifts one."""
        self.bot.limits.set(chat, group)

    def flood(self, seconds: float, chat_id: int | None = None) -> None:
        """Answer all that the bot sends, to one chat or to any, with a 429 for so long.

        Each `retry_after` is what is left of it; `clock.advance` shortens the wait.
        """
        self.bot.limits.flood(chat_id, seconds)

    async def stop(self) -> None:
        """An outage: polls and deliveries end, queue and chats stay."""
        await self.updates.aclose()
        await super().stop()

    # The server.

    def routes(self) -> list[web.RouteDef]:
        """The methods and the download of files."""
        return [
            web.route("*", "/bot{token}/{method}", self._handle),
            web.get("/file/bot{token}/files/{file_id}", self._download),
        ]

    async def call(self, method: str, params: Json) -> Call:
        """Carry out a method and log it; a refusal is the logged call's `error`."""
        call = Call(method, decode(params), time.time())
        self.calls.append(call)
        fault = self._take_fault(call)
        try:
            if fault is not None and not fault.lost:
                raise fault.error
            call.result = await self.bot.run(method, call.params)
            call.lost = fault is not None
        except BotApiError as error:
            call.error = error
        self.notify()
        return call

    def _take_fault(self, call: Call) -> Fault | None:
        chats = (None, call.params.get("chat_id"))
        for fault in self._faults:
            if fault.method == call.method.lower() and fault.chat_id in chats:
                self._faults.remove(fault)
                return fault
        return None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != self.token:
            return _refusal(BotApiError(401, "Unauthorized"))
        call = await self.call(request.match_info["method"], await _read_params(request))
        if call.error is not None:
            return _refusal(call.error)
        if call.lost and request.transport is not None:
            request.transport.close()
        return web.json_response({"ok": True, "result": call.result})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=self.bot.files[request.match_info["file_id"]])


def _refusal(error: BotApiError) -> web.Response:
    body: Json = {"ok": False, "error_code": error.status, "description": error.description}
    if error.parameters:
        body["parameters"] = error.parameters
    return web.json_response(body, status=error.status)


async def _read_params(request: web.Request) -> Json:
    """Query, form or JSON: the Bot API takes all three; an uploaded file becomes its bytes."""
    params: Json = dict(request.query)
    if request.content_type == "application/json":
        params |= await request.json()
    for name, value in (await request.post()).items():
        params[name] = value.file.read() if isinstance(value, web.FileField) else value
    return params
