"""Add up the tokens of answers, and make money of them by the caller's prices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, TypeAlias

from .._records.turn import Turn
from .._records.usage import Usage

__all__ = ["GroupBy", "Price", "Spent", "add_up", "check_by"]

GroupBy: TypeAlias = Literal["session", "sender", "model", "day"]

_A_PRICE_IS_FOR: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """The prices of a million tokens of a model, in any currency.

    Cached tokens cost as much as other input unless `cached` and `cache_written` say otherwise.
    Reasoning is part of the output.
    """

    input: float
    output: float
    cached: float | None = None
    cache_written: float | None = None

    def of(self, usage: Usage) -> float:
        """Return what these tokens cost."""
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.cache_written is None else self.cache_written
        fresh = usage.input - usage.cached - usage.cache_written
        total = fresh * self.input + usage.cached * cached + usage.cache_written * written
        return (total + usage.output * self.output) / _A_PRICE_IS_FOR


@dataclass(slots=True)
class Spent:
    """The tokens of several calls of models: `models` has the sum of each, by its name.

    >>> spent = Spent()
    >>> spent.add(Usage("gpt-5", input=1_000_000, output=100_000))
    >>> spent.cost({"gpt-5": Price(1.25, 10)})
    2.25
    """

    calls: int = 0
    models: dict[str, Usage] = field(default_factory=dict)

    def add(self, usage: Usage) -> None:
        """Add the tokens of one call."""
        known = self.models.get(usage.model)
        self.models[usage.model] = usage if known is None else known + usage
        self.calls += 1

    @property
    def total(self) -> Usage:
        """The sum over all models."""
        total = Usage()
        for usage in self.models.values():
            total += usage
        return total

    def cost(self, prices: Mapping[str, Price]) -> float:
        """Return what the tokens cost by these prices, which are by the names of models.

        A price also holds for names that go on behind its own, such as
        `gpt-5-2025-08-07`; the longest counts. Raises `ValueError` for a model without one.
        """
        return sum(_price(model, prices).of(usage) for model, usage in self.models.items())

    def over_budget(self, limit: float, prices: Mapping[str, Price] | None = None) -> bool:
        """Return True if `limit` is reached: in money by these prices, else in tokens.

        Raises `ValueError` for a limit in tokens that is no whole number, which is one in money
        whose prices are missing.
        """
        if prices is None:
            if limit != int(limit):
                raise ValueError(
                    f"a limit in tokens is a whole number, not {limit!r}: give the prices for a "
                    "limit in money"
                )
            total = self.total
            return total.input + total.output >= limit
        return self.cost(prices) >= limit


def _price(model: str, prices: Mapping[str, Price]) -> Price:
    names = [name for name in prices if model.startswith(name)]
    if not names:
        raise ValueError(f"there is no price for the model {model!r}: add one")
    return prices[max(names, key=len)]


def check_by(by: object) -> None:
    """Raise `ValueError` for an unknown grouping."""
    if by not in ("session", "sender", "model", "day"):
        raise ValueError(f"by is 'session', 'sender', 'model' or 'day', not {by!r}")


async def add_up(
    turns: AsyncIterator[Turn],
    name: Callable[[Turn, Usage, str], str] | None,
    spent: dict[str, Spent],
    since: datetime | None,
) -> None:
    """Add what the turns of one session cost to `spent`.

    `name` gives the group of a turn and its usage; it also gets the id of the sender of the
    message that the turn answers, or an empty text.
    """
    senders: dict[int, str] = {}
    latest = ""
    async for turn in turns:
        if turn.role == "user":
            latest = senders[turn.id] = "" if turn.sender is None else turn.sender.id
        if not turn.usage or (since is not None and turn.time < since):
            continue
        sender = latest if turn.answers is None else senders.get(turn.answers, "")
        for usage in turn.usage:
            group = "" if name is None else name(turn, usage, sender)
            spent.setdefault(group, Spent()).add(usage)
