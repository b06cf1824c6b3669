"""The costs of answers are stored with them, and added up."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from turnkeep import InvalidTurnError, Price, SessionStore, Usage, broken_prefix

from .test_reply_add import ANSWERS, returned

pytestmark = pytest.mark.anyio

DAY = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)
PRICES = {"gpt-5": Price(1.25, 10, cached=0.125), "claude": Price(3, 15, 0.3, 3.75)}


async def filled(store: SessionStore) -> None:
    """Two sessions, two people, and an answer of each API for each of them."""
    for key, sender in (("a:1", "ada"), ("a:1", "bob"), ("b:2", "ada")):
        session = store.session(key)
        for shape in ANSWERS:
            message = await session.receive("q", sender=sender)
            async with message.reply() as reply:
                reply.add(returned(shape, "object"))


def independent() -> tuple[int, int, int, int]:
    """The input, cached, output and reasoning tokens of the four responses, summed by hand."""
    return 90 + 100 + 95 + 80, 64 + 10 + 70 + 16, 30 + 50 + 33 + 42, 20 + 40 + 0 + 30


async def test_totals_equal_an_independent_sum_to_the_token(store: SessionStore) -> None:
    await filled(store)
    total = (await store.session("a:1").usage()).total
    counted = (total.input, total.cached, total.output, total.reasoning)
    assert counted == tuple(2 * one for one in independent())


@pytest.mark.parametrize(
    ("by", "calls"),
    [
        ("session", {"a:1": 8, "b:2": 4}),
        ("sender", {"ada": 8, "bob": 4}),
        (
            "model",
            {"deepseek-reasoner": 3, "gpt-5": 3, "claude-sonnet-5": 3, "gemini-3-pro": 3},
        ),
    ],
)
async def test_a_store_adds_up_by_what_is_asked(
    store: SessionStore, by: Any, calls: dict[str, int]
) -> None:
    await filled(store)
    assert {name: spent.calls for name, spent in (await store.usage(by=by)).items()} == calls


async def test_a_store_adds_up_by_day_and_prefix_and_since(store: SessionStore) -> None:
    for day, key in ((0, "a:1"), (1, "a:1"), (1, "b:2")):
        session = store.session(key)
        await session.append("user", "q", time=DAY + timedelta(days=day))
        usage = [Usage("m", input=10, output=1)]
        await session.append("assistant", "a", time=DAY + timedelta(days=day), usage=usage)
    by_day = await store.usage(by="day")
    assert {day: spent.calls for day, spent in by_day.items()} == {
        "2026-05-01": 1,
        "2026-05-02": 2,
    }
    assert [*await store.usage(prefix="b:")] == ["b:2"]
    later = await store.session("a:1").usage(since=DAY + timedelta(hours=1))
    assert later.total.input == 10


async def test_an_unknown_group_is_an_error_that_names_the_known_ones(store: SessionStore) -> None:
    with pytest.raises(ValueError, match="'session', 'sender', 'model' or 'day'"):
        await store.usage(by="year")  # type: ignore[arg-type]


async def test_a_reply_stores_the_usage_that_it_is_told(store: SessionStore) -> None:
    session = store.session("a:1")
    await session.append("user", "q")
    async with session.reply() as reply:
        reply.usage(returned("openai", "object"))
        reply.usage(Usage("m", input=1))
        reply.add_text("streamed")
    assert (await session.usage()).total.input == 91
    assert [usage.model for usage in reply.turns[0].usage] == ["deepseek-reasoner", "m"]


async def test_what_tells_no_usage_is_an_error(store: SessionStore) -> None:
    session = store.session("a:1")
    await session.append("user", "q")
    async with session.reply() as reply:
        junks: list[Any] = [None, 7, {"usage": None}, {"choices": []}]
        for junk in junks:
            with pytest.raises(InvalidTurnError, match="session a:1: usage takes a response"):
                reply.usage(junk)


async def test_prices_make_money_of_tokens_and_a_limit_can_be_asked(store: SessionStore) -> None:
    session = store.session("a:1")
    await session.append("user", "q")
    gpt = Usage("gpt-5-2025-08-07", input=1_000_000, cached=400_000, output=100_000)
    claude = Usage("claude-x", input=100, cached=50, cache_written=20, output=10)
    await session.append("assistant", "a", usage=[gpt, claude])
    spent = await session.usage()
    euros = 0.6 * 1.25 + 0.4 * 0.125 + 1 + (30 * 3 + 50 * 0.3 + 20 * 3.75 + 10 * 15) / 1e6
    assert spent.cost(PRICES) == pytest.approx(euros)
    assert spent.over_budget(1.5, PRICES)
    assert not spent.over_budget(2.5, PRICES)
    assert spent.over_budget(1_100_000)
    assert not spent.over_budget(1_200_000)
    with pytest.raises(ValueError, match=r"whole number, not 0\.5: give the prices"):
        spent.over_budget(0.5)
    with pytest.raises(ValueError, match="no price for the model 'gpt-5"):
        spent.cost({"claude": Price(1, 1)})


async def test_the_message_that_broke_the_cached_prefix_is_told(store: SessionStore) -> None:
    session = store.session("a:1")
    for number in range(4):
        await session.append("user", f"question {number}")
        await session.append("assistant", f"answer {number}")
    before = await session.get_history()
    await session.append("user", "more")
    assert broken_prefix(before, await session.get_history()) is None
    await session.edit(4, "changed")
    assert broken_prefix(before, await session.get_history()) == 3
    assert broken_prefix(before, before[:2]) == 2
