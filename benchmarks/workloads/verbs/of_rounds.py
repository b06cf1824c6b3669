"""An agent's loop: one more round, after more and more of them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from turnkeep import Reply, Session

from .subjects import Subject
from .verb import Prepare, Verb, verb

ON: list[Verb] = []
RESULT = "a cat on the table " * 6
BOUNDS: dict[str, dict[str, Any]] = {
    "50 messages": {"max_messages": 50},
    "4000 tokens": {"max_tokens": 4000},
}


async def _reply(on: Subject) -> Reply:
    """Return the reply that all rounds so far are in."""
    if "reply" not in on.kept:
        received = await on.store.session("benchmark:reply").receive("What is there?")
        on.kept["reply"] = await received.reply().__aenter__()
        on.kept["in reply"] = 0
    while on.kept["in reply"] < on.size:
        _add(on, on.kept["reply"])
        for bound in BOUNDS.values():
            await on.kept["reply"].get_history(**bound)
    return on.kept["reply"]  # type: ignore[no-any-return]


def _add(on: Subject, reply: Reply) -> None:
    on.kept["in reply"] += 1
    id = f"c{on.unique()}"
    reply.add_tool_call(id, "look", '{"where": "there"}')
    reply.add_tool_result(id, RESULT)


async def _session(on: Subject) -> Session:
    """Return the session that all rounds so far are in."""
    session = on.store.session("benchmark:session")
    if "in session" not in on.kept:
        await session.append("user", "What is there?")
        on.kept["in session"] = 0
    while on.kept["in session"] < on.size:
        await _store(on, session)
    return session


async def _store(on: Subject, session: Session) -> None:
    on.kept["in session"] += 1
    id = f"c{on.unique()}"
    call = {"id": id, "function": {"name": "look", "arguments": "{}"}}
    await session.append("assistant", None, tool_calls=[call])
    await session.append("tool", RESULT, tool_call_id=id)


def _round(bound: str, *, in_reply: bool) -> Prepare:
    async def one_round(on: Subject) -> Awaitable[Any]:
        whose = await _reply(on) if in_reply else await _session(on)

        async def go_on() -> None:
            if isinstance(whose, Reply):
                _add(on, whose)
            else:
                await _store(on, whose)
            await whose.get_history(**BOUNDS[bound])

        if not in_reply:
            await whose.get_history(**BOUNDS[bound])  # the other bound was asked for before
        return go_on()

    one_round.__name__ = f"a round of a {'reply' if in_reply else 'session'}, {bound}"
    return one_round


for _bound in BOUNDS:
    for _in_reply in (True, False):
        verb(ON)(_round(_bound, in_reply=_in_reply))
