"""One process, one loop: each change reaches all that it should, and nothing else."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import anyio
import pytest

from turnkeep import (
    ConsolidationPolicy,
    PartlyDoneError,
    Session,
    SessionKey,
    SessionStore,
    StorageError,
    Turn,
)
from turnkeep._records.making import new_turn
from turnkeep.interop._conversation import store as store_answer
from turnkeep.storage.base import Found, Snapshot
from turnkeep.storage.memory import MemoryStorage

from .conftest import Place
from .tools import answer, said, stored
from .two import Summarizer

pytestmark = pytest.mark.anyio

DISCORD, TELEGRAM = "discord:1", "telegram:1"
NOON = datetime(2031, 5, 1, 12, tzinfo=timezone.utc)


# A person is forgotten while a reply to them is open.


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize("kept", [True, False])
async def test_a_reply_to_somebody_who_is_forgotten_meanwhile_stores_nothing(
    session: Session, bound: bool, everywhere: bool, kept: bool
) -> None:
    await session.append("user", "theirs too", sender="42")
    await session.append("user", "another's", sender="7")
    asked = await session.receive("theirs", sender="42")
    handle = asked if bound else session
    async with handle.reply(keep_interrupted=kept) as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "what they look like")
        await (session.store if everywhere else session).forget_sender("42")
        reply.add_text("You are 42.")
        await reply.link("m9")
    assert (reply.discarded, reply.turns) == (True, [])
    assert await said(session) == ["another's"]


@pytest.mark.parametrize("theirs", [0, 1, 2])
async def test_a_reply_to_several_of_whom_one_is_forgotten_meanwhile_stores_nothing(
    session: Session, theirs: int
) -> None:
    asked = [
        await session.receive(f"{number}", sender="42" if number == theirs else "7")
        for number in range(3)
    ]
    turns = [one.turn for one in asked if one.turn is not None]
    async with session.bind(turns[-1], joined=turns[:-1]).reply() as reply:
        reply.add_text("to all three")
        await session.forget_sender("42")
    assert reply.discarded
    assert await said(session) == [f"{number}" for number in range(3) if number != theirs]


async def test_a_reply_to_several_is_stored_where_another_turn_changes_meanwhile(
    session: Session,
) -> None:
    other = await session.append("user", "another one")
    asked = [await session.receive(f"{number}") for number in range(3)]
    turns = [one.turn for one in asked if one.turn is not None]
    async with session.bind(turns[-1], joined=turns[:-1]).reply() as reply:
        reply.add_text("to all three")
        await session.edit(other, "changed")
        await session.delete(other)
    assert not reply.discarded
    assert [turn.also_answers for turn in reply.turns] == [(2, 3)]


async def test_a_reply_to_several_is_not_stored_after_a_clear(session: Session) -> None:
    asked = [await session.receive(f"{number}") for number in range(3)]
    turns = [one.turn for one in asked if one.turn is not None]
    async with session.bind(turns[-1], joined=turns[:-1]).reply() as reply:
        reply.add_text("to all three")
        await session.clear()
    assert reply.discarded


async def test_a_reply_to_several_finds_them_where_they_moved(store: SessionStore) -> None:
    await store.session("a:1").append("user", "older")
    session = store.session("b:1")
    asked = [await session.receive(f"{number}") for number in range(3)]
    turns = [one.turn for one in asked if one.turn is not None]
    async with session.bind(turns[-1], joined=turns[:-1]).reply() as reply:
        reply.add_text("to all three")
        await store.rename("a:1", "b:1")
    assert not reply.discarded
    assert [(turn.answers, turn.also_answers) for turn in reply.turns] == [(4, (2, 3))]


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
@pytest.mark.parametrize("by", ["append", "reply", "agent"])
async def test_an_answer_to_several_finds_them_if_a_merge_came_between_them(
    store: SessionStore, moved: int, by: str
) -> None:
    await store.session("a:1").append("user", "older")
    session = store.session("b:1")
    asked: list[Turn] = []
    for number in range(3):
        if number == moved:
            await store.rename("a:1", "b:1")
        turn = (await session.receive(f"{number}", source_id=f"m{number}")).turn
        assert turn is not None
        asked.append(turn)
    bound = session.bind(asked[-1], joined=asked[:-1])
    if moved == 3:
        await store.rename("a:1", "b:1")
    if by == "append":
        await bound.append("assistant", "to all three")
    elif by == "reply":
        await answer(bound, "to all three")
    else:
        await store_answer(bound, [new_turn("assistant", "to all three")])
    turns = await stored(session)
    assert [turn.content for turn in turns] == ["older", "0", "1", "2", "to all three"]
    assert (turns[-1].answers, turns[-1].also_answers) == (4, (2, 3))


# True is not 1.


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (True, 1), (0, False), (1, 1.0), ([1], [True])]
)
async def test_an_edit_stores_true_where_it_was_1(
    place: Place, anyio_backend: str, before: Any, after: Any
) -> None:
    async with place() as store:
        turn = await store.session("a:1").append("user", "x", extra={"vip": before})
        await store.session("a:1").edit(turn, "x", extra={"vip": after})
    async with place() as store:
        (found,) = await stored(store.session("a:1"))
        assert repr(found.extra["vip"]) == repr(after)


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (True, 1), (0, False), (1, 1.0), ([1], [True])]
)
async def test_a_window_shows_true_where_an_edit_stored_it_in_the_place_of_1(
    store: SessionStore, before: Any, after: Any
) -> None:
    session = store.session("a:1")
    turn = await session.append("user", "x", extra={"vip": before})
    for extra in (before, after):
        await session.edit(turn, "x", extra={"vip": extra})
        (message,) = await session.get_history(extra=["vip"])
        assert repr(message["vip"]) == repr(extra)


# The policy.


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("linked", [True, False])
async def test_a_policy_runs_after_an_answer_that_is_appended(
    store: SessionStore, bound: bool, linked: bool
) -> None:
    summarize = Summarizer()
    store.consolidation = ConsolidationPolicy(summarize, after_messages=4, keep=2)
    if linked:
        await store.link(DISCORD, TELEGRAM)
    session = store.session(DISCORD)
    for number in range(3):
        asked = await session.receive(f"{number}")
        assert summarize.calls == []
        await (asked if bound else session).append("assistant", f"to {number}")
    assert len(summarize.calls) == 1
    info = await session.info()
    assert info is not None
    assert info.summary == "0 | to 0 | 1 | to 1"


async def test_the_policy_runs_after_an_extend_with_an_answer(store: SessionStore) -> None:
    summarize = Summarizer()
    store.consolidation = ConsolidationPolicy(summarize, after_messages=4, keep=2)
    session = store.session(TELEGRAM)
    for number in range(3):
        assert summarize.calls == []
        await session.extend(
            [
                {"role": "user", "content": f"{number}"},
                {"role": "assistant", "content": f"to {number}"},
            ]
        )
    assert len(summarize.calls) == 1
    await session.extend([{"role": "user", "content": "alone"}] * 5)
    assert len(summarize.calls) == 1


@pytest.mark.parametrize("way", ["append", "extend", "reply"])
async def test_the_policy_pays_the_summarizer_once_for_two_answers_under_linked_keys(
    store: SessionStore, way: str
) -> None:
    async def meanwhile() -> None:
        session = store.session(TELEGRAM)
        # Both answers are there before the first summary is, so the second one found it running.
        while [turn.role async for turn in session.turns()].count("assistant") < 2:
            await anyio.sleep(0.001)
        await anyio.wait_all_tasks_blocked()
        for text in ("later", "latest"):
            await session.append("user", text)

    summarize = Summarizer()
    summarize.meanwhile = meanwhile
    await store.link(DISCORD, TELEGRAM)
    for number in range(4):
        await store.session(TELEGRAM).append("user", f"{number}")
    store.consolidation = ConsolidationPolicy(summarize, after_messages=4, keep=1)

    async def say(key: str) -> None:
        session = store.session(key)
        match way:
            case "append":
                await session.append("assistant", "Hello!")
            case "extend":
                await session.extend([{"role": "assistant", "content": "Hello!"}])
            case _:
                await answer(session)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(say, DISCORD)
        tasks.start_soon(say, TELEGRAM)
    assert len(summarize.calls) == 1


# A session that can't be read.


class Unreadable(MemoryStorage):
    """One of its sessions can't be read, and another one not written."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: set[str] = set()

    async def read(self, key: SessionKey, **options: Any) -> Snapshot:
        if key.text in self.unreadable:
            raise StorageError(f"session {key}: a bad disk")
        return await super().read(key, **options)

    async def find_all(self, source_ids: Any, **options: Any) -> Found:
        found = await super().find_all(source_ids, **options)
        turns = [(key, turn) for key, turn in found.turns if key.text not in self.unreadable]
        return Found(turns, [SessionKey.parse(key) for key in self.unreadable])


async def people(store: SessionStore) -> None:
    for chat in range(1, 5):
        session = store.session(f"telegram:{chat}")
        await session.append("user", "theirs", source_id="m1", sender="42")
        await session.append("user", "another's", sender="7")


@pytest.mark.parametrize("bad", [["telegram:1"], ["telegram:2", "telegram:3"], ["telegram:4"]])
@pytest.mark.parametrize("verb", ["forget_sender", "delete"])
async def test_where_a_session_cant_be_read_the_others_are_done_and_the_error_names_it(
    anyio_backend: str, verb: str, bad: list[str]
) -> None:
    storage = Unreadable()
    async with SessionStore(storage) as store:
        await people(store)
        storage.unreadable.update(bad)
        with pytest.raises(PartlyDoneError) as error:
            await (store.forget_sender("42") if verb == "forget_sender" else store.delete("m1"))
        assert sorted(error.value.sessions) == bad
        good = [f"telegram:{n}" for n in range(1, 5) if f"telegram:{n}" not in bad]
        report = dict.fromkeys(good, 1) if verb == "forget_sender" else len(good)
        assert error.value.report == report
        assert all(key in str(error.value) for key in bad)
        storage.unreadable.clear()
        for chat in range(1, 5):
            key = f"telegram:{chat}"
            left = ["theirs", "another's"] if key in bad else ["another's"]
            assert await said(store.session(key)) == left
        # Mended, it is called again.
        again = await (store.forget_sender("42") if verb == "forget_sender" else store.delete("m1"))
        assert again == (dict.fromkeys(bad, 1) if verb == "forget_sender" else len(bad))


@pytest.mark.parametrize("verb", ["forget_sender", "delete"])
async def test_a_folder_in_the_place_of_a_sessions_file_holds_up_no_other(
    tmp_path: Path, anyio_backend: str, verb: str
) -> None:
    async with SessionStore(tmp_path) as store:
        await people(store)
    file = tmp_path / "telegram" / "2.jsonl"
    content = file.read_bytes()
    file.unlink()
    file.mkdir()
    async with SessionStore(tmp_path) as store:
        with pytest.raises(PartlyDoneError) as error:
            await (store.forget_sender("42") if verb == "forget_sender" else store.delete("m1"))
        assert error.value.sessions == ["telegram:2"]
        for chat in (1, 3, 4):
            assert await said(store.session(f"telegram:{chat}")) == ["another's"]
            assert b"theirs" not in (tmp_path / "telegram" / f"{chat}.jsonl").read_bytes()
    file.rmdir()
    file.write_bytes(content)
    async with SessionStore(tmp_path) as store:
        await (store.forget_sender("42") if verb == "forget_sender" else store.delete("m1"))
        assert await said(store.session("telegram:2")) == ["another's"]
