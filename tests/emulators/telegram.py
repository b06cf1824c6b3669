"""A Telegram Bot API server for tests: what a real aiogram bot talks to, over a real socket.

The test plays the users (`say`, `edit`, `press`, `migrate`, ...) and reads what they would see
(`sent`); the bot, usually a subprocess, gets real JSON over HTTP and is refused what Telegram
refuses, in Telegram's words. Beside this file: `telegram_methods` (what each method does),
`telegram_queries` (what comes from where the bot has no chat), `telegram_updates` (the queue),
`telegram_chats` and `telegram_text` (what is kept).

Known differences: message ids count per chat, as in supergroups, where Telegram lets private
chats and basic groups share one sequence; Markdown and the detection of links are missing;
privacy mode is announced by `getMe` but filters nothing; the only rate limits are those that a
test injects.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ._server import PATIENCE, LocalServer
from .telegram_chats import ANONYMOUS_ADMIN, PHOTO, Chat, content_of, user, written
from .telegram_methods import BotMethods, decode
from .telegram_queries import Queries
from .telegram_text import BotApiError, Json
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


class TelegramEmulator(Queries, LocalServer):
    """Telegram, as one bot and its users know it.

    `async with TelegramEmulator() as telegram:` and give the bot `telegram.url` and
    `telegram.token`. `stop()` and `start()` are an outage: port, queue and chats stay.
    """

    def __init__(
        self, token: str = "42:TEST", *, port: int = 0, reads_all_messages: bool = True
    ) -> None:
        super().__init__(port)
        self.token = token
        self.calls: list[Call] = []
        self.updates = UpdateQueue(self.notify, self.call)
        self.bot = BotMethods(token, self.updates, reads_all_messages)
        self._faults: list[Fault] = []

    @property
    def url(self) -> str:
        """For `TelegramAPIServer.from_base(url)`."""
        return self.origin

    # What users do. Each returns the update that it queued.

    def open_chat(self, chat_id: int, chat_type: str | None = None, connection: str = "") -> Chat:
        """The chat; after this the bot may write to it, though nobody has spoken in it yet.

        By default a positive id is a private chat, -100... a supergroup, another one a group.
        """
        return self.bot.chats.open(chat_id, chat_type, connection, f"Chat {chat_id}")

    def say(
        self,
        chat_id: int,
        text: str = "",
        *,
        user_id: int | None = None,
        first_name: str = "Ada",
        chat_type: str | None = None,
        thread_id: int = 0,
        is_topic: bool | None = None,
        reply_to: Mapping[str, Any] | int = 0,
        **message_fields: Any,
    ) -> Json:
        """A user writes: `message`, `channel_post`, or with a `business_connection_id`
        `business_message`.

        A `thread_id` is a topic's unless `is_topic=False`; `reply_to` is an update, a message
        or an id. `message_fields` are fields of Telegram's Message (`photo=PHOTO,
        caption="..."`) and override what is made up here. In a private chat the user has the
        chat's id, elsewhere 1001.
        """
        chat = self.open_chat(chat_id, chat_type, message_fields.get("business_connection_id", ""))
        if chat.migrated_to is not None:
            raise ValueError(f"chat {chat_id} has become {chat.migrated_to}")
        sender = user(user_id or (chat_id if chat_id > 0 else 1001), first_name)
        message: Json = {"from": sender}
        if chat.info["type"] == "channel":
            message = {"sender_chat": chat.info}
        message |= written("text", text) | message_fields
        topic = bool(thread_id) if is_topic is None else is_topic
        if not isinstance(reply_to, int):
            reply_to = int(self.bot.chats.find(reply_to)["message_id"])
        return self.push({chat.kind: chat.add(message, thread_id, topic, reply_to)})

    def album(self, chat_id: int, captions: Sequence[str], **say: Any) -> list[Json]:
        """Photos of one media group, one per caption ("" for none), each with its own update."""
        say |= {"photo": PHOTO, "media_group_id": str(13 * 10**15 + self.updates.next_id)}
        return [self.say(chat_id, **say, **written("caption", caption)) for caption in captions]

    def edit(self, target: Mapping[str, Any], new_text: str, **message_fields: Any) -> Json:
        """A user edits a text or a caption; the same text again is an invisible edit."""
        message = self.bot.chats.find(target)
        name = "text" if "text" in message else "caption"
        for gone in (name, "entities", "caption_entities"):
            message.pop(gone, None)
        message |= {"edit_date": int(time.time()), **written(name, new_text), **message_fields}
        return self.push({self.bot.chats.of(message).edited_kind: message})

    def delete(self, target: Mapping[str, Any]) -> Json | None:
        """A user deletes: the bot is told nothing, except in a business chat."""
        message = self.bot.chats.find(target)
        chat = self.bot.chats.of(message)
        del chat.messages[message["message_id"]]
        if not chat.connection:
            return None
        deleted = {"business_connection_id": chat.connection, "chat": chat.info}
        ids = {"message_ids": [message["message_id"]]}
        return self.push({"deleted_business_messages": deleted | ids})

    def press(
        self, target: Mapping[str, Any], data: str, *, user_id: int = 1001, first_name: str = "Ada"
    ) -> Json:
        """A user presses an inline button of a message: `callback_query`."""
        query_id = str(4 * 10**9 + self.updates.next_id)
        self.bot.callbacks.add(query_id)
        query = {"id": query_id, "from": user(user_id, first_name), "chat_instance": "7"}
        message = self.bot.chats.find(target)
        return self.push({"callback_query": {**query, "message": message, "data": data}})

    def migrate(self, old_id: int, new_id: int, *, new_first: bool = False) -> tuple[Json, Json]:
        """A group becomes a supergroup: the update of the old chat, and that of the new.

        Message ids begin anew there and so collide with the old. Which update comes first is
        open: webhooks get the two chats side by side.
        """
        old, new = self.open_chat(old_id, "group"), self.open_chat(new_id, "supergroup")
        new.info["title"], old.migrated_to = old.info["title"], new_id
        left = old.add({"from": user(1001, "Ada"), "migrate_to_chat_id": new_id})
        sender = {"from": ANONYMOUS_ADMIN, "sender_chat": new.info}
        came = new.add({**sender, "migrate_from_chat_id": old_id})
        if new_first:
            came_update = self.push({"message": came})
            return self.push({"message": left}), came_update
        return self.push({"message": left}), self.push({"message": came})

    def push(self, fields: Mapping[str, Json]) -> Json:
        """Queue any update, given as `{kind: content}`; returned with its id.

        A kind for which the bot did not ask is not queued: wait for `polling` first.
        """
        ((kind, content),) = fields.items()
        return self.updates.push(kind, content)

    def redeliver(self, update: Mapping[str, Any], *, same_update_id: bool = False) -> Json:
        """The very same content again: under a new id, or under its old one, served once
        though it may be confirmed already."""
        if not same_update_id:
            return self.updates.push(*content_of(update))
        self.updates.replay(dict(update))
        return copy.deepcopy(dict(update))

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
        return dict(self.bot.drafts)

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
            text = description or f"Too Many Requests: retry after {retry_after}"
            error = BotApiError(status, text, retry_after=retry_after)
        self._faults += [Fault(method.lower(), error, chat_id, lost)] * times

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
