"""What reaches a bot from where it has no chat: inline queries, guest messages, businesses.

Both sides stand here, what users do and the methods that answer, since they speak of the same
ids; the emulator and its methods take theirs from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ._server import Clock
from .telegram_account import Account
from .telegram_chats import BUSINESS_OWNER, user
from .telegram_errors import BotApiError, bad_request
from .telegram_text import Json
from .telegram_updates import UpdateQueue


@dataclass(frozen=True)
class Callback:
    """A pressed button: the person, the time, and the kind of its message."""

    user_id: int
    pressed: float
    ephemeral: bool


class QueryMethods(Account):
    """The methods that answer a query.

    `answers` is what the bot answered, by the id of the query, once each.
    """

    def __init__(self, token: str, updates: UpdateQueue, clock: Clock) -> None:
        super().__init__(token, updates, clock)
        self.callbacks: dict[str, Callback] = {}
        self.open_queries: set[str] = set()
        self.answers: dict[str, Any] = {}

    def do_answercallbackquery(self, params: Json) -> bool:
        if params.get("callback_query_id") not in self.callbacks:
            raise too_old()
        return True

    def do_answerinlinequery(self, params: Json) -> bool:
        self._answer(params.get("inline_query_id"), params.get("results"))
        return True

    def do_answerguestquery(self, params: Json) -> Json:
        self._answer(params.get("guest_query_id"), params.get("result"))
        return {"inline_message_id": f"guest-{params['guest_query_id']}"}

    def do_getbusinessconnection(self, params: Json) -> Json:
        connection = self.connections.get(params.get("business_connection_id", ""))
        if connection is None:
            raise bad_request("business connection not found")
        return connection

    def _answer(self, query_id: str | None, answer: Any) -> None:
        if query_id not in self.open_queries:
            raise too_old()
        self.open_queries.remove(query_id)
        self.answers[query_id] = answer


class _Telegram(Protocol):
    """What the users' side needs of the emulator."""

    updates: UpdateQueue
    clock: Clock

    @property
    def bot(self) -> QueryMethods: ...

    def push(self, fields: Mapping[str, Json]) -> Json: ...


class Queries:
    """What users do elsewhere than in a chat with the bot. Each returns the update it queued."""

    def ask_inline(self: _Telegram, text: str, *, user_id: int = 1001) -> Json:
        """A user types the bot's name and a text, in whatever chat: `inline_query`."""
        query_id = _query_of(self)
        query = {"id": query_id, "from": user(user_id, "Ada"), "query": text, "offset": ""}
        return self.push({"inline_query": query})

    def summon(
        self: _Telegram, chat_id: int, text: str, *, user_id: int = 1001, **fields: Any
    ) -> Json:
        """A user mentions the bot in a chat that it is not in: `guest_message`."""
        query_id = _query_of(self)
        chat = {"id": chat_id, "type": "private" if chat_id > 0 else "supergroup"}
        chat["first_name" if chat_id > 0 else "title"] = f"Chat {chat_id}"
        message = {"message_id": 71, "date": int(self.clock.time()), "chat": chat, "text": text}
        sender = {"from": user(user_id, "Ada"), "guest_query_id": query_id}
        return self.push({"guest_message": message | sender | fields})

    def connect(self: _Telegram, connection_id: str) -> Json:
        """The owner of a business account lets the bot write for him: `business_connection`."""
        connection = {
            "id": connection_id,
            "user": BUSINESS_OWNER,
            "user_chat_id": BUSINESS_OWNER["id"],
            "date": int(self.clock.time()),
            "is_enabled": True,
            "rights": {"can_reply": True},
        }
        self.bot.connections[connection_id] = connection
        return self.push({"business_connection": connection})


def _query_of(telegram: _Telegram) -> str:
    query_id = str(5 * 10**9 + telegram.updates.next_id)
    telegram.bot.open_queries.add(query_id)
    return query_id


def too_old() -> BotApiError:
    """Return the refusal of an answer to a query that is unknown or too old."""
    return bad_request("query is too old and response timeout expired or query ID is invalid")
