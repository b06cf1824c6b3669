"""An answer that is given again: the old one stays until the new one is stored, and after it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnkeep import InvalidTurnError, Reply, Session, SessionStore, Turn, Usage
from turnkeep.storage.memory import MemoryStorage

from .losing import Line
from .tools import answer
from .two import Two

pytestmark = pytest.mark.anyio


async def again(session: Session, text: str, *, usage: Usage | None = None) -> Reply:
    """Answers the message in hand, or the latest one, once more."""
    async with session.reply(replace=True) as reply:
        if text:
            reply.add_text(text)
        if usage is not None:
            reply.usage(usage)
    return reply


async def fails(session: Session, text: str, *, keep_interrupted: bool = False) -> None:
    """Begins to answer the message in hand once more, and fails."""
    before = await shown(session)

    async def fail() -> None:
        async with session.reply(replace=True, keep_interrupted=keep_interrupted) as reply:
            reply.add_text(text)
            assert await shown(session) == before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()


async def shown(session: Session) -> list[Any]:
    return [message["content"] for message in await session.get_history()]


async def stored(session: Session, *, variants: bool = False) -> list[str]:
    return [turn.text async for turn in session.turns(epoch="all", variants=variants)]


async def answers(session: Session, question: Turn | None = None) -> list[str]:
    """The answers to a question, with a star at the one that is shown."""
    return [
        " ".join(turn.text for turn in one) + "*" * (not one[0].hidden)
        for one in await session.variants(question)
    ]


@pytest.fixture
async def twice(asked: Session) -> Session:
    """The question `What is there?` with the answers `one` and `two`; the second is shown."""
    await answer(asked, "one")
    await again(asked, "two")
    return asked


async def test_a_new_answer_takes_the_place_of_the_old_one_which_stays_readable(
    twice: Session, session: Session, place: Any
) -> None:
    for one in (session, twice):
        assert await stored(one) == ["What is there?", "two"]
        assert await stored(one, variants=True) == ["What is there?", "one", "two"]
        assert await answers(one) == ["one", "two*"]
    assert await shown(session) == ["What is there?", "two"]
    assert await shown(twice) == ["What is there?"]


async def test_what_was_replaced_is_so_after_a_restart(anyio_backend: str, place: Any) -> None:
    async with place() as store:
        session = store.session("a:1")
        await session.append("user", "q")
        await answer(session, "one")
        await again(session, "two")
    async with place() as store:
        session = store.session("a:1")
        assert await answers(session) == ["one", "two*"]
        (first, _) = await session.variants()
        await session.choose(first[0])
    async with place() as store:
        assert await shown(store.session("a:1")) == ["q", "one"]


async def test_one_can_go_back_to_an_earlier_answer_and_forth(
    session: Session, twice: Session
) -> None:
    await again(twice, "three")
    for wanted in (0, 2, 1, 1):
        variant = (await session.variants())[wanted]
        chosen = await session.choose(variant[-1])
        assert [turn.id for turn in chosen] == [turn.id for turn in variant]
        assert not any(turn.hidden for turn in chosen)
        expected = ["one", "two", "three"]
        expected[wanted] += "*"
        assert await answers(session) == expected
        assert await shown(session) == ["What is there?", expected[wanted][:-1]]


async def test_an_answer_is_chosen_by_its_id_or_by_the_message_that_carried_it(
    session: Session, asked: Session
) -> None:
    (first,) = await answer(asked, "one")
    reply = await again(asked, "two")
    await reply.link("m7")
    await session.choose(first.id)
    assert await shown(session) == ["What is there?", "one"]
    assert [turn.text for turn in await session.choose("m7")] == ["two"]
    assert await shown(session) == ["What is there?", "two"]
    assert await session.choose("m8") == []
    assert await session.choose(99) == []
    with pytest.raises(InvalidTurnError, match="a user turn is no answer"):
        await session.choose("m1")


async def test_a_model_that_fails_leaves_the_old_answer(session: Session, asked: Session) -> None:
    await answer(asked, "one")
    for keep_interrupted in (False, True):
        await fails(asked, "tw", keep_interrupted=keep_interrupted)
    assert await shown(session) == ["What is there?", "one"]
    assert await answers(session) == ["one*", "tw"]


async def test_the_part_of_an_answer_is_replaced_by_a_part_or_a_whole_one(
    session: Session, asked: Session
) -> None:
    for part in ("o", "on"):
        await fails(asked, part, keep_interrupted=True)
    assert await answers(session) == ["o", "on*"]
    await again(asked, "one")
    assert await answers(session) == ["o", "on", "one*"]


async def test_a_model_that_says_nothing_leaves_the_old_answer(
    session: Session, asked: Session
) -> None:
    await answer(asked, "one")
    await again(asked, " ")
    assert await answers(session) == ["one*"]


async def test_the_windows_of_the_new_answer_leave_the_old_one_out(
    session: Session, asked: Session
) -> None:
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        reply.add_text("A cat.")
    await session.append("assistant", "A reminder.")
    for one in (asked, session):
        async with one.reply(replace=True) as reply:
            assert [m["role"] for m in await reply.get_history()] == ["user"]
            reply.add_tool_call("c2", "look", "{}")
            reply.add_tool_result("c2", "a dog")
            window = await reply.get_history()
            assert [m["role"] for m in window] == ["user", "assistant", "tool"]
            reply.add_text("A dog.")
    window = await session.get_history()
    said = [m["content"] for m in window]
    assert said == ["What is there?", "A reminder.", None, "a dog", "A dog."]
    assert [len(one) for one in await session.variants()] == [3, 3, 3]


async def test_answers_that_name_no_question_are_replaced_too(session: Session) -> None:
    for role, text in (("user", "q"), ("assistant", "one"), ("assistant", "and more")):
        await session.append(role, text)
    await again(session, "two")
    assert await shown(session) == ["q", "two"]
    assert await answers(session) == ["one and more", "two*"]
    await session.append("assistant", "A reminder.")
    await session.choose((await session.variants())[0][0])
    assert await shown(session) == ["q", "one", "and more", "A reminder."]
    await session.append("user", "q2")
    await again(session, "three")
    assert await shown(session) == ["q", "one", "and more", "A reminder.", "q2", "three"]


async def test_the_answer_to_an_earlier_message_can_be_replaced(
    session: Session, asked: Session
) -> None:
    await answer(asked, "one")
    later = await session.receive("And there?", source_id="m2")
    await answer(later, "there")
    await again(asked, "two")
    assert await shown(session) == ["What is there?", "two", "And there?", "there"]
    assert await answers(session) == ["there*"]
    assert await answers(session, asked.turn) == ["one", "two*"]


async def test_the_answer_to_a_burst_is_replaced_for_all_its_messages(session: Session) -> None:
    first = await session.receive("part 1", source_id="p1")
    last = await session.receive("part 2", source_id="p2")
    assert first.turn
    assert last.turn
    await answer(session.bind(last.turn, joined=[first.turn]), "both")
    for one in (first, last, session):
        reply = await again(one, "again")
        assert reply.turns[0].answers == last.turn.id
        assert reply.turns[0].also_answers == (first.turn.id,)
    assert await answers(session) == ["both", "again", "again", "again*"]
    assert await answers(first) == await answers(last) == await answers(session)


async def test_a_question_without_an_answer_gets_its_first_one(
    session: Session, asked: Session
) -> None:
    reply = await again(asked, "one")
    assert [turn.hidden for turn in reply.turns] == [False]
    assert await answers(session) == ["one*"]
    await again(session, "two")
    assert await answers(session) == ["one", "two*"]


async def test_a_session_without_a_question_has_nothing_to_replace(session: Session) -> None:
    await again(session, "Hello!")
    assert await session.variants() == []
    assert await shown(session) == ["(the assistant wrote first)", "Hello!"]


async def test_a_replaced_answer_still_cost_its_tokens(
    store: SessionStore, session: Session, asked: Session
) -> None:
    await again(asked, "one", usage=Usage("m", input=10, output=1))
    await again(asked, "two", usage=Usage("m", input=20, output=2))
    total = (await session.usage()).total
    assert (total.input, total.output) == (30, 3)
    assert (await store.usage(by="model"))["m"].calls == 2


async def test_a_deleted_question_takes_the_replaced_answers_along(
    store: SessionStore, session: Session, twice: Session
) -> None:
    assert twice.turn is not None
    gone = await session.delete("m1")
    assert gone is not None
    assert gone.text == "What is there?"
    assert await stored(session, variants=True) == ["two"]
    assert await session.choose(2) == []


async def test_so_does_one_that_is_deleted_by_the_store(
    store: SessionStore, session: Session, twice: Session
) -> None:
    assert await store.delete("m1", prefix="telegram:") == 1
    assert await stored(session, variants=True) == ["two"]


async def test_what_a_person_said_is_forgotten_with_all_answers(store: SessionStore) -> None:
    session = store.session("a:1")
    await session.append("user", "secret", sender="ada")
    await session.append("assistant", "one about the secret")
    await again(session, "two about the secret")
    await session.append("user", "else", sender="bob")
    assert await session.forget_sender("ada") == 3
    assert await stored(session, variants=True) == ["else"]


async def test_undo_takes_the_exchange_with_all_its_answers(
    session: Session, twice: Session
) -> None:
    assert [turn.text for turn in await session.undo(answers_only=True)] == ["one", "two"]
    assert await answers(session) == []
    await again(session, "three")
    assert await answers(session) == ["three*"]
    assert [turn.text for turn in await session.undo()] == ["What is there?", "three"]
    assert await stored(session, variants=True) == []


async def test_another_answer_can_be_chosen_when_the_shown_one_was_deleted(
    session: Session, twice: Session
) -> None:
    await session.delete(3)
    assert await answers(session) == ["one"]
    await session.choose(2)
    assert await shown(session) == ["What is there?", "one"]


async def test_a_summary_is_made_of_the_shown_answers(session: Session, twice: Session) -> None:
    for n in range(4):
        await session.append("user", f"q{n}")
        await answer(session, f"a{n}")
    seen: list[Any] = []

    async def summarize(messages: list[Any]) -> str:
        seen.extend(message["content"] for message in messages)
        return "the summary"

    assert await session.consolidate(summarize, keep=2)
    assert "two" in seen
    assert "one" not in seen
    await session.choose(2)  # what is folded stays as the summary has it
    assert "one" not in await shown(session)


async def test_after_a_reset_an_answer_to_what_was_before_is_refused(
    session: Session, twice: Session
) -> None:
    async with twice.reply(replace=True) as reply:
        reply.add_text("three")
        await session.clear()
    assert reply.discarded
    assert await stored(session, variants=True) == ["What is there?", "one", "two"]
    assert await shown(session) == []
    assert await session.variants() == []
    assert await answers(twice) == ["one", "two*"]


async def test_an_answer_to_a_question_that_was_deleted_meanwhile_is_refused(
    session: Session, twice: Session
) -> None:
    async with twice.reply(replace=True) as reply:
        reply.add_text("three")
        await session.delete("m1")
    assert reply.discarded
    assert await stored(session, variants=True) == ["two"]


async def test_a_fork_has_one_answer_to_each_question(
    store: SessionStore, session: Session, twice: Session
) -> None:
    later = await session.append("user", "And there?")
    await again(twice, "three")
    last = await session.append("user", "And now?")
    expected = {
        2: ["one"],  # from a replaced answer
        3: ["two"],
        later.id: ["two", "And there?"],  # as it stood then
        last.id: ["And there?", "three", "And now?"],
    }
    for at, texts in expected.items():
        fork = await session.fork(at=at, to=f"fork:{at}")
        copies = [turn async for turn in fork.turns(variants=True)]
        assert [turn.text for turn in copies] == ["What is there?", *texts]
        assert not any(turn.hidden or turn.variant for turn in copies)
        assert "one" in await shown(fork) or at != 2


async def test_the_replaced_answer_is_in_no_search(tmp_path: Any, anyio_backend: str) -> None:
    async with SessionStore(f"sqlite:{tmp_path / 'chats.db'}") as store:
        session = store.session("a:1")
        await session.append("user", "q")
        await answer(session, "the word one")
        await again(session, "the word two")
        assert [hit.turn.text for hit in await store.search("word")] == ["the word two"]
        await session.choose(2)
        assert [hit.turn.text for hit in await store.search("word")] == ["the word one"]


async def test_a_merge_keeps_the_answers_apart(store: SessionStore) -> None:
    old, new = store.session("a:old"), store.session("a:new")
    for session in (old, new):
        await session.append("user", f"q {session.key}")
        await answer(session, "one")
        await again(session, "two")
    message = new.bind(await anext(new.turns()))
    await store.rename("a:old", "a:new")
    assert await answers(message) == ["one", "two*"]
    async with message.reply(replace=True) as reply:
        reply.add_text("three")
    assert not reply.discarded
    assert await answers(new) == ["one", "two", "three*"]
    await new.choose((await new.variants())[0][0])
    assert await shown(new) == ["q a:new", "one"]


async def test_of_several_new_answers_at_once_the_last_one_is_shown(
    session: Session, asked: Session
) -> None:
    await answer(asked, "first")

    async def retry(n: int) -> None:
        await again(asked, f"again {n}")

    async with anyio.create_task_group() as tasks:
        for n in range(5):
            tasks.start_soon(retry, n)
    found = await answers(session)
    assert len(found) == 6
    assert sum(one.endswith("*") for one in found) == 1
    assert found[0] == "first"


async def test_of_two_processes_one_answers_again_at_a_time(two: Two) -> None:
    here, there = two.a.session("a:1"), two.b.session("a:1")
    asked = await here.receive("q", source_id="m1")
    await answer(asked, "one")
    async with asked.reply(replace=True) as mine:
        other = await there.find("m1")
        assert other is not None
        async with there.bind(other).reply(replace=True) as theirs:
            theirs.add_text("theirs")
        mine.add_text("mine")
    assert theirs.discarded
    assert await answers(there) == ["one", "mine*"]
    await again(there, "theirs")
    assert await answers(here) == ["one", "mine", "theirs*"]


async def test_a_choice_whose_acknowledgement_is_lost_is_made(line: Line) -> None:
    session = line.session
    asked = await session.receive("q")
    await answer(asked, "one")
    texts = ["one"]
    for verb in ("append", "change"):
        for done in (False, True):
            line.storage.lose(verb, done=done)
            await again(asked, f"{verb} {done}")
            assert not line.storage.losses[verb]
            texts.append(f"{verb} {done}")
            assert await answers(session) == [*texts[:-1], f"{texts[-1]}*"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["ask", "again", "choose", "fail", "say"]), st.integers(0, 5)),
        max_size=12,
    )
)
def test_each_question_shows_the_answer_that_was_given_or_chosen_last(
    steps: list[tuple[str, int]],
) -> None:
    async def run() -> None:
        async with SessionStore(MemoryStorage()) as store:
            session = store.session("a:1")
            questions: list[tuple[Session, list[str], str | None]] = []
            for n, (step, which) in enumerate(steps):
                if step == "ask" or not questions:
                    questions.append((await session.receive(f"q{n}"), [], None))
                    continue
                if step == "say":
                    await session.append("assistant", f"said {n}")
                    continue
                place = which % len(questions)
                asked, given, now = questions[place]
                if step == "choose":
                    found = await asked.variants()
                    if found:
                        chosen = found[which % len(found)]
                        now = chosen[0].text
                        await session.choose(chosen[0])
                elif step == "again":
                    await again(asked, now := f"a{n}")
                    given.append(now)
                else:
                    await fails(asked, "half")
                questions[place] = asked, given, now
            window = await shown(session)
            for asked, given, now in questions:
                assert asked.turn is not None
                there = [text for text in window if text in given]
                assert there == ([] if now is None or now not in given else [now])
                if there:
                    assert window.index(now) > window.index(asked.turn.text)

    anyio.run(run)
