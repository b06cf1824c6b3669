"""The answers to one question, of which windows show one.

An answer that was replaced stays stored: its turns are hidden and have a name, their `variant`.
The question has the name of the answer that is shown. Showing another one is one change of the
storage, so every reader sees either the one or the other.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from .._records.identity import Expected
from .._records.key import SessionKey
from .._records.turn import Turn
from ..storage.base import Change
from .desk import Desk
from .reading import Turns, locate, read_latest_exchange, turn_at

__all__ = [
    "Answered",
    "also_answered",
    "choose",
    "question_of",
    "question_to_replace",
    "read_answers",
    "show",
    "store_variant",
    "with_variants",
]

replace: Final = msgspec.structs.replace

_SAID: Final = ("assistant", "tool")


def question_of(turn: Turn) -> int | None:
    """Return the id of the question that a turn answers first of all; None if it names none."""
    if turn.answers is not None or not turn.also_answers:
        return turn.answers
    return turn.also_answers[-1]  # a late answer


class Answered(NamedTuple):
    """The turns that answer one question, ascending."""

    turns: Sequence[Turn] = ()

    @property
    def shown(self) -> list[Turn]:
        """The turns of the answer that windows show."""
        return [turn for turn in self.turns if not turn.hidden]

    def named(self, variant: str) -> list[Turn]:
        """Return the turns of one answer."""
        return [turn for turn in self.turns if turn.variant == variant]

    def variants(self) -> list[list[Turn]]:
        """Return the answers in the order in which they were given."""
        found: dict[str, list[Turn]] = {}
        for turn in self.turns:
            if turn.variant or not turn.hidden:
                found.setdefault(turn.variant, []).append(turn)
        return list(found.values())


async def read_answers(desk: Desk, key: SessionKey, question: Turn) -> Answered:
    """Return what answers a question, as it is stored now.

    Turns that name no question answer the latest one before them. They are the answer only if no
    answer that names this question was ever shown; else the bot said them by itself.
    """
    named: list[Turn] = []
    unnamed: list[Turn] = []
    is_latest = not question.variant
    async for turn in Turns(desk, key, "all", question.id):
        is_latest = is_latest and turn.epoch == question.epoch
        if turn.role == "user":
            is_latest = is_latest and turn.hidden
        elif turn.role in _SAID and (turn.variant or not turn.hidden):
            asked = question_of(turn)
            if asked == question.id:
                named.append(turn)
            elif asked is None and is_latest:
                unnamed.append(turn)
    if all(turn.hidden for turn in named):
        return Answered([*unnamed, *named])
    return Answered(named)


async def question_to_replace(desk: Desk, key: SessionKey, to: Turn | None) -> Turn | None:
    """Return the question whose answer a reply replaces: that of `to`, or the latest one.

    A message of a burst is answered with the last one of it.
    """
    if to is None:
        latest = await read_latest_exchange(desk, key)
        return None if latest is None else latest.user
    _, there = await locate(desk, key, to)
    if there is None:
        return to
    with_others: int | None = None
    async for turn in Turns(desk, key, "all", there.id):
        if question_of(turn) == there.id:
            return there
        if with_others is None and turn.answers_one_of((there.id,)):
            with_others = question_of(turn)
    return there if with_others is None else await turn_at(desk, key, with_others) or there


async def also_answered(desk: Desk, key: SessionKey, question: Turn) -> tuple[int, ...]:
    """Return the other messages that the answer to a question is for."""
    shown = (await read_answers(desk, key, question)).shown
    also = dict.fromkeys(one for turn in shown for one in turn.also_answers)
    return tuple(one for one in also if one != question.id)


async def store_variant(
    desk: Desk,
    key: SessionKey,
    question: Turn,
    turns: Iterable[Turn],
    store: Callable[[list[Turn]], Awaitable[list[Turn] | None]],
    *,
    interrupted: bool,
) -> tuple[list[Turn] | None, list[Turn]]:
    """Store a reply's turns by `store`, and show them instead of the answer to the question.

    Until then the old answer is shown. The part of a reply does not replace a whole answer.
    Return the stored turns, None if the session is no longer as expected, and the turns that they
    replaced.
    """
    name = secrets.token_hex(4)
    before = (await read_answers(desk, key, question)).shown
    stored = await store([replace(turn, variant=name, hidden=bool(before)) for turn in turns])
    if stored is None or (interrupted and not all(turn.interrupted for turn in before)):
        return stored, []
    shown = await show(desk, key, question, name)
    if not shown:  # the question is gone
        ids, expected = [turn.id for turn in stored], Expected(stored[0].generation)
        async with desk.use(key, write=True) as storage:
            await desk.surely(partial(storage.delete, key, ids, expected=expected))
        return None, []
    now = {turn.id: turn for turn in shown}
    return [now.get(turn.id, turn) for turn in stored], before


async def choose(desk: Desk, key: SessionKey, answer: Turn) -> list[Turn]:
    """Show the answer that a stored turn belongs to; return its turns, or none if it has none."""
    asked = question_of(answer)
    question = None if asked is None else await turn_at(desk, key, asked)
    if question is not None and answer.variant:
        return await show(desk, key, question, answer.variant)
    if answer.hidden:
        return []
    return [answer] if question is None else (await read_answers(desk, key, question)).shown


async def with_variants(desk: Desk, key: SessionKey, turns: Sequence[Turn]) -> list[Turn]:
    """Return turns that are to be deleted, with the replaced answers to the questions in them."""
    gone = {turn.id for turn in turns}
    found = [*turns]
    for question in turns:
        if question.role == "user" and question.variant:
            answers = (await read_answers(desk, key, question)).turns
            found += [turn for turn in answers if turn.is_replaced and turn.id not in gone]
    return found


async def show(desk: Desk, key: SessionKey, question: Turn, variant: str) -> list[Turn]:
    """Show one answer to a question instead of the others, in one step.

    Return the turns of that answer, or none if it is gone.
    """
    while True:
        info, asked = await locate(desk, key, question)
        if info is None or asked is None:
            return []
        answered = await read_answers(desk, key, asked)
        chosen = answered.named(variant)
        changes = _changes(asked, answered, chosen, variant)
        if not (chosen and changes):
            return chosen
        expected = info.expected(revision=True)
        async with desk.use(key, write=True) as storage:
            change = partial(storage.change, key, changes, expected=expected)
            changed, _ = await desk.surely(change)
        if changed:
            now = {turn.id: turn for turn in changed}
            return [now.get(turn.id, turn) for turn in chosen]
        # Another task, or an earlier call whose answer was lost, has changed the session.


def _changes(
    question: Turn, answered: Answered, chosen: Iterable[Turn], variant: str
) -> dict[int, Change | None]:
    """Return the changes that show one answer, and hide what is shown now under a name."""
    changes: dict[int, Change | None] = {
        turn.id: Change(hidden=False) for turn in chosen if turn.hidden
    }
    name = secrets.token_hex(4)
    for turn in answered.shown:
        if turn.variant != variant:
            change = Change(hidden=True, variant=turn.variant or name)
            if question_of(turn) is None:
                change = replace(change, answers=question.id)
            changes[turn.id] = change
    if question.variant != variant:
        changes[question.id] = Change(variant=variant)
    return changes
