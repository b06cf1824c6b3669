"""The queue of updates that Telegram's server keeps for one bot.

An update stays until it is confirmed: by a `getUpdates` with a higher offset, or by a webhook
that answers 2xx. Everything a bot must survive, redelivery above all, follows from this.
The rules are those of the server's own source (tdlib/telegram-bot-api, `Client.cpp` and
`WebhookActor.cpp`), except its throttles, which would only slow tests down: it lets a repeated
conflict wait 3 s, and a short poll repeated with the same offset too.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

import aiohttp

from ._server import Clock
from .telegram_chats import content_of
from .telegram_errors import BotApiError, bad_request
from .telegram_text import Json

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
ON_REQUEST_ONLY = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""The kinds that a bot gets only when `allowed_updates` names them."""
MAX_LONG_POLL = 50
KEPT_SECONDS = 24 * 3600.0
"""An update waits for so long (https://core.telegram.org/bots/api#getting-updates)."""
OTHER_POLL = (
    "Conflict: terminated by other getUpdates request; "
    "make sure that only one bot instance is running"
)
WEBHOOK_ACTIVE = (
    "Conflict: can't use getUpdates method while webhook is active; "
    "use deleteWebhook to delete the webhook first"
)


@dataclass(eq=False)
class Entry:
    """An update that waits. Those with one `lane` (a chat) reach a webhook one by one."""

    update: Json
    lane: str
    queued: float
    replay: bool = False


class UpdateQueue:
    """Updates, the offset below which they are confirmed, and the one who fetches them.

    `execute` carries out a method that a webhook put in the body of its answer; `notify` is
    called at every change.
    """

    webhook_retry = 0.05
    """Seconds before a failed delivery is repeated, doubled each time; really 1 s at first."""
    webhook_timeout = 60.0

    def __init__(
        self,
        notify: Callable[[], None],
        execute: Callable[[str, Json], Awaitable[object]],
        clock: Clock,
    ) -> None:
        self.confirmed_offset = 0
        self.webhook = ""
        self.secret = ""
        self.deliveries: list[tuple[int, int]] = []
        """(update_id, HTTP status) of each delivery to the webhook; 0 for none."""
        self.replies: list[str] = []
        """The methods that the webhook put in the bodies of its answers."""
        self.next_id = 870_000_001
        self._entries: list[Entry] = []
        self._allowed: frozenset[str] | None = None
        self._poll: asyncio.Future[None] | None = None
        self._couriers: dict[str, asyncio.Task[None]] = {}
        self._client: aiohttp.ClientSession | None = None
        self._notify = notify
        self._execute = execute
        self._clock = clock

    @property
    def polling(self) -> bool:
        """Whether a long poll is waiting right now."""
        return self._poll is not None

    def __len__(self) -> int:
        self._expire()
        return len(self._entries)

    def push(self, kind: str, content: Json) -> Json:
        """Queue an update and return a copy of it.

        As on the real server the kinds are sorted out here, by what the bot last asked for:
        an update queued before the bot's first `getUpdates` meets the default set.
        """
        update = {"update_id": self.next_id, kind: copy.deepcopy(content)}
        self.next_id += 1
        if kind not in ON_REQUEST_ONLY if self._allowed is None else kind in self._allowed:
            self._entries.append(Entry(update, _lane(kind, content), self._clock.time()))
            self._wake()
        return copy.deepcopy(update)

    def replay(self, update: Json) -> None:
        """Serve this very update again, once, though its id may be confirmed already."""
        lane = _lane(*content_of(update))
        now = self._clock.time()
        self._entries.append(Entry(copy.deepcopy(update), lane, now, replay=True))
        self._wake()

    async def get(
        self,
        offset: int = 0,
        limit: int = 100,
        timeout: int = 0,
        allowed: Collection[str] | None = None,
    ) -> list[Json]:
        """`getUpdates`: confirm what is below the offset, then serve or wait.

        Raises `BotApiError` 409 if a webhook is set, or later, when a newer poll takes over.
        """
        if self.webhook:
            raise BotApiError(409, WEBHOOK_ACTIVE)
        self._allow(allowed)
        self._expire()
        if offset < 0:
            self._keep(self._entries[offset:])
        elif offset <= self.next_id:  # the real queue ignores an offset from the future
            self._keep([e for e in self._entries if e.replay or e.update["update_id"] >= offset])
            self.confirmed_offset = max(self.confirmed_offset, offset)
        batch = self._serve(limit)
        if batch or timeout <= 0:
            return batch
        self._end_poll(OTHER_POLL)
        poll = self._poll = asyncio.get_running_loop().create_future()
        self._notify()
        try:
            async with asyncio.timeout(min(timeout, MAX_LONG_POLL)):
                await poll
        except TimeoutError:
            return []
        finally:
            if self._poll is poll:
                self._poll = None
        return self._serve(limit)

    def set_webhook(
        self, url: str, secret: str, allowed: Collection[str] | None, drop_pending: bool
    ) -> None:
        """`setWebhook`, and with an empty URL `deleteWebhook`: what is queued stays queued."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
            raise bad_request("secret token contains unallowed characters")
        for courier in self._couriers.values():
            courier.cancel()
        self._couriers = {}
        if drop_pending:
            self._keep([])
        self.webhook, self.secret = url, secret
        if url:
            self._allow(allowed)
            self._end_poll("Conflict: terminated by setWebhook request")
        self._wake()

    async def aclose(self) -> None:
        """End the deliveries and the poll under way; the queue itself stays as it is."""
        couriers, self._couriers = self._couriers, {}
        for courier in couriers.values():
            courier.cancel()
        await asyncio.gather(*couriers.values(), return_exceptions=True)
        if self._client is not None:
            await self._client.close()
            self._client = None
        self._end_poll("Internal Server Error: restart", status=500)

    def _allow(self, kinds: Collection[str] | None) -> None:
        """None keeps the setting and an empty list restores the default: the documented rule."""
        if kinds is not None:
            self._allowed = frozenset(kinds) or None

    def _expire(self) -> None:
        oldest = self._clock.time() - KEPT_SECONDS
        self._entries = [entry for entry in self._entries if entry.queued > oldest]

    def _keep(self, entries: list[Entry]) -> None:
        self._entries = entries
        self._notify()

    def _serve(self, limit: int) -> list[Json]:
        """The earliest updates, in the order of their ids, or a replay would push the bot's
        offset back."""
        served = sorted(self._entries, key=lambda e: int(e.update["update_id"]))[:limit]
        self._entries = [e for e in self._entries if not (e.replay and e in served)]
        return [copy.deepcopy(entry.update) for entry in served]

    def _end_poll(self, reason: str, status: int = 409) -> None:
        poll, self._poll = self._poll, None
        if poll is not None and not poll.done():
            poll.set_exception(BotApiError(status, reason))

    def _wake(self) -> None:
        if self.webhook:
            for lane in {entry.lane for entry in self._entries} - self._couriers.keys():
                self._couriers[lane] = asyncio.create_task(self._deliver(lane))
        elif self._entries and self._poll is not None and not self._poll.done():
            self._poll.set_result(None)
        self._notify()

    async def _deliver(self, lane: str) -> None:
        """Post one lane's updates to the webhook, each until it is taken."""
        delay = self.webhook_retry
        try:
            while entry := next((e for e in self._entries if e.lane == lane), None):
                status, method, params = await self._post(entry.update)
                update_id = int(entry.update["update_id"])
                self.deliveries.append((update_id, status))
                if not 200 <= status <= 299:
                    self._notify()
                    await asyncio.sleep(delay)
                    delay *= 2
                    continue
                delay = self.webhook_retry
                self.confirmed_offset = max(self.confirmed_offset, update_id + 1)
                self._keep([e for e in self._entries if e is not entry])
                barred = method.lower() in {"setwebhook", "deletewebhook", "close", "logout"}
                if method and not barred and not method.lower().startswith("get"):
                    self.replies.append(method)
                    await self._execute(method, params)
        finally:
            if self._couriers.get(lane) is asyncio.current_task():
                del self._couriers[lane]

    async def _post(self, update: Json) -> tuple[int, str, Json]:
        """Deliver once; return the HTTP status and the method in the body, if there is one."""
        if self._client is None:
            self._client = aiohttp.ClientSession()
        headers = {SECRET_HEADER: self.secret} if self.secret else {}
        timeout = aiohttp.ClientTimeout(total=self.webhook_timeout)
        try:
            async with self._client.post(
                self.webhook, json=update, headers=headers, timeout=timeout
            ) as response:
                reply = await _read_reply(response) if response.ok else {}
                return response.status, str(reply.pop("method", "")), reply
        except (aiohttp.ClientError, TimeoutError):  # to Telegram a failed delivery like any other
            return 0, "", {}


def _lane(kind: str, content: Json) -> str:
    """All that happens in a chat comes in order; queries come in the order of their user."""
    if "chat" in content:
        return f"chat {content['chat']['id']}"
    return f"{kind} {content.get('from', {}).get('id')}"


async def _read_reply(response: aiohttp.ClientResponse) -> Json:
    """The fields of a webhook's answer: a form as aiogram sends it, or JSON."""
    if response.content_type.startswith("multipart/"):
        fields: Json = {}
        async for part in aiohttp.MultipartReader.from_response(response):
            if isinstance(part, aiohttp.BodyPartReader) and part.name:
                fields[part.name] = await part.text()
        return fields
    if response.content_type == "application/json":
        body = await response.json()
        return body if isinstance(body, dict) else {}
    return {}
