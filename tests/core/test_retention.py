"""A policy erases old turns and idle sessions, whole exchanges at a time, archived before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeep import (
    PartlyDoneError,
    ReadOnlyError,
    Session,
    SessionKey,
    SessionStore,
    StorageError,
    Turn,
)
from turnkeep._session import reading
from turnkeep.retention import RetentionPolicy, RetentionReport, apply_retention
from turnkeep.storage.base import Found, Page, Snapshot
from turnkeep.storage.memory import MemoryStorage

from .conftest import Place
from .losing import Line
from .tools import answer, said, stored
from .two import Two

pytestmark = pytest.mark.anyio

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)
MONTH = RetentionPolicy(max_age=30 * DAY)
IDLE = RetentionPolicy(idle=30 * DAY)
TWO = RetentionPolicy(max_turns=2)


async def exchange(session: Session, text: str, days: float = 0) -> None:
    """A question and its answer, so many days ago."""
    bound = await session.receive(f"{text}?", time=NOW - days * DAY)
    await bound.append("assistant", f"{text}.", time=NOW - days * DAY)


async def erase(
    store: SessionStore, policy: RetentionPolicy, archive: SessionStore | None = None
) -> RetentionReport:
    return await apply_retention(store, policy, dry_run=False, archive=archive)


# What goes.


async def test_exchanges_older_than_the_age_go_and_younger_ones_stay(
    store: SessionStore, session: Session
) -> None:
    await exchange(session, "old", 31)
    await exchange(session, "young", 29)
    report = await erase(store, MONTH)
    assert await said(session) == ["young?", "young."]
    assert report == RetentionReport(turns={"telegram:12345": 2})


async def test_an_old_question_stays_with_its_young_answer(
    store: SessionStore, session: Session
) -> None:
    bound = await session.receive("old?", time=NOW - 40 * DAY)
    await exchange(session, "between", 35)
    await bound.append("assistant", "late.", time=NOW)
    await erase(store, MONTH)
    assert await said(session) == ["old?", "late."]


@pytest.mark.parametrize("most", [1, 2, 3, 4])
async def test_the_oldest_exchanges_go_until_the_session_has_at_most_so_many_turns(
    store: SessionStore, session: Session, most: int
) -> None:
    for text in "abc":
        await exchange(session, text)
    report = await erase(store, RetentionPolicy(max_turns=most))
    left = ["b?", "b.", "c?", "c."][0 if most == 4 else 2 :]
    assert await said(session) == left
    assert report.turns == {"telegram:12345": 6 - len(left)}


async def test_the_latest_exchange_stays_whole_if_it_alone_has_more_turns(
    store: SessionStore, session: Session
) -> None:
    await exchange(session, "old")
    await session.receive("q")
    async with session.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        reply.add_text("A cat.")
    await erase(store, TWO)
    assert [turn.role for turn in await stored(session)] == [
        *("user", "assistant", "tool", "assistant")
    ]


async def test_an_idle_session_goes_as_a_whole_with_its_record(store: SessionStore) -> None:
    for key, days in (("telegram:1", 31), ("telegram:2", 29)):
        await exchange(store.session(key), key, days)
        await store.session(key).clear()
        await exchange(store.session(key), key, days)
        await store.session(key).update_metadata(name="Ada")
    report = await erase(store, IDLE)
    assert report == RetentionReport({"telegram:1": 4}, ["telegram:1"])
    assert [info.key.text for info in await store.list_sessions()] == ["telegram:2"]
    assert len(await stored(store.session("telegram:2"))) == 4


async def test_an_idle_session_without_turns_goes_too(store: SessionStore) -> None:
    await store.session("telegram:1").update_metadata(name="Ada")
    await anyio.sleep(0.001)  # its time has passed
    report = await erase(store, RetentionPolicy(idle=timedelta(microseconds=1)))
    assert report == RetentionReport(forgotten=["telegram:1"])
    assert await store.list_sessions() == []


async def test_sessions_that_go_leave_none_out_on_the_next_page(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PAGE_SESSIONS", 2)
    for number in range(5):
        await exchange(store.session(f"telegram:{number}"), "a", 31)
    assert len((await erase(store, IDLE)).forgotten) == 5
    assert await store.list_sessions() == []


async def test_a_dry_run_needs_no_right_to_write(place: Place) -> None:
    async with place() as store:
        await exchange(store.session("telegram:1"), "a", 31)
    async with place(read_only=True) as store:
        assert (await apply_retention(store, MONTH)).turns == {"telegram:1": 2}
        with pytest.raises(ReadOnlyError):
            await erase(store, MONTH)


async def test_the_prefix_chooses_the_sessions(store: SessionStore) -> None:
    for key in ("telegram:1", "discord:1"):
        await exchange(store.session(key), key, 31)
    policy = RetentionPolicy(max_age=30 * DAY, prefix="discord:")
    assert (await erase(store, policy)).turns == {"discord:1": 2}
    assert len(await stored(store.session("telegram:1"))) == 2


@pytest.mark.parametrize("policy", [MONTH, TWO, IDLE])
async def test_a_dry_run_reports_the_same_and_changes_nothing(
    store: SessionStore, session: Session, policy: RetentionPolicy
) -> None:
    await exchange(session, "a", 32)
    await exchange(session, "b", 31)
    before, info = await stored(session), await session.info()
    archive = SessionStore("memory:")
    report = await apply_retention(store, policy, archive=archive)
    assert (await stored(session), await session.info()) == (before, info)
    assert await archive.list_sessions() == []
    assert report.turns
    assert report == await erase(store, policy)
    await archive.aclose()


async def test_a_bound_of_any_length_is_taken(store: SessionStore, session: Session) -> None:
    await exchange(session, "a", 31)
    policy = RetentionPolicy(max_age=timedelta.max, idle=timedelta.max)
    assert await erase(store, policy) == RetentionReport()


async def test_applying_a_policy_again_does_nothing(store: SessionStore, session: Session) -> None:
    await exchange(session, "a", 31)
    await erase(store, MONTH)
    assert await erase(store, MONTH) == RetentionReport()


async def test_the_report_names_the_summaries_that_repeat_what_went(
    store: SessionStore, session: Session
) -> None:
    async def summarize(messages: Any) -> str:
        return "They met."

    for text in "abc":
        await exchange(session, text)
    await session.consolidate(summarize, keep=2)
    report = await erase(store, RetentionPolicy(max_turns=4))
    assert report == RetentionReport({"telegram:12345": 2}, summaries=["telegram:12345"])
    assert [one["content"] for one in await session.get_history()][-2:] == ["c?", "c."]


# What stays.


@pytest.mark.parametrize("policy", [MONTH, TWO, IDLE])
async def test_an_exchange_with_an_open_reply_stays(
    store: SessionStore, session: Session, policy: RetentionPolicy
) -> None:
    bound = await session.receive("a?", time=NOW - 31 * DAY)
    for text in "bc":
        await exchange(session, text, 31)
    async with bound.reply() as reply:
        await erase(store, policy)
        reply.add_text("a.")
    assert not reply.discarded
    assert {"a?", "a."} <= {*await said(session)}


@pytest.mark.parametrize("policy", [MONTH, TWO, IDLE])
async def test_an_exchange_with_an_open_reply_of_another_process_stays(
    two: Two, policy: RetentionPolicy
) -> None:
    session = two.a.session("telegram:1")
    bound = await session.receive("a?", time=NOW - 31 * DAY)
    for text in "bc":
        await exchange(session, text, 31)
    async with bound.reply() as reply:
        await erase(two.b, policy)
        reply.add_text("a.")
    assert not reply.discarded


async def test_a_question_that_is_owed_an_answer_stays_against_the_count(
    store: SessionStore, session: Session
) -> None:
    bound = await session.receive("a?", source_id="m1")
    for text in "bc":
        await exchange(session, text)
    assert bound.turn
    payload = {"generation": bound.turn.generation, "id": bound.turn.id}
    async with store.desk.use(session.key, write=True) as storage:
        await storage.claim(session.key, "answer:m1", owner="dead", ttl=0, payload=payload)
    await erase(store, TWO)
    assert await said(session) == ["a?", "c?", "c."]


class Meanwhile(MemoryStorage):
    """Somebody else changes the session just before the turns are erased."""

    meanwhile: Any = None

    looks = 0

    async def claims(self, **options: Any) -> Any:
        found = await super().claims(**options)
        self.looks += options["expired"]
        if self.looks == 3 and self.meanwhile is not None:  # as for a dry run, again, and the last
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return found


async def test_a_question_whose_answer_comes_meanwhile_is_not_erased_in_half() -> None:
    storage = Meanwhile()
    async with SessionStore(storage) as store:
        session = store.session("telegram:1")
        bound = await session.receive("a?", time=NOW - 31 * DAY)
        storage.meanwhile = lambda: bound.append("assistant", "a.")
        await erase(store, MONTH)
        assert await said(session) == ["a?", "a."]


async def test_a_session_that_is_written_to_meanwhile_is_not_idle_any_more() -> None:
    storage = Meanwhile()
    async with SessionStore(storage) as store:
        session = store.session("telegram:1")
        await exchange(session, "a", 31)
        storage.meanwhile = lambda: session.append("user", "I am back.")
        assert await erase(store, IDLE) == RetentionReport()
        assert await said(session) == ["a?", "a.", "I am back."]


async def test_a_session_that_is_merged_meanwhile_is_looked_at_again() -> None:
    class Merging(MemoryStorage):
        renamed = False

        async def read(self, *arguments: Any, **options: Any) -> Snapshot:
            found = await super().read(*arguments, **options)
            if options.get("limit") == 0 and not self.renamed:
                self.renamed = True
                await self.rename(SessionKey.parse("telegram:2"), SessionKey.parse("telegram:1"))
            return found

    storage = Merging()
    async with SessionStore(storage) as store:
        for key in ("telegram:1", "telegram:2"):
            await exchange(store.session(key), key, 31)
        assert (await erase(store, MONTH)).turns == {"telegram:1": 4}


async def test_a_session_that_is_forgotten_meanwhile_is_passed_over() -> None:
    class Forgetting(MemoryStorage):
        async def sessions(self, **options: Any) -> Page:
            found = await super().sessions(**options)
            await self.forget(SessionKey.parse("telegram:1"))
            return found

    async with SessionStore(Forgetting()) as store:
        await exchange(store.session("telegram:1"), "a", 31)
        assert await erase(store, MONTH) == RetentionReport()


async def test_what_the_bot_said_first_is_an_exchange_of_its_own(
    store: SessionStore, session: Session
) -> None:
    await session.append("assistant", "Welcome!")
    await session.append("assistant", "Ask me.")
    await exchange(session, "a")
    await session.clear()
    await exchange(session, "b")
    await erase(store, RetentionPolicy(max_turns=5))
    assert await said(session) == ["a?", "a.", "b?", "b."]


async def test_a_session_that_changes_all_the_time_is_given_up() -> None:
    class Restless(MemoryStorage):
        async def delete(self, *arguments: Any, **options: Any) -> list[Turn]:
            return []

    async with SessionStore(Restless()) as store:
        await exchange(store.session("telegram:1"), "a", 31)
        with pytest.raises(PartlyDoneError) as error:
            await erase(store, MONTH)
        assert "it changes all the time" in str(error.value.__cause__)


@pytest.mark.parametrize("done", [True, False])
async def test_an_erasing_whose_answer_is_lost_is_reported(line: Line, done: bool) -> None:
    await exchange(line.store.session("telegram:1"), "a", 31)
    line.storage.lose("delete", done=done)
    assert (await erase(line.store, MONTH)).turns == {"telegram:1": 2}


# Whole exchanges.

questions = st.lists(
    st.tuples(st.sampled_from(["ask", "answer", "call", "both", "plain"]), st.integers(0, 3)),
    min_size=1,
    max_size=14,
)


@given(steps=questions, most=st.integers(1, 8))
def test_no_exchange_is_erased_in_half(steps: list[tuple[str, int]], most: int) -> None:
    async def run() -> None:
        async with SessionStore("memory:") as store:
            session = store.session("telegram:1")
            asked: list[Turn] = []
            for step, back in steps:
                if step == "ask" or not asked:
                    bound = await session.receive("q")
                    assert bound.turn
                    asked.append(bound.turn)
                    continue
                to = asked[-1 - back % len(asked)]
                joined = [asked[0]] if step == "both" and asked[0] is not to else []
                if step == "plain":
                    await session.append("assistant", "by itself")
                    continue
                async with session.bind(to, joined=joined).reply() as reply:
                    if step == "call":
                        reply.add_tool_call("c1", "look", "{}")
                        reply.add_tool_result("c1", "a cat")
                    reply.add_text("a")
            before = await stored(session)
            await erase(store, RetentionPolicy(max_turns=most))
            left = {turn.id for turn in await stored(session)}
            assert asked[-1].id in left
            for turn in before:
                answered = {turn.answers, *turn.also_answers} - {None}
                assert all((one in left) == (turn.id in left) for one in answered)

    anyio.run(run)


async def test_a_late_result_stays_with_its_call(store: SessionStore, session: Session) -> None:
    await session.append("user", "a?")
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    await session.append("assistant", tool_calls=[call])
    await session.append("user", "b?")
    await session.append("tool", "a cat", tool_call_id="c1")
    await session.append("user", "c?")
    await erase(store, RetentionPolicy(max_turns=4))
    assert await said(session) == ["b?", "c?"]


# The archive.


async def test_what_goes_is_in_the_archive_in_full(
    store: SessionStore, session: Session, tmp_path: Path
) -> None:
    await session.receive("q", source_id="m1", sender="42", time=NOW - 40 * DAY)
    async with session.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        reply.add_text("A cat.")
    await session.clear()
    await exchange(session, "b")
    await session.clear()
    await exchange(session, "c")
    before = await stored(session)
    async with SessionStore(tmp_path / "archive") as archive:
        await erase(store, TWO, archive)
    async with SessionStore(tmp_path / "archive", read_only=True) as archive:
        copies = await stored(archive.session(session.key))
    assert await said(session) == ["c?", "c."]
    assert [turn.epoch for turn in copies] == [1, 1, 1, 1, 2, 2]

    def plain(turn: Turn) -> dict[str, Any]:
        return {f: getattr(turn, f) for f in Turn.__struct_fields__ if f not in LOST}

    assert [*map(plain, copies)] == [*map(plain, before[:-2])]


LOST = ("token", "generation")
"""The fields of a turn that its copy does not have."""


async def test_a_long_session_is_archived_in_its_order(
    store: SessionStore, session: Session
) -> None:
    texts = [str(number) for number in range(601)]
    time = NOW - 31 * DAY
    await session.extend([Turn(role="user", content=text, time=time) for text in texts])
    async with SessionStore("memory:") as archive:
        assert (await erase(store, MONTH, archive)).turns == {"telegram:12345": 601}
        assert await said(archive.session(session.key)) == texts


async def test_an_idle_sessions_record_is_in_the_archive(
    store: SessionStore, session: Session
) -> None:
    async def summarize(messages: Any) -> str:
        return "They met."

    for text in "abc":
        await exchange(session, text, 31)
    await session.consolidate(summarize, keep=2)
    await session.update_metadata(name="Ada")
    async with SessionStore("memory:") as archive:
        await erase(store, IDLE, archive)
        *turns, record = await stored(archive.session(session.key))
        assert [turn.text for turn in turns] == ["a?", "a.", "b?", "b.", "c?", "c."]
        assert (record.role, record.hidden, record.content) == ("system", True, "They met.")
        assert record.extra["session"]["metadata"] == {"name": "Ada"}
        assert len(await archive.session(session.key).get_history()) == 6


async def test_an_idle_session_with_damage_is_not_forgotten_for_an_archive(
    tmp_path: Path,
) -> None:
    async with SessionStore(tmp_path / "store") as store:
        await exchange(store.session("telegram:1"), "a", 31)
    (path,) = (tmp_path / "store").rglob("1.jsonl")
    path.write_bytes(path.read_bytes() + b'{"role": "user", "content": "broken\n')
    async with SessionStore(tmp_path / "store") as store, SessionStore("memory:") as archive:
        with pytest.raises(PartlyDoneError) as error:
            await erase(store, IDLE, archive)
        assert "damaged places can't be archived" in str(error.value.__cause__)
        assert await said(store.session("telegram:1")) == ["a?", "a."]
        assert (await erase(store, IDLE)).forgotten == ["telegram:1"]


async def test_a_crash_between_archiving_and_erasing_loses_nothing_and_archives_once(
    store: SessionStore, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await exchange(session, f"{number}", 31)

    async def fail(*arguments: Any, **options: Any) -> Any:
        raise StorageError("the process dies here")

    async with SessionStore("memory:") as archive:
        with monkeypatch.context() as patch:
            patch.setattr(store.desk.opening.storage, "delete", fail)
            with pytest.raises(PartlyDoneError):
                await erase(store, MONTH, archive)
        assert len(await stored(session)) == 6
        await exchange(session, "3", 31)
        await erase(store, MONTH, archive)
        assert await stored(session) == []
        copies = await said(archive.session(session.key))
        assert copies == [f"{n}{mark}" for n in range(4) for mark in "?."]


async def test_a_turn_that_is_edited_meanwhile_is_archived_as_it_was_erased() -> None:
    storage = Meanwhile()
    async with SessionStore(storage) as store, SessionStore("memory:") as archive:
        session = store.session("telegram:1")
        await exchange(session, "a", 31)
        real = archive.desk.append

        async def append(*arguments: Any, **options: Any) -> Any:
            done = await real(*arguments, **options)
            await session.edit(1, "edited?")
            return done

        archive.desk.append = append  # type: ignore[method-assign]
        await erase(store, MONTH, archive)
        assert await stored(session) == []
        assert "edited?" in await said(archive.session("telegram:1"))


async def test_nothing_is_erased_that_the_archive_does_not_give_back(
    store: SessionStore, session: Session
) -> None:
    class Losing(MemoryStorage):
        async def read(self, *arguments: Any, **options: Any) -> Snapshot:
            found = await super().read(*arguments, **options)
            return found._replace(turns=found.turns[:-1])

    await exchange(session, "a", 31)
    async with SessionStore(Losing()) as archive:
        with pytest.raises(PartlyDoneError) as error:
            await erase(store, MONTH, archive)
    assert "does not give 1 turns back" in str(error.value.__cause__)
    assert await said(session) == ["a?", "a."]


async def test_an_archive_that_is_no_store_is_refused_with_what_to_write() -> None:
    async with SessionStore("memory:") as store:
        policy = RetentionPolicy(max_turns=1)
        with pytest.raises(ValueError, match=r"write SessionStore\('\./archive'\)"):
            await apply_retention(store, policy, archive="./archive")  # type: ignore[arg-type]


async def test_an_archive_in_the_place_of_the_sessions_is_refused() -> None:
    place = MemoryStorage(shared=True)
    redacting = SessionStore("memory:", redact=lambda key, turn: turn)
    async with SessionStore(place) as store, SessionStore(place) as same:
        await exchange(store.session("telegram:1"), "a", 31)
        for archive in (store, same, redacting):
            with pytest.raises(ValueError, match="archive"):
                await erase(store, MONTH, archive)
        assert len(await stored(store.session("telegram:1"))) == 2


# Many sessions.


class Unreadable(MemoryStorage):
    async def read(self, key: SessionKey, **options: Any) -> Snapshot:
        if key.text == "telegram:2":
            raise StorageError("damaged")
        return await super().read(key, **options)

    async def find_all(self, *arguments: Any, **options: Any) -> Found:
        found = await super().find_all(*arguments, **options)
        return found._replace(unread=[SessionKey.parse("telegram:4")])


@pytest.mark.parametrize("dry_run", [True, False])
async def test_sessions_that_cant_be_read_do_not_stop_the_others(dry_run: bool) -> None:
    async with SessionStore(storage := Unreadable()) as store:
        for number in (1, 2, 3):
            key = SessionKey.parse(f"telegram:{number}")
            turn = Turn(role="user", content="q", time=NOW - 31 * DAY)
            await storage.append(key, [turn])
        with pytest.raises(PartlyDoneError) as error:
            await apply_retention(store, MONTH, dry_run=dry_run)
        assert error.value.sessions == ["telegram:2", "telegram:4"]
        assert error.value.report == RetentionReport(turns={"telegram:1": 1, "telegram:3": 1})


async def test_a_session_that_another_process_applies_a_policy_to_is_left_to_it(two: Two) -> None:
    session = two.a.session("telegram:1")
    await exchange(session, "a", 31)
    lease = await two.a.desk.leases.take(session.key, "retention")
    assert lease is not None
    assert await erase(two.b, MONTH) == RetentionReport()
    await two.a.desk.leases.drop(lease)
    assert (await erase(two.b, MONTH)).turns == {"telegram:1": 2}


@pytest.mark.parametrize(
    "bounds",
    [
        {},
        {"max_age": timedelta()},
        {"max_age": 30},
        {"idle": -DAY},
        {"max_turns": 0},
        {"max_turns": True},
        {"max_turns": 1.5},
        {"max_turns": 1, "prefix": None},
    ],
)
def test_a_policy_without_a_positive_bound_is_refused(bounds: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"max_age|max_turns|idle|prefix"):
        RetentionPolicy(**bounds)


async def test_a_reply_to_what_was_erased_stores_nothing(
    store: SessionStore, session: Session
) -> None:
    bound = await session.receive("a?", time=NOW - 31 * DAY)
    await erase(store, MONTH)
    assert await answer(bound) == []
    assert await stored(session) == []
