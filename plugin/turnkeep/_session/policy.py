"""Automatic consolidation: the rule, and the consolidations that run by it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final, cast

from anyio import CancelScope, Event

from .._errors import StoreClosedError, SummaryError
from .._records.key import SessionKey
from .._window.choices import Speakers
from .._window.tokens import TokenCounter, estimate_tokens
from .consolidate import (
    KEEP,
    MAX_TOKENS,
    READ_AHEAD,
    Consolidation,
    Summarize,
    check_count,
    consolidate,
)
from .desk import Desk
from .due import Lengths, Limits

__all__ = ["ConsolidationPolicy", "Consolidations"]

logger: Final = logging.getLogger("turnkeep")


@dataclass(frozen=True, slots=True)
class ConsolidationPolicy:
    """A rule for automatic consolidation: after an answer, once a session is long enough.

    A session is long enough if more than `after_messages` messages, or `after_tokens` tokens, are
    not summarized yet; give at least one of the two. The newest `keep` messages are not folded.
    `summarize`, `max_tokens`, `count_tokens` and `speakers` are those of `Session.consolidate`.

    It runs in `task_group`: anyio's, asyncio's, or a trio nursery. Without one it runs at the end
    of the reply's block, or of an `append` or `extend` with an assistant's turn, after that is
    stored. A summarizer
    that fails is logged, and called again after the next answer. Each session has one
    consolidation at a time. Closing the store cancels those that run.
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
        self.plan  # noqa: B018 (it is checked by being made)
        if self.after_messages is None and self.after_tokens is None:
            raise SummaryError("a policy needs after_messages or after_tokens, to say when")
        for name in ("after_messages", "after_tokens"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), least=1)
        if self.after_messages is not None and self.after_messages <= self.keep:
            raise SummaryError(
                f"after_messages ({self.after_messages}) must be more than keep ({self.keep}): "
                "otherwise there is nothing to summarize"
            )
        if self.task_group is not None and _starter(self.task_group) is None:
            raise SummaryError(
                "task_group is a task group of anyio or asyncio, or a trio nursery, "
                f"not {self.task_group!r:.80}"
            )

    @property
    def plan(self) -> Consolidation:
        """The consolidation to run."""
        return Consolidation(
            self.summarize,
            keep=self.keep,
            max_tokens=self.max_tokens,
            count_tokens=self.count_tokens,
            speakers=self.speakers,
        )

    @property
    def limits(self) -> Limits:
        """The length from which on a session is consolidated."""
        first_read = READ_AHEAD + (self.after_messages or self.keep)
        return Limits(self.after_messages, self.after_tokens, self.plan.options, first_read)


class Consolidations:
    """The automatic consolidations of a store, one at a time in each session."""

    def __init__(self, desk: Desk) -> None:
        self.policy: ConsolidationPolicy | None = None
        self._desk = desk
        self.lengths: Lengths = Lengths()
        self._scopes: dict[str, CancelScope] = {}
        self._ended = Event()

    async def after_answer(self, key: SessionKey) -> None:
        """Run the policy, here or in its task group, unless it runs for this session already."""
        policy = self.policy
        if policy is None or key.text in self._scopes:
            return
        if policy.task_group is None:
            await self._run(key, policy)
            return
        start = _starter(policy.task_group)
        assert start is not None
        try:
            start(self._run, key, policy)
        except RuntimeError as error:
            logger.warning("session %s: not consolidated: %s", key, error)

    async def _run(self, key: SessionKey, policy: ConsolidationPolicy) -> None:
        name = key.text
        if name in self._scopes:
            return  # two were started before the first ran
        with CancelScope() as scope:
            self._scopes[name] = scope
            try:
                if await self.lengths.is_due(self._desk, key, policy.limits):
                    await consolidate(self._desk, key, policy.plan)
            except StoreClosedError:
                pass  # closed between two steps; the next start continues
            except Exception:  # the answer is stored, and must not fail for its summary
                logger.exception(
                    "session %s: not consolidated; it is tried again after the next reply", key
                )
            finally:
                del self._scopes[name]
                self._ended.set()

    async def cancel(self) -> None:
        """Cancel those that run, and return when they have ended."""
        for scope in self._scopes.values():
            scope.cancel()
        while self._scopes:
            self._ended = Event()
            await self._ended.wait()


def _starter(task_group: Any) -> Callable[..., Any] | None:
    """Return the function that starts a task in a group of any of the three libraries."""
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
