"""The messages in hand, under leases that let another process answer them after a crash."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary, proxy

import msgspec
from anyio import CancelScope, move_on_after

from .._errors import TurnkeepError
from .._records.identity import TurnRef
from .._records.key import SessionKey
from .._records.turn import Turn
from .._session.desk import Desk
from .._session.leases import ANSWER, Lease, answer_name

__all__ = ["Debt", "Debts", "debts_of"]

_LONGEST_RESUME: Final = 10.0
"""The most seconds that a message waits which is owed from before, and was delivered again."""

logger: Final = logging.getLogger("turnkeep")


class InHand(Protocol):
    """A session that is bound to a message."""

    key: SessionKey
    turn: Turn | None

    @property
    def already_answered(self) -> bool: ...


class Debt:
    """A message that is to be answered, and how far its answers have come.

    `by` names the bot that handles it, and `update` is what that bot needs to do so again.
    """

    def __init__(
        self, desk: Desk, lease: Lease, payload: dict[str, Any], closing: Container[str]
    ) -> None:
        self.lease = lease
        self.payload: dict[str, Any] = payload
        self.in_line = False
        """True if `Overlap` ends it, with the handler that answers it."""
        self.is_again = False
        """True if its handler has not begun yet to handle it again."""
        self.holders = 0
        """The number of tasks that have the message in hand beside `Overlap`."""
        self.answers = 0
        """The number of answers that this process has begun."""
        self._desk = desk
        self._closing = closing
        self._noting: asyncio.Task[None] | None = None
        self._noted: dict[str, Any] = payload

    @property
    def by(self) -> str:
        return str(self.payload["by"])

    @property
    def is_closing(self) -> bool:
        """True if its bot is about to stop: what is cut off now is still owed."""
        return self.by in self._closing

    def turns(self) -> list[Turn]:
        """Return what an earlier try has collected: the tools that have run, with their results."""
        return msgspec.convert(self.payload.get("turns", []), list[Turn])

    def sent(self, answer: int) -> list[str]:
        """Return the source ids of the messages that an earlier try has sent for an answer."""
        return [*self.payload.get("sent", {}).get(str(answer), [])]

    def note_try(self) -> None:
        """Begin to store that the message is handled once more."""
        self._note(tries=self.payload.get("tries", 0) + 1)

    def note_name(self) -> None:
        """Begin to store which turn the message is."""
        self._note()

    def note_place(self, turn: Turn) -> None:
        """Begin to store where the message stands now."""
        self._note(**turn.ref._asdict())

    def note_turns(self, turns: Sequence[Turn]) -> None:
        """Begin to store what a reply has collected."""
        self._note(turns=msgspec.to_builtins([*turns]))

    def note_sent(self, answer: int, source_ids: Sequence[str]) -> None:
        """Begin to store the messages that carry an answer."""
        self._note(sent={**self.payload.get("sent", {}), str(answer): [*source_ids]})

    def _note(self, **changes: Any) -> None:
        self.payload = {**self.payload, **changes}
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._store())

    async def _store(self) -> None:
        try:
            while self._noted is not self.payload:
                self._noted = self.payload
                await self._desk.leases.note(self.lease, self.payload)
        except TurnkeepError as error:
            logger.warning("the state of an answer is not stored: %s", error)

    async def noted(self) -> None:
        """Wait until what was noted is stored."""
        if self._noting is not None:
            await asyncio.shield(self._noting)


class Announced(NamedTuple):
    """A message that is about to be recorded, and is owed an answer already."""

    lease: Lease
    is_again: bool
    """True if it is owed from before."""


class Debts:
    """The messages in hand of one store, in all of its adapters."""

    def __init__(self, desk: Desk) -> None:
        self._desk: Desk = proxy(desk)  # a desk that nobody else has goes, and its debts with it
        self._open: dict[TurnRef, Debt] = {}
        self._leased: Counter[str] = Counter()
        """The names of the open debts' leases."""
        self._announced: dict[str, Announced] = {}
        self.closing: set[str] = set()
        """The bots that are about to stop: what is cut off now is still owed."""
        self._resumed: dict[str, asyncio.Event] = {}

    def begin_life(self, by: str) -> None:
        """Note that a bot starts: what it owes from before goes first."""
        self.closing.discard(by)
        self._resumed[by] = asyncio.Event()

    def has_resumed(self, by: str) -> None:
        """Note that a bot has taken in hand what it owed."""
        if (event := self._resumed.pop(by, None)) is not None:
            event.set()

    def of(self, turn: Turn | None) -> Debt | None:
        """Return the debt of a message, or None."""
        if turn is None or not self._open:
            return None
        return self._open.get(self._desk.answers.name(turn))

    async def announce(
        self, key: SessionKey, source_id: str, by: str, update: Mapping[str, Any]
    ) -> None:
        """Owe an answer to a message before it is recorded: its platform sends it only once.

        `begin` goes on with it. A storage error is logged: the message is recorded all the same.
        """
        name = f"{ANSWER}{source_id}"
        if name in self._announced or name in self._leased:
            return
        payload = _payload(by, update)
        may_be_owed = by in self._resumed
        try:
            lease = await self._desk.leases.take(
                key, name, mark=name, payload=None if may_be_owed else payload
            )
            if lease is None:
                return
            is_again = may_be_owed and bool(lease.claim.payload)
            if may_be_owed and not is_again:
                await self._desk.leases.note(lease, payload)
        except TurnkeepError as error:
            logger.warning("session %s: a crash may leave %s unanswered: %s", key, source_id, error)
            return
        self.adopt_announced(lease, is_again=is_again)

    def adopt_announced(self, lease: Lease, *, is_again: bool) -> None:
        """Owe an answer, under a lease that was taken, to a message that is not recorded yet."""
        self._announced[lease.claim.name] = Announced(lease, is_again)

    async def withdraw(self, source_id: str) -> None:
        """End what was announced, unless `begin` has gone on with it."""
        announced = self._announced.pop(f"{ANSWER}{source_id}", None)
        if announced is not None:
            with CancelScope(shield=True):
                await self._desk.leases.drop(announced.lease)

    async def begin(self, session: InHand, by: str, update: Mapping[str, Any]) -> None:
        """Owe the message in hand an answer, unless it has one, or another process answers it.

        A storage error is logged: the message is handled all the same.
        """
        turn = session.turn
        if turn is None:
            return
        name = self._desk.answers.name(turn)
        if session.already_answered or name in self._open:
            await self.withdraw(turn.source_id or "")
            return
        payload = {**name._asdict(), **_payload(by, update)}
        announced = self._announced.pop(answer_name(turn, name), None)
        if announced is not None:
            await self._go_on(announced, name, payload)
            return
        # Until the bot has resumed, it may be owed from before, and was just delivered again.
        resumed = self._resumed.get(by)
        try:
            lease = await self._desk.leases.take(
                session.key,
                answer_name(turn, name),
                mark=name,
                payload=payload if resumed is None else None,
            )
            if lease is not None and resumed is not None:
                if kept := lease.claim.payload:
                    self.adopt(name, lease, {**payload, **kept}).is_again = True
                    return
                await self._desk.leases.note(lease, payload)
            elif lease is None and resumed is not None:
                with move_on_after(_LONGEST_RESUME):
                    await resumed.wait()
        except TurnkeepError as error:
            logger.warning("%s: a crash would leave its message unanswered: %s", session, error)
            return
        if lease is not None:
            self.adopt(name, lease, payload)

    async def _go_on(self, announced: Announced, name: TurnRef, payload: dict[str, Any]) -> None:
        """Owe an answer to a message that was announced, and is recorded now."""
        lease = announced.lease
        self._desk.leases.call(lease, name)
        debt = self.adopt(name, lease, {**payload, **lease.claim.payload, **name._asdict()})
        debt.is_again = announced.is_again
        if self._desk.is_shared:  # another process may ask what its claim is about
            debt.note_name()

    def adopt(self, name: TurnRef, lease: Lease, payload: dict[str, Any]) -> Debt:
        """Owe an answer under a lease that was taken."""
        if name in self._open:  # another task was quicker
            lease.times -= 1
            return self._open[name]
        debt = self._open[name] = Debt(self._desk, lease, payload, self.closing)
        self._leased[lease.claim.name] += 1
        return debt

    def _close(self, name: TurnRef) -> Debt | None:
        """Take a debt away, and return it."""
        debt = self._open.pop(name, None)
        if debt is not None:
            leased = debt.lease.claim.name
            self._leased[leased] -= 1
            if not self._leased[leased]:
                del self._leased[leased]
        return debt

    async def count_try(self, turns: Iterable[Turn]) -> None:
        """Store that the handler begins, if it is to handle messages again."""
        for turn in turns:
            debt = self.of(turn)
            if debt is not None and debt.is_again:
                debt.is_again = False
                debt.note_try()
                await debt.noted()

    def enter_line(self, turn: Turn) -> None:
        """Leave the end of a debt to `Overlap`."""
        if (debt := self.of(turn)) is not None:
            debt.in_line = True

    async def settle(self, turn: Turn | None, *, cut_off: bool = False) -> None:
        """End the debt of a message whose handler has ended, unless somebody else has it."""
        debt = self.of(turn)
        if turn is not None and debt is not None and not debt.in_line and not debt.holders:
            await self.end([turn], cut_off=cut_off)

    async def forget(self, source_ids: Iterable[str]) -> None:
        """Keep no copy of messages that are deleted, and owe them no answer."""
        source_ids = [*source_ids]
        for one in source_ids:
            await self.withdraw(one)
        names = {f"{ANSWER}{one}" for one in source_ids}
        for name, debt in list(self._open.items()):
            if debt.lease.claim.name in names:
                self._close(name)
                await debt.noted()
                with suppress(TurnkeepError):  # an open reply may still have the lease
                    await self._desk.leases.note(debt.lease, name._asdict())
                    await self._desk.leases.drop(debt.lease)

    async def end(self, turns: Iterable[Turn], *, cut_off: bool = False) -> None:
        """End the debts of messages. What was cut off by the bot's own end stays owed."""
        if not self._open:
            return
        for turn in turns:
            name = self._desk.answers.name(turn)
            debt = self._close(name)
            if debt is None or (cut_off and debt.is_closing):
                continue
            with CancelScope(shield=True):
                try:
                    await debt.noted()
                    await self._desk.leases.drop(debt.lease)
                except TurnkeepError:
                    continue  # it was logged


def _payload(by: str, update: Mapping[str, Any]) -> dict[str, Any]:
    at = datetime.now(timezone.utc).isoformat()
    return {"by": by, "update": update, "at": at, "tries": 0}


_debts: Final[WeakKeyDictionary[Desk, Debts]] = WeakKeyDictionary()


def debts_of(desk: Desk) -> Debts:
    """Return the debts of a store, by its desk."""
    return _debts.get(desk) or _debts.setdefault(desk, Debts(desk))
