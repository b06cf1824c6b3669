"""Consolidation: older exchanges become a summary, in one step, and stay readable.

What is not summarized yet is read once, from the end of the session back to the pointer. It
goes to the summarizer in pieces that a model can take, the oldest first, and each piece is
stored before the next is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from anyio import CancelScope, Event, Lock

from .._errors import StoreClosedError, SummaryError, WindowError
from .._records.info import SessionInfo
from .._records.key import SessionKey
from .._records.turn import Turn
from .._window.arrange import Exchange, View, arrange, visible
from .._window.cut import Bound, fit, truncated
from .._window.message import Message
from .._window.options import WindowOptions
from .._window.speaker import Speakers
from .._window.summary import checked_summary, summary_message
from .._window.tokens import TokenCounter, estimate_tokens

if TYPE_CHECKING:
    from .session import Session

__all__ = ["ConsolidationPolicy", "Summarize", "consolidate"]

logger: Final = logging.getLogger("turnkeep")

Summarize: TypeAlias = Callable[[list[Message]], Awaitable[str]]
"""Older messages in, first the summary so far as a system message; their summary out."""

KEEP: Final = 20
MAX_TOKENS: Final = 16_000
_READ_AHEAD: Final = 64


@dataclass(frozen=True, slots=True)
class Consolidation:
    """One consolidation, as `Session.consolidate` describes it."""

    summarize: Summarize
    _: KW_ONLY
    keep: int = KEEP
    max_tokens: int = MAX_TOKENS
    count_tokens: TokenCounter = estimate_tokens
    speakers: Speakers | None = None

    def __post_init__(self) -> None:
        if not callable(self.summarize):
            raise SummaryError(
                f"summarize is an async function from messages to text, not {self.summarize!r}"
            )
        _check_count("keep", self.keep, least=0)
        try:
            self.options  # noqa: B018 (it is checked by being made)
        except WindowError as error:
            raise SummaryError(str(error)) from None

    @property
    def options(self) -> WindowOptions:
        """How the messages for the summarizer are made."""
        return WindowOptions(
            max_tokens=self.max_tokens, count_tokens=self.count_tokens, speakers=self.speakers
        )


@dataclass(frozen=True, slots=True)
class ConsolidationPolicy:
    """When a session is consolidated by itself: after a reply, once it is long enough.

    It is, when more than `after_messages` messages, or `after_tokens` tokens, are not
    summarized yet; at least one of the two is given. The newest `keep` messages are left as
    they are. `summarize`, `max_tokens`, `count_tokens` and `speakers` are those of
    `Session.consolidate`.

    It runs in `task_group` (anyio's or asyncio's, or a trio nursery), or without one at the
    end of the reply's block, when the reply is stored. A summarizer that fails is logged,
    and tried again after the next reply. One runs for a session at a time, and closing the
    store cancels those that run.
    """

    summarize: Summarize
    _: KW_ONLY
    after_messages: int | None = None
    after_tokens: int | None = None
    keep: int = KEEP
    max_tokens: int = MAX_TOKENS
    count_tokens: TokenCounter = estimate_tokens
    speakers: Speakers | None = None
    task_group: Any = None

    def __post_init__(self) -> None:
        self._plan  # noqa: B018 (it is checked by being made)
        if self.after_messages is None and self.after_tokens is None:
            raise SummaryError("a policy needs after_messages or after_tokens, to say when")
        for name in ("after_messages", "after_tokens"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name), least=1)
        if self.after_messages is not None and self.after_messages <= self.keep:
            raise SummaryError(
                f"after_messages ({self.after_messages}) is more than keep ({self.keep}), "
                "or there is nothing to summarize when it is reached"
            )
        if self.task_group is not None and _starter(self.task_group) is None:
            raise SummaryError(
                "task_group is one of anyio or asyncio, or a trio nursery, "
                f"not {self.task_group!r:.80}"
            )

    @property
    def _plan(self) -> Consolidation:
        return Consolidation(
            self.summarize,
            keep=self.keep,
            max_tokens=self.max_tokens,
            count_tokens=self.count_tokens,
            speakers=self.speakers,
        )


def _check_count(name: str, count: object, *, least: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < least:
        raise SummaryError(f"{name} is a whole number, {least} or more, not {count!r}")


@dataclass(frozen=True, slots=True)
class Backlog:
    """What may be summarized of a session: `exchanges`, and the id before what stands behind."""

    info: SessionInfo
    exchanges: list[Exchange]
    reach: int

    def piece(self, summary: str | None, first: int, plan: Consolidation) -> tuple[int, int]:
        """How many exchanges, from the `first` on, fit into one call; and where they end.

        At least one: an exchange that is too long by itself is cut in its middle.
        """
        room = plan.max_tokens
        if summary:
            room -= plan.options.tokens(summary_message(summary))
        for count, exchange in enumerate(self.exchanges[first:]):
            room -= sum(map(plan.options.cost, exchange.turns))
            if room < 0 and count:
                return count, exchange.user.id - 1
        return len(self.exchanges) - first, self.reach


def backlog(
    info: SessionInfo, turns: Sequence[Turn], *, keep: int, first_open: int, complete: bool
) -> Backlog | None:
    """What is older than the newest `keep` messages; None if more must be read to tell.

    It ends just before a user turn, and before `first_open`, a turn to which a reply is
    open: its answer would be behind the pointer, unseen. It never takes the latest one.
    """
    shown, complete = visible(info, turns, View(), complete=complete)
    if not complete:
        return None
    exchanges = arrange(shown).exchanges
    kept = 0
    for place in range(len(exchanges) - 1, 0, -1):
        kept += len(exchanges[place].turns)
        if kept >= keep and exchanges[place].user.id <= first_open:
            return Backlog(info, exchanges[:place], exchanges[place].user.id - 1)
    return Backlog(info, [], 0)


async def consolidate(session: Session, plan: Consolidation) -> bool:
    """Summarizes all that is older than what is kept; whether there was anything."""
    done = False
    async with session._store._consolidations.alone(session.key):
        found = await _read_backlog(session, plan.keep)
        if found is None:
            return False
        summary, first = found.info.summary, 0
        while first < len(found.exchanges):
            count, reach = found.piece(summary, first, plan)
            piece = found.exchanges[first : first + count]
            summary = await _summarized(session, piece, summary, plan)
            if session._store._first_open_reply(session.key) <= reach:
                break  # begun meanwhile
            async with session._store._use(session.key, write=True) as storage:
                epoch = found.info.epoch_id
                if not await storage.consolidate(session.key, reach, summary, epoch=epoch):
                    break  # cleared meanwhile, or done by another process
            done = True
            first += count
    return done


async def _read_backlog(session: Session, keep: int) -> Backlog | None:
    limit = 2 * keep + _READ_AHEAD
    while True:
        # As for a write, so that a read-only store refuses before a model was asked.
        async with session._store._use(session.key, write=True) as storage:
            info, turns = await storage.read(session.key, limit=limit)
        if info is None:
            return None
        found = backlog(
            info,
            turns,
            keep=keep,
            first_open=session._store._first_open_reply(session.key),
            complete=len(turns) < limit,
        )
        if found is not None:
            return found
        limit *= 4


async def _summarized(
    session: Session, piece: Sequence[Exchange], summary: str | None, plan: Consolidation
) -> str:
    where = f"session {session.key}: "
    messages = [] if summary is None else [summary_message(summary)]
    bound = Bound(plan.max_tokens, plan.options.cost, 0)
    for exchange in piece:
        exchange = fit(exchange, [bound])
        user = truncated(exchange.user, bound, "truncate")
        messages += map(plan.options.message, Exchange(user, exchange.groups).turns)
    answer: Any = plan.summarize(messages)
    if not isawaitable(answer):
        raise SummaryError(
            f"{where}summarize gave {type(answer).__name__} and is to be an async function: "
            "write 'async def'; nothing was changed"
        )
    return checked_summary(await answer, where)


class Consolidations:
    """Those that run in a store: by hand one after the other, by policy one at a time."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[Lock, int]] = {}
        self._scopes: dict[str, CancelScope] = {}
        self._ended = Event()

    @asynccontextmanager
    async def alone(self, key: SessionKey) -> AsyncGenerator[None]:
        """Keeps others of the same session waiting."""
        lock, waiting = self._locks.get(key.text, (Lock(), 0))
        self._locks[key.text] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks.pop(key.text)
            if waiting > 1:
                self._locks[key.text] = lock, waiting - 1

    async def after_reply(self, session: Session, policy: ConsolidationPolicy) -> None:
        """Runs the policy, here or in its task group, unless it runs for this session."""
        if session.key.text in self._scopes:
            return
        if policy.task_group is None:
            await self._run(session, policy)
            return
        start = _starter(policy.task_group)
        assert start is not None
        try:
            start(self._run, session, policy)
        except RuntimeError as error:
            logger.warning("session %s: not consolidated: %s", session.key, error)

    async def _run(self, session: Session, policy: ConsolidationPolicy) -> None:
        name = session.key.text
        if name in self._scopes:
            return  # two were started before the first one ran
        with CancelScope() as scope:
            self._scopes[name] = scope
            try:
                if await _is_due(session, policy):
                    await consolidate(session, policy._plan)
            except StoreClosedError:
                pass  # closed between two steps; the next start goes on
            except Exception:
                logger.exception(
                    "session %s: not consolidated; it is tried again after the next reply",
                    session.key,
                )
            finally:
                del self._scopes[name]
                self._ended.set()

    async def cancel(self) -> None:
        """Ends those that run by policy, and returns when they have ended."""
        for scope in self._scopes.values():
            scope.cancel()
        while self._scopes:
            self._ended = Event()
            await self._ended.wait()


async def _is_due(session: Session, policy: ConsolidationPolicy) -> bool:
    """Whether more is not summarized than the policy allows."""
    limit = _READ_AHEAD + (policy.after_messages or policy.keep)
    options = policy._plan.options
    while True:
        async with session._store._use(session.key) as storage:
            info, turns = await storage.read(session.key, limit=limit)
        if info is None:
            return False
        shown, complete = visible(info, turns, View(), complete=len(turns) < limit)
        exchanges = arrange(shown).exchanges
        if policy.after_messages is not None:
            length = sum(len(exchange.turns) for exchange in exchanges)
            if length > policy.after_messages:
                return True
        if policy.after_tokens is not None:
            tokens = sum(options.cost(turn) for one in exchanges for turn in one.turns)
            if tokens > policy.after_tokens:
                return True
        if complete:
            return False
        limit *= 2


def _starter(task_group: Any) -> Callable[..., Any] | None:
    """The function that starts a task in a group of any of the libraries."""
    start = getattr(task_group, "start_soon", None)  # anyio, trio
    if callable(start):
        return cast("Callable[..., Any]", start)
    create = getattr(task_group, "create_task", None)  # asyncio
    if not callable(create):
        return None

    def start_in_asyncio(function: Callable[..., Any], *args: object) -> None:
        running = function(*args)
        try:
            create(running)
        except RuntimeError:
            running.close()
            raise

    return start_in_asyncio
