"""The store's larger verbs, cancelled after any number of steps of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from faults.conftest import Tally
from patience import PATIENCE
from turnkeep import Sender, Session, SessionStore, check_messages
from turnkeep.encryption import KeyRing, encrypted, rotate
from turnkeep.moving import copy_sessions
from turnkeep.retention import RetentionPolicy, apply_retention

pytestmark = pytest.mark.anyio

KEY = "test:1"
OLD, NEW = b"o" * 32, b"n" * 32
STEPS = (0, 1, 2, 3, 5, 8, 13, 21, 34)
STORAGES = ("jsonl", "sqlite", "sealed jsonl", "sealed sqlite")
Verb = Callable[[SessionStore, Path], Awaitable[object]]


def store_in(folder: Path, storage: str, ring: KeyRing) -> SessionStore:
    where = f"{storage.rpartition(' ')[2]}:{folder / 'here'}"
    return SessionStore(encrypted(where, ring) if storage.startswith("sealed") else where)


async def talk(store: SessionStore) -> None:
    session = store.session(KEY)
    for number in range(3):
        asked = await session.receive(
            f"q{number}", source_id=f"s{number}", sender=Sender(str(number % 2))
        )
        async with asked.reply() as reply:
            reply.add_text(f"a{number}")
    async with asked.reply(replace=True) as reply:
        reply.add_tool_call("c", "f", "{}")
        reply.add_tool_result("c", "found")
        reply.add_text("a2, better")
    await store.link("test:alias", KEY)


async def stored(session: Session) -> list[Any]:
    turns = session.turns(epoch="all", variants=True)
    return [turn.content async for turn in turns if turn.role != "tool" and turn.content]


async def replace(store: SessionStore, _: Path) -> None:
    async with store.session(KEY).reply(replace=True) as reply:
        reply.add_text("a2, best")


async def choose(store: SessionStore, _: Path) -> None:
    session = store.session(KEY)
    await session.choose((await session.variants())[0][-1])


async def forget(store: SessionStore, _: Path) -> None:
    await store.forget(KEY)


async def forget_sender(store: SessionStore, _: Path) -> None:
    await store.forget_sender("0")


async def retain(store: SessionStore, folder: Path) -> None:
    async with SessionStore(folder / "archive") as archive:
        policy = RetentionPolicy(max_turns=4)
        await apply_retention(store, policy, dry_run=False, archive=archive)


async def copy(store: SessionStore, folder: Path) -> None:
    await copy_sessions(store, SessionStore(folder / "copy"))


async def seal_again(store: SessionStore, _: Path) -> None:
    await rotate(store)


async def consolidate(store: SessionStore, _: Path) -> None:
    async def summarize(_: object) -> str:
        return "a summary"

    await store.session(KEY).consolidate(summarize, keep=2)


VERBS: tuple[Verb, ...] = (replace, choose, forget, forget_sender, retain, copy, consolidate)
ALL = {"q0", "a0", "q1", "a1", "q2", "a2", "a2, better"}


async def look(verb: Verb, store: SessionStore, folder: Path) -> None:
    """What was cancelled has had its effect or none, and is done when it is called again."""
    session = store.session(KEY)
    window = await session.get_history()
    assert not window or not check_messages(window)
    texts = await stored(session)
    if verb in (choose, copy, consolidate, seal_again):
        assert {*texts} == ALL
    elif verb in (replace, forget):
        assert {*texts} in (ALL, {*ALL, "a2, best"}, set())
    if verb in (replace, choose):
        answers = [message for message in window if message["role"] == "assistant"]
        assert answers[-1]["content"] in ("a2", "a2, better", "a2, best")
    await verb(store, folder)
    texts = await stored(session)
    if verb is forget:
        assert not texts
    elif verb is forget_sender:
        assert {*texts} == {"q1", "a1"}
    elif verb is replace:
        assert (await session.get_history())[-1]["content"] == "a2, best"
    elif verb is choose:
        assert (await session.get_history())[-1]["content"] in ("a2", "a2, better")
    elif verb is retain:
        async with SessionStore(folder / "archive") as archive:
            kept = [text for text in await stored(archive.session(KEY)) if text in ALL]
        assert len({*kept}) == len(kept)
        assert {*kept, *texts} >= ALL
    elif verb is copy:
        async with SessionStore(folder / "copy") as copied:
            for key in (KEY, "test:alias"):
                assert await stored(copied.session(key)) == texts
    asked = await session.receive("and now?", source_id="now")
    assert not asked.already_answered
    async with asked.reply() as reply:
        reply.add_text("yes")
    assert not reply.discarded
    async with store.desk.use() as inside:
        assert await inside.claims() == []


async def scoped(scope: anyio.CancelScope, work: Awaitable[object]) -> None:
    with scope:
        await work


@pytest.mark.once
@pytest.mark.parametrize("way", ["task.cancel()", "a scope"])
@pytest.mark.parametrize(
    ("storage", "verb"),
    [(storage, verb) for storage in STORAGES for verb in VERBS]
    + [(storage, seal_again) for storage in STORAGES if storage.startswith("sealed")],
)
async def test_a_verb_that_is_cancelled_at_any_step_has_had_its_effect_or_none(
    tmp_path: Path, verb: Verb, storage: str, way: str, tally: Tally
) -> None:
    cases = tally.some([(steps,) for steps in (*STEPS, *range(4, 200, 7))], 3)
    for (steps,) in cases:
        assert isinstance(steps, int)
        folder = tmp_path / str(steps)
        folder.mkdir()
        async with store_in(folder, storage, KeyRing(OLD)) as store:
            await talk(store)
        async with store_in(folder, storage, KeyRing(NEW, OLD)) as store:
            scope = anyio.CancelScope()
            task = asyncio.ensure_future(scoped(scope, verb(store, folder)))
            for _ in range(steps):
                await asyncio.sleep(0 if steps < 20 else 0.0005)
            if way == "a scope":
                scope.cancel()
            else:
                task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
            with anyio.fail_after(PATIENCE):
                await look(verb, store, folder)
        tally.count(f"{storage}, {way}")
