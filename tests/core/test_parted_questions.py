"""A question that is parted from its answer is shown with it.

A link has moved the question to an earlier epoch, or a consolidation has folded it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from turnkeep import Session, SessionStore
from turnkeep.storage.memory import MemoryStorage

from .tools import answer, said
from .two import Summarizer

pytestmark = pytest.mark.anyio

DISCORD, TELEGRAM = "discord:1", "telegram:1"


@pytest.fixture(params=["memory", "jsonl", "two stores"])
async def stores(
    request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str
) -> AsyncIterator[tuple[SessionStore, SessionStore]]:
    """Two stores over one storage, or one store twice."""
    storage: Any = MemoryStorage(shared=True) if request.param != "jsonl" else tmp_path
    async with SessionStore(storage) as one:
        if request.param != "two stores":
            yield one, one
            return
        async with SessionStore(storage) as other:
            yield one, other


async def window(session: Session, *arguments: Any, **options: Any) -> list[Any]:
    return [one["content"] for one in await session.get_history(*arguments, **options)]


async def linked_in_flight(answering: SessionStore, linking: SessionStore, way: str) -> Session:
    """Answer a question of Discord's while its session is linked to Telegram's."""
    session = linking.session(TELEGRAM)
    await answer(await session.receive("Hi", source_id="t1"))
    asked = await answering.session(DISCORD).receive("Why?", source_id="m1", sender="42")
    if way == "append":
        await linking.link(DISCORD, TELEGRAM)
        await asked.append("assistant", "Because.")
        return session
    async with (answering.session(DISCORD) if way == "unbound" else asked).reply() as reply:
        await linking.link(DISCORD, TELEGRAM)
        if way == "calls":
            reply.add_tool_call("c1", "look", "{}")
            reply.add_tool_result("c1", "a cat")
        reply.add_text("Because.")
    assert not reply.discarded
    return session


@pytest.mark.parametrize("way", ["reply", "unbound", "append", "calls"])
async def test_the_window_after_a_link_in_flight_shows_the_question_and_its_answer(
    stores: tuple[SessionStore, SessionStore], way: str
) -> None:
    one, other = stores
    session = await linked_in_flight(one, other, way)
    calls = [None, "a cat"] if way == "calls" else []
    assert await window(session) == ["Hi", "Hello!", "Why?", *calls, "Because."]
    await answer(await session.receive("And then?"), "Nothing.")
    for store in stores:
        shown = await window(store.session(DISCORD))
        assert shown == ["Hi", "Hello!", "Why?", *calls, "Because.", "And then?", "Nothing."]
    assert (await said(session)).count("Why?") == 1


async def test_a_moved_question_stands_where_its_answer_does_however_long_the_chat_is(
    store: SessionStore,
) -> None:
    session = store.session(TELEGRAM)
    for number in range(40):
        await answer(await session.receive(f"{number}"), f"{number}!")
    session = await linked_in_flight(store, store, "calls")
    for most in range(4, 30):
        shown = await window(session, most, slack=0)
        assert shown[-4:] == ["Why?", None, "a cat", "Because."]
        assert len(shown) in (most, most - 1)


async def test_the_window_grows_at_its_end_also_without_a_tail(store: SessionStore) -> None:
    session = await linked_in_flight(store, store, "reply")
    shown = [await window(session)]
    for text in ("And then?", "And now?"):
        await answer(await session.receive(text), "Nothing.")
        shown.append(await window(session))
        assert shown[-1][: len(shown[-2])] == shown[-2]
        info = await session.info()
        assert info is not None
        store.desk.tails.forget(info.generation)
        assert await window(session) == shown[-1]


async def test_the_window_of_a_message_in_hand_leaves_out_a_question_answered_after_it(
    store: SessionStore,
) -> None:
    session = store.session(TELEGRAM)
    await answer(await session.receive("Hi"))
    asked = await store.session(DISCORD).receive("Why?")
    async with asked.reply() as reply:
        await store.link(DISCORD, TELEGRAM)
        in_hand = await session.receive("And then?")
        reply.add_text("Because.")
    assert await window(in_hand) == ["Hi", "Hello!", "And then?"]
    async with in_hand.reply() as reply:
        reply.add_text("Nothing.")
        assert await window(reply) == ["Hi", "Hello!", "And then?", "Nothing."]  # type: ignore[arg-type]
    shown = ["Hi", "Hello!", "And then?", "Nothing.", "Why?", "Because."]
    assert await window(session) == shown


async def test_messages_that_one_answer_is_for_are_all_shown_with_it(store: SessionStore) -> None:
    session = store.session(TELEGRAM)
    await answer(await session.receive("Hi"))
    first = await store.session(DISCORD).receive("Why,")
    second = await store.session(DISCORD).receive("really?")
    assert first.turn is not None
    assert second.turn is not None
    async with first.bind(second.turn, joined=[first.turn]).reply() as reply:
        await store.link(DISCORD, TELEGRAM)
        reply.add_text("Because.")
    assert await window(session) == ["Hi", "Hello!", "Why,", "really?", "Because."]


@pytest.mark.parametrize("verb", ["undo", "undo the answer", "delete", "clear", "forget_sender"])
async def test_a_moved_question_is_taken_away_like_another_one(
    stores: tuple[SessionStore, SessionStore], verb: str
) -> None:
    session = await linked_in_flight(*stores, "reply")
    match verb:
        case "undo":
            gone = await session.undo()
            assert [turn.text for turn in gone] == ["Why?", "Because."]
        case "undo the answer":
            gone = await session.undo(answers_only=True)
            assert [turn.text for turn in gone] == ["Because."]
        case "delete":
            await session.delete("m1")
        case "clear":
            await session.clear()
        case _:
            await session.forget_sender("42")
    assert await window(session) == ([] if verb == "clear" else ["Hi", "Hello!"])


async def test_a_moved_question_that_was_answered_is_consolidated(
    stores: tuple[SessionStore, SessionStore],
) -> None:
    session = await linked_in_flight(*stores, "reply")
    await answer(await session.receive("And then?"), "Nothing.")
    summarize = Summarizer()
    assert await session.consolidate(summarize, keep=0)
    assert [one["content"] for one in summarize.calls[0]] == ["Hi", "Hello!", "Why?", "Because."]
    assert (await window(session))[1:] == ["And then?", "Nothing."]


async def test_an_open_reply_to_a_moved_question_holds_up_no_consolidation(
    stores: tuple[SessionStore, SessionStore],
) -> None:
    one, other = stores
    session = other.session(TELEGRAM)
    await answer(await session.receive("Hi"))
    await answer(await session.receive("Ho"))
    asked = await one.session(DISCORD).receive("Why?")
    async with asked.reply() as reply:
        await other.link(DISCORD, TELEGRAM)
        assert await session.consolidate(Summarizer(), keep=0)
        reply.add_text("Because.")
    assert (await window(session))[1:] == ["Ho", "Hello!", "Why?", "Because."]


async def test_a_reply_to_the_latest_exchange_continues_a_moved_question(
    store: SessionStore,
) -> None:
    session = await linked_in_flight(store, store, "reply")
    async with session.reply() as reply:
        reply.add_text("More of it.")
        shown = ["Hi", "Hello!", "Why?", "Because.", "More of it."]
        assert await window(reply) == shown  # type: ignore[arg-type]
    assert await window(session) == shown


@pytest.mark.parametrize("times", [2, 3])
async def test_a_question_that_moved_several_times_is_shown_with_its_answer(
    stores: tuple[SessionStore, SessionStore], times: int
) -> None:
    one, other = stores
    keys = [f"telegram:{number}" for number in range(times)]
    for key in keys:
        await answer(await other.session(key).receive(f"Hi {key}"))
    asked = await one.session(DISCORD).receive("Why?", source_id="m1")
    async with asked.reply() as reply:
        for key in keys:
            await other.link(DISCORD, key)
        reply.add_text("Because.")
    assert await window(other.session(keys[-1])) == [f"Hi {keys[-1]}", "Hello!", "Why?", "Because."]


@pytest.mark.parametrize("way", ["delivered again", "found", "undone"])
async def test_a_message_that_is_in_hand_again_after_the_link_is_answered(
    stores: tuple[SessionStore, SessionStore], way: str
) -> None:
    one, other = stores
    session = other.session(TELEGRAM)
    await session.append("user", "Hi")
    asked = await one.session(DISCORD).receive("Why?", source_id="m1")
    if way == "undone":
        async with asked.reply() as reply:
            await other.link(DISCORD, TELEGRAM)
            reply.add_text("Because.")
        await one.session(TELEGRAM).undo(answers_only=True)
    else:
        await other.link(DISCORD, TELEGRAM)
    if way == "found":
        turn = await session.find("m1")
        assert turn is not None
        asked = session.bind(turn)
    else:
        asked = await one.session(DISCORD).receive("Why?", source_id="m1")
    assert not asked.already_answered
    assert await window(asked) == ["Why?"]
    async with asked.reply() as reply:
        assert await window(reply) == ["Why?"]  # type: ignore[arg-type]
        reply.add_text("At last.")
    assert not reply.discarded
    assert await window(session) == ["Hi", "Why?", "At last."]


@pytest.mark.parametrize("before", [True, False])
async def test_a_message_that_was_cleared_is_not_answered_after_a_link(
    store: SessionStore, before: bool
) -> None:
    session = store.session(TELEGRAM)
    await session.append("user", "Hi")
    asked = await store.session(DISCORD).receive("Why?", source_id="m1")
    if before:
        await asked.clear()
    await store.link(DISCORD, TELEGRAM)
    if not before:
        await session.clear()
    again = await store.session(DISCORD).receive("Why?", source_id="m1")
    for handle in (asked, again):
        async with handle.reply() as reply:
            reply.add_text("Because.")
        assert reply.discarded
    assert await window(session) == (["Hi"] if before else [])


# A question that is folded while its answer is on the way.


class Folding(MemoryStorage):
    """A storage in which something happens just before a consolidation is written."""

    before_fold: Callable[[], Awaitable[None]] | None = None

    async def consolidate(self, *arguments: Any, **options: Any) -> bool:
        if self.before_fold is not None:
            before, self.before_fold = self.before_fold, None
            await before()
        return await super().consolidate(*arguments, **options)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("joined", [False, True])
async def test_a_reply_begun_between_the_last_look_and_the_fold_is_shown_with_its_question(
    anyio_backend: str, shared: bool, joined: bool
) -> None:
    storage = Folding(shared=shared)
    async with SessionStore(storage) as one:
        other = SessionStore(storage) if shared else one
        session = one.session(TELEGRAM)
        await answer(await session.receive("Hi"))
        first = await other.session(TELEGRAM).receive("Why,")
        second = await other.session(TELEGRAM).receive("really?", source_id="m2")
        await session.receive("latest")
        assert first.turn is not None
        assert second.turn is not None
        both = second.bind(second.turn, joined=[first.turn] if joined else [])
        reply = both.reply()
        storage.before_fold = reply.__aenter__  # type: ignore[assignment]
        assert await session.consolidate(Summarizer(), keep=0)
        assert (await window(reply))[1:] == ["really?"]  # type: ignore[arg-type]
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        reply.add_text("Because.")
        await reply.__aexit__(None, None, None)
        assert not reply.discarded
        asked = ["Why,", "really?"] if joined else ["really?"]
        shown = ["latest", *asked, None, "a cat", "Because."]
        assert (await window(session))[1:] == shown
        await other.session(TELEGRAM).receive("newest")
        assert (await window(session))[1:] == [*shown, "newest"]
        assert (await said(session)).count("Because.") == 1
        assert (await session.receive("really?", source_id="m2")).already_answered
        if shared:
            await other.aclose()


async def folded(session: Session) -> Session:
    """A session, bound to a question that is folded already."""
    asked = await session.receive("Why?", source_id="m1", sender="42")
    await answer(await session.receive("Hi"))
    await session.receive("latest")
    assert await session.consolidate(Summarizer(), keep=0)
    return asked


@pytest.mark.parametrize("way", ["reply", "append"])
async def test_a_late_answer_to_a_folded_question_is_shown_with_it(
    store: SessionStore, way: str
) -> None:
    session = store.session(TELEGRAM)
    asked = await folded(session)
    if way == "reply":
        (turn,) = await answer(asked, "Because.")
    else:
        turn = await asked.append("assistant", "Because.", source_id="a1", token="t1")
        again = await asked.append("assistant", "Because.", source_id="a1", token="t1")
        assert again.ref == turn.ref
    assert asked.already_answered
    assert (await session.receive("Why?", source_id="m1")).already_answered
    assert (await window(session))[1:] == ["latest", "Why?", "Because."]
    summarize = Summarizer()
    await session.append("user", "newest")
    assert await session.consolidate(summarize, keep=0)
    assert [one["content"] for one in summarize.calls[0]][1:] == ["latest", "Why?", "Because."]
    assert (await window(session))[1:] == ["newest"]


@pytest.mark.parametrize("verb", ["undo", "delete", "forget_sender"])
async def test_a_late_answer_is_taken_away_with_its_question(
    store: SessionStore, verb: str
) -> None:
    session = store.session(TELEGRAM)
    await answer(await folded(session), "Because.")
    match verb:
        case "undo":
            assert [turn.text for turn in await session.undo()] == ["Why?", "Because."]
        case "delete":
            await session.delete("m1")
        case _:
            await session.forget_sender("42")
    assert (await window(session))[1:] == ["latest"]
