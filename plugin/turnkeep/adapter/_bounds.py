"""The bounds of paid work: how many messages wait, and how many answers a person gets."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Final, Literal, NamedTuple, TypeAlias

import anyio

from .._records.key import SessionKey
from ._outlet import Outlet
from ._recent import Recent

__all__ = ["MAX_WAITING", "Bounds", "RateLimit", "Refusal", "Refused", "RefusedError", "in_english"]

logger: Final = logging.getLogger("turnkeep")

MAX_WAITING: Final = 20
"""The most handlers of a session that wait, by default."""

_PEOPLE_KEPT: Final = 10_000


@dataclass(frozen=True)
class RateLimit:
    """The most answers that one person gets from the bot in some time, in all chats together.

    >>> RateLimit(20, per=timedelta(minutes=1)).answers
    20
    """

    answers: int
    per: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        if isinstance(self.answers, bool) or self.answers < 1:
            raise ValueError(
                f"a rate is a whole number of answers, 1 or more, not {self.answers!r}"
            )
        if self.per <= timedelta(0):
            raise ValueError(f"a rate is per a time longer than 0, not {self.per!r}")


class Refusal(NamedTuple):
    """The reason why a message gets no answer.

    - `reason`: `"waiting"` if too many messages of its session wait, `"limit"` if the person has
      had as many answers as `limit` says.
    - `seconds`: with `"limit"`, the time until this person may ask again; otherwise 0.
    """

    reason: Literal["waiting", "limit"]
    seconds: float = 0


Refused: TypeAlias = str | Callable[[Refusal], str]
"""The bot's words to a person whose message gets no answer; an empty text says nothing."""


class RefusedError(RuntimeError):
    """Ends the handler of a command that may not ask the model now; the person was told why."""

    def __init__(self, key: SessionKey, refusal: Refusal) -> None:
        super().__init__(f"session {key}: this command gets no answer ({refusal.reason})")
        self.refusal = refusal


def in_english(refusal: Refusal) -> str:
    """Return what the bot says by default."""
    if refusal.reason == "waiting":
        return "Too many messages are waiting for an answer here. Please ask again later."
    return f"That was a lot at once. Please ask again in {ceil(refusal.seconds)} seconds."


class Bounds:
    """The bounds of one adapter: who is refused, and what they are told."""

    def __init__(
        self,
        max_waiting: int = MAX_WAITING,
        limit: RateLimit | None = None,
        refused: Refused = in_english,
        *,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        if isinstance(max_waiting, bool) or max_waiting < 1:
            raise ValueError(
                f"max_waiting is a whole number of messages, 1 or more, not {max_waiting!r}"
            )
        self.max_waiting = max_waiting
        self._limit = limit
        self._refused = refused
        self._clock = clock
        self._answers: Recent[str, deque[float]] = Recent(_PEOPLE_KEPT)
        self._told: Recent[tuple[str, str], None] = Recent(_PEOPLE_KEPT)

    def charge(self, key: SessionKey, people: Iterable[str]) -> Refusal | None:
        """Count an answer for each of these people; return a refusal if none may have one."""
        asked = dict.fromkeys(people)
        limit = self._limit
        if limit is None:
            allowed = [*asked]
        else:
            rests = {person: self._rest(person, limit) for person in asked}
            allowed = [person for person, rest in rests.items() if rest <= 0]
            if rests and not allowed:
                return Refusal("limit", min(rests.values()))
        for person in allowed:
            self._told.pop((key.text, person), None)
            if limit is not None:
                self._answers[person].append(self._clock())
        return None

    def _rest(self, person: str, limit: RateLimit) -> float:
        """Return the seconds until a person may have an answer; 0 if now."""
        now, per = self._clock(), limit.per.total_seconds()
        times = self._answers.get(person)
        if times is None:
            times = self._answers[person] = deque()
        self._answers.move_to_end(person)
        while times and times[0] <= now - per:
            times.popleft()
        return times[0] + per - now if len(times) >= limit.answers else 0

    async def tell(
        self,
        key: SessionKey,
        person: str,
        outlet: Outlet | None,
        refusal: Refusal,
        *,
        again: bool = False,
    ) -> None:
        """Say in a chat that there is no answer: once to a person until they get one, or `again`.

        With one text for each of a thousand messages the bot would be what floods the chat.
        """
        name = (key.text, person)
        if outlet is None or (name in self._told and not again):
            return
        self._told[name] = None
        text = self._refused(refusal) if callable(self._refused) else self._refused
        if not text:
            return
        try:
            await outlet.send(text)
        except Exception:  # the message is recorded, and a platform's error must not hide that
            logger.warning("a person could not be told that there is no answer", exc_info=True)
