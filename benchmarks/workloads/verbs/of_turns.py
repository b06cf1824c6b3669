"""The verbs on one chat, which is made longer and longer."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from turnkeep import Turn

from .subjects import TEXT, Subject, grow_turns
from .verb import Verb, verb

ON: list[Verb] = []
LEGIBLE = 4000
"""Tokens of a window."""


async def _exchange(on: Subject) -> tuple[Turn, Turn]:
    number = on.unique()
    received = await on.session.receive(f"{number} {TEXT}", source_id=f"new{number}")
    answer = await received.append("assistant", TEXT)
    assert received.turn is not None
    return received.turn, answer


@verb(ON)
async def append(on: Subject) -> Awaitable[Any]:
    return on.session.append("user", TEXT, source_id=f"new{on.unique()}")


@verb(ON)
async def append_an_answer(on: Subject) -> Awaitable[Any]:
    received = await on.session.receive(TEXT, source_id=f"new{on.unique()}")
    return received.append("assistant", TEXT)


@verb(ON)
async def append_a_message_again(on: Subject) -> Awaitable[Any]:
    question, _ = await _exchange(on)
    return on.session.append("user", TEXT, source_id=question.source_ids[0])


@verb(ON)
async def reply(on: Subject) -> Awaitable[Any]:
    received = await on.session.receive(TEXT, source_id=f"new{on.unique()}")

    async def answer() -> None:
        async with received.reply() as reply:
            await reply.get_history(50)
            reply.add_text(TEXT)

    return answer()


@verb(ON)
async def get_history_50_messages(on: Subject) -> Awaitable[Any]:
    await _exchange(on)
    return on.session.get_history(50)


@verb(ON)
async def get_history_4000_tokens(on: Subject) -> Awaitable[Any]:
    await _exchange(on)
    return on.session.get_history(max_tokens=LEGIBLE)


@verb(ON)
async def edit_the_latest(on: Subject) -> Awaitable[Any]:
    question, _ = await _exchange(on)
    return on.session.edit(question.source_ids[0], f"{on.unique()} changed")


@verb(ON)
async def edit_the_latest_by_turn(on: Subject) -> Awaitable[Any]:
    _, answer = await _exchange(on)
    return on.session.edit(answer, f"{on.unique()} changed {TEXT}")


@verb(ON)
async def edit_a_live_location(on: Subject) -> Awaitable[Any]:
    """The same message over and over."""
    live = on.kept.setdefault("live", {})
    if on.size not in live:
        live[on.size] = (await _exchange(on))[0].source_ids[0]
    return on.session.edit(live[on.size], f"{on.unique():08} {TEXT}")


@verb(ON)
async def edit_one_500_turns_back(on: Subject) -> Awaitable[Any]:
    latest = await on.session.latest()
    assert latest is not None
    return on.session.edit(max(1, latest.id - 500), f"{on.unique()} changed {TEXT}")


@verb(ON, linear=("os", "disk"))
async def edit_an_old_one(on: Subject) -> Awaitable[Any]:
    return on.session.edit(on.size // 2 + 1, f"{on.unique()} changed {TEXT}")


@verb(ON)
async def delete_the_latest(on: Subject) -> Awaitable[Any]:
    question, _ = await _exchange(on)
    return on.session.delete(question.source_ids[0])


@verb(ON, linear=("os", "disk"), most=5)
async def delete_an_old_one(on: Subject) -> Awaitable[Any]:
    gone = on.kept["gone"] = on.kept.get("gone", 0) + 1
    return on.session.delete(on.size // 3 + gone)


@verb(ON)
async def undo(on: Subject) -> Awaitable[Any]:
    await _exchange(on)
    return on.session.undo()


@verb(ON)
async def find_the_latest(on: Subject) -> Awaitable[Any]:
    question, _ = await _exchange(on)
    return on.session.find(question.source_ids[0])


@verb(ON, linear=("os", "disk"))
async def find_an_old_one(on: Subject) -> Awaitable[Any]:
    return on.session.find(f"m{on.size // 4 * 2}")


@verb(ON, linear=("os", "disk"))
async def find_one_that_is_not_there(on: Subject) -> Awaitable[Any]:
    return on.session.find(f"none{on.unique()}")


@verb(ON)
async def turns_last_100(on: Subject) -> Awaitable[Any]:
    return _all(on, last=100)


@verb(ON)
async def turns_100_in_the_middle(on: Subject) -> Awaitable[Any]:
    async def some() -> None:
        count = 0
        async for _ in on.session.turns(after=on.size // 2):
            count += 1
            if count == 100:
                return

    return some()


@verb(ON, linear=True)
async def turns_all(on: Subject) -> Awaitable[Any]:
    return _all(on, epoch="all")


@verb(ON)
async def info(on: Subject) -> Awaitable[Any]:
    return on.session.info()


@verb(ON)
async def latest(on: Subject) -> Awaitable[Any]:
    return on.session.latest()


@verb(ON)
async def update_metadata(on: Subject) -> Awaitable[Any]:
    return on.session.update_metadata(number=on.unique())


@verb(ON, linear=True)
async def usage(on: Subject) -> Awaitable[Any]:
    return on.session.usage()


@verb(ON, linear=("memory",))
async def search_a_rare_word(on: Subject) -> Awaitable[Any]:
    return on.store.search(f"word{on.size // 4 * 2}")


@verb(ON)
async def first_append_after_opening(on: Subject) -> Awaitable[Any] | None:
    if on.again is None:
        return None
    await on.reopen()
    return on.session.append("user", TEXT, source_id=f"new{on.unique()}")


@verb(ON)
async def first_window_after_opening(on: Subject) -> Awaitable[Any] | None:
    if on.again is None:
        return None
    await on.reopen()
    return on.session.get_history(50)


@verb(ON)
async def rename_to_a_new_key(on: Subject) -> Awaitable[Any]:
    old, on.long = on.long, f"benchmark:long{on.unique()}"
    return on.store.rename(old, on.long)


@verb(ON, linear=True, most=1)
async def consolidate_all(on: Subject) -> Awaitable[Any]:
    return on.session.consolidate(_summary, max_tokens=1_000_000_000)


@verb(ON)
async def consolidate_20_more(on: Subject) -> Awaitable[Any]:
    for _ in range(10):
        await _exchange(on)
    return on.session.consolidate(_summary)


@verb(ON)
async def window_after_consolidation(on: Subject) -> Awaitable[Any]:
    await _exchange(on)
    return on.session.get_history(50)


@verb(ON)
async def clear(on: Subject) -> Awaitable[Any]:
    await _exchange(on)
    return on.session.clear()


@verb(ON)
async def turns_of_a_short_epoch(on: Subject) -> Awaitable[Any]:
    await _exchange(on)
    return _all(on)


@verb(ON)
async def window_of_a_short_epoch(on: Subject) -> Awaitable[Any]:
    await _exchange(on)
    return on.session.get_history(50)


@verb(ON, linear=True, most=3)
async def forget_sender_of_a_few(on: Subject) -> Awaitable[Any]:
    for _ in range(3):
        await on.session.append("user", TEXT, sender="somebody")
    return on.session.forget_sender("somebody")


@verb(ON, linear=True, most=1)
async def forget_sender(on: Subject) -> Awaitable[Any]:
    return on.session.forget_sender("person2")


@verb(ON, linear=True, most=1)
async def forget(on: Subject) -> Awaitable[Any]:
    grown, on.size = on.size, 0
    await on.store.rename(on.long, "benchmark:forgotten")
    await grow_turns(on, grown)
    return on.store.forget("benchmark:forgotten", search=False)


async def _all(on: Subject, **which: Any) -> int:
    count = 0
    async for _ in on.session.turns(**which):
        count += 1
    return count


async def _summary(_: Any) -> str:
    return "They talked."
