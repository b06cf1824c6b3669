"""Telegram's limits on how much a bot may send, which are off until a test asks for them.

"When sending messages inside a particular chat, avoid sending more than one message per second. …
In a group, bots are not be able to send more than 20 messages per minute"
(https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this). Short bursts
are forgiven there, and not here. Edits count as messages, as bots find
(https://github.com/tdlib/telegram-bot-api/issues/873).
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass

from ._server import Clock
from .telegram_errors import flooded
from .telegram_text import Json

_COUNTED = ("send", "copy", "forward", "edit")
_FREE = frozenset({"sendchataction", "sendmessagedraft", "sendrichmessagedraft"})
_EVERY_CHAT = 0


@dataclass(frozen=True)
class Limit:
    """At most so many messages in so many seconds."""

    messages: int
    seconds: float


PER_CHAT = Limit(1, 1.0)
PER_GROUP = Limit(20, 60.0)


class SendLimits:
    """The messages sent to each chat, and the limits on them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._chat: Limit | None = None
        self._group: Limit | None = None
        self._sent: defaultdict[int, deque[float]] = defaultdict(deque)
        self._floods: dict[int, float] = {}

    def set(self, chat: Limit | None, group: Limit | None) -> None:
        """Enforce these limits from now on; None lifts one."""
        self._chat, self._group = chat, group
        self._sent.clear()

    def flood(self, chat_id: int | None, seconds: float) -> None:
        """Refuse all that is sent to a chat, or to any, until so many seconds have passed."""
        self._floods[chat_id or _EVERY_CHAT] = self._clock.time() + seconds

    def check(self, method: str, params: Json) -> None:
        """Count the messages of a method, or refuse them without counting."""
        name = method.lower()
        if name in _FREE or not name.startswith(_COUNTED) or "chat_id" not in params:
            return
        now, chat_id = self._clock.time(), params["chat_id"]
        messages = len(params["media"]) if name == "sendmediagroup" else 1
        sent = self._sent[chat_id]
        limits = [self._chat, self._group if isinstance(chat_id, int) and chat_id < 0 else None]
        waits = [self._floods.get(key, now) - now for key in (chat_id, _EVERY_CHAT)]
        for limit in limits:
            recent = [at for at in sent if limit is not None and at > now - limit.seconds]
            if limit is not None and recent and len(recent) + messages > limit.messages:
                leaving = min(len(recent) + messages - limit.messages, len(recent)) - 1
                waits.append(recent[leaving] + limit.seconds - now)
        if (wait := max(waits)) > 0:
            raise flooded(math.ceil(wait))
        sent.extend([now] * messages)
