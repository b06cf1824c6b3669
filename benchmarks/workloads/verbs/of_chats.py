"""The verbs on a store of more and more chats."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from .subjects import TEXT, Subject
from .verb import Verb, verb

ON: list[Verb] = []


def _other(on: Subject) -> str:
    """Return a chat that was not in use lately."""
    return f"benchmark:{on.unique() * 7919 % on.size}"


async def _let_go(on: Subject) -> None:
    """Have no chat in memory: small stores have all of them there, and large ones none."""
    if on.again is not None:
        await on.reopen()


@verb(ON)
async def append_to_one_in_use(on: Subject) -> Awaitable[Any]:
    await on.session.append("user", TEXT)
    return on.session.append("user", TEXT, source_id=f"new{on.unique()}")


@verb(ON)
async def append_to_one_not_in_use(on: Subject) -> Awaitable[Any]:
    await _let_go(on)
    await on.session.latest()
    return on.store.session(_other(on)).append("user", TEXT, source_id=f"new{on.unique()}")


@verb(ON)
async def window_of_one_not_in_use(on: Subject) -> Awaitable[Any]:
    await _let_go(on)
    await on.session.latest()
    return on.store.session(_other(on)).get_history(50)


@verb(ON)
async def append_to_a_new_one(on: Subject) -> Awaitable[Any]:
    return on.store.session(f"benchmark:new{on.unique()}").append("user", TEXT)


@verb(ON)
async def first_append_after_opening(on: Subject) -> Awaitable[Any] | None:
    if on.again is None:
        return None
    await on.reopen()
    return on.session.append("user", TEXT)


@verb(ON, linear=True, most=3)
async def first_page_after_opening(on: Subject) -> Awaitable[Any] | None:
    if on.again is None:
        return None
    await on.reopen()
    return on.store.list_sessions(limit=50)


@verb(ON)
async def page_of_50(on: Subject) -> Awaitable[Any]:
    await on.session.append("user", TEXT)
    return on.store.list_sessions(limit=50)


@verb(ON)
async def second_page_of_50(on: Subject) -> Awaitable[Any]:
    after = (await on.store.list_sessions(limit=50))[-1]
    return on.store.list_sessions(limit=50, after=after)


@verb(ON)
async def page_of_a_rare_prefix(on: Subject) -> Awaitable[Any]:
    await on.store.session("rare:1").append("user", TEXT)
    return on.store.list_sessions(limit=50, prefix="rare:")


@verb(ON)
async def edit_in_another(on: Subject) -> Awaitable[Any]:
    return on.store.session(_other(on)).edit(1, f"{on.unique()} changed")


@verb(ON)
async def unanswered(on: Subject) -> Awaitable[Any]:
    return on.store.unanswered()


@verb(ON, linear=("memory",))
async def search_a_rare_word(on: Subject) -> Awaitable[Any]:
    return on.store.search(f"word{on.size // 2}")


@verb(ON)
async def rename_one(on: Subject) -> Awaitable[Any]:
    number = on.unique()
    await on.store.session(f"benchmark:was{number}").append("user", TEXT)
    return on.store.rename(f"benchmark:was{number}", f"benchmark:is{number}")


@verb(ON)
async def forget_one(on: Subject) -> Awaitable[Any]:
    key = f"benchmark:gone{on.unique()}"
    await on.store.session(key).append("user", TEXT)
    return on.store.forget(key, search=False)


@verb(ON, linear=True, most=3)
async def delete_that_names_no_chat(on: Subject) -> Awaitable[Any]:
    source = f"anywhere{on.unique()}"
    await on.store.session(_other(on)).append("user", TEXT, source_id=source)
    return on.store.delete(source)


@verb(ON, linear=True, most=3)
async def forget_sender_of_one_chat(on: Subject) -> Awaitable[Any]:
    await on.store.session(_other(on)).append("user", TEXT, sender="somebody")
    await _let_go(on)
    return on.store.forget_sender("somebody", search=False)


@verb(ON, linear=True, most=1)
async def usage_of_all(on: Subject) -> Awaitable[Any]:
    await _let_go(on)
    return on.store.usage()
