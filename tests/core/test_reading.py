"""Reading what is stored: turns over epochs and pages, the record, the metadata."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from turnkeep import InvalidMetadataError, Session, SessionKey, SessionStore, Turn
from turnkeep._session import reading
from turnkeep._session.desk import Desk
from turnkeep._window.arrange import Arrangement
from turnkeep._window.options import HistoryOptions
from turnkeep.storage.base import Change, Snapshot
from turnkeep.storage.memory import MemoryStorage

from .conftest import Place
from .tools import answer, said, stored

pytestmark = pytest.mark.anyio


async def epochs(session: Session) -> None:
    for text in ("one", "two", "three"):
        await session.append("user", text)
        if text != "three":
            await session.clear()


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(None, ["three"]), (1, ["one"]), (2, ["two"]), (9, []), ("all", ["one", "two", "three"])],
)
async def test_turns_are_those_of_the_epoch_that_is_asked_for(
    session: Session, epoch: Any, expected: list[str]
) -> None:
    await epochs(session)
    assert [turn.content async for turn in session.turns(epoch=epoch)] == expected


async def test_turns_of_a_session_that_never_began_are_none(session: Session) -> None:
    assert [turn async for turn in session.turns()] == []
    assert await stored(session) == []


@pytest.mark.parametrize("count", [499, 500, 501, 1203])
async def test_turns_come_whole_over_many_pages(session: Session, count: int) -> None:
    await session.extend({"role": "user", "content": f"{number}"} for number in range(count))
    assert await said(session) == [f"{number}" for number in range(count)]


@pytest.mark.parametrize("epoch", ["current", "", 1.5])
async def test_turns_of_what_is_no_epoch_are_refused(session: Session, epoch: Any) -> None:
    with pytest.raises(ValueError, match="epoch is a whole number"):
        session.turns(epoch=epoch)


async def test_turns_begin_behind_an_id(session: Session) -> None:
    await session.extend([{"role": "user", "content": text} for text in "abcd"])
    assert [turn.content async for turn in session.turns(after=2)] == ["c", "d"]


async def test_the_last_turns_are_read_without_those_before(session: Session) -> None:
    await session.extend([{"role": "user", "content": text} for text in "abcd"])
    assert [turn.content async for turn in session.turns(last=2)] == ["c", "d"]
    assert [turn.content async for turn in session.turns(last=9, after=1)] == ["b", "c", "d"]
    await session.clear()
    await session.append("user", "e")
    assert [turn.content async for turn in session.turns(last=2)] == ["e"]
    assert [turn.content async for turn in session.turns(last=2, epoch="all")] == ["d", "e"]


@pytest.mark.parametrize("last", [0, -1, True])
async def test_the_last_no_turns_are_refused(session: Session, last: Any) -> None:
    with pytest.raises(ValueError, match="last is a whole number, 1 or more"):
        session.turns(last=last)


async def test_turns_may_be_deleted_while_they_are_read(session: Session) -> None:
    await session.extend({"role": "user", "content": f"{number}"} for number in range(700))
    async for turn in session.turns():
        if turn.id % 2:
            await session.delete(turn)
        if turn.id > 20:
            break
    assert (await said(session))[:11] == [f"{number}" for number in range(1, 23, 2)]


async def test_a_turn_appended_while_others_are_read_is_read_or_left_for_later(
    session: Session,
) -> None:
    await session.extend({"role": "user", "content": f"{number}"} for number in range(600))
    read: list[Any] = []
    async for turn in session.turns():
        read.append(turn.content)
        if turn.id == 1:
            await session.append("user", "late")
    assert read == [*(f"{number}" for number in range(600)), "late"]


async def test_there_is_no_record_of_a_session_that_never_began(session: Session) -> None:
    assert await session.info() is None
    assert await session.get_history() == []


async def test_the_record_counts_turns_ids_and_epochs(session: Session) -> None:
    first = await session.append("user", "a")
    before = await session.info()
    await session.clear()
    await session.delete(await session.append("user", "b"))
    info = await session.info()
    assert before is not None
    assert info is not None
    assert (info.key, info.turns, info.last_id, info.epoch) == (session.key, 1, 2, 2)
    assert info.created_at == before.created_at
    assert info.updated_at >= before.updated_at >= before.created_at
    assert before.created_at.tzinfo is not None
    assert first.time.tzinfo is not None


async def test_the_record_is_the_same_after_a_restart(place: Place) -> None:
    async with place() as store:
        await epochs(store.session("t:1"))
        await store.session("t:1").update_metadata(lang="de")
        before = await store.session("t:1").info()
    async with place() as store:
        info = await store.session("t:1").info()
    assert before is not None
    assert info is not None
    assert info.epoch_name == before.epoch_name
    assert (info.turns, info.last_id, info.metadata) == (3, 3, {"lang": "de"})


async def test_metadata_is_merged_and_a_none_takes_its_key_away(session: Session) -> None:
    assert await session.update_metadata({"lang": "de", "n": {"a": 1}}) == {
        "lang": "de",
        "n": {"a": 1},
    }
    assert await session.update_metadata(lang=None, n={"b": 2}, tags=[]) == {
        "n": {"b": 2},
        "tags": [],
    }
    info = await session.info()
    assert info is not None
    assert info.metadata == {"n": {"b": 2}, "tags": []}


async def test_metadata_begins_a_session(session: Session) -> None:
    await session.update_metadata(lang="de")
    info = await session.info()
    assert info is not None
    assert (info.turns, info.metadata) == (0, {"lang": "de"})


async def test_asking_for_the_metadata_changes_nothing_in_it(session: Session) -> None:
    await session.update_metadata(lang="de")
    assert await session.update_metadata() == {"lang": "de"}


async def test_metadata_is_the_callers_own_copy(session: Session) -> None:
    tags = ["a"]
    given = await session.update_metadata({"tags": tags})
    tags.append("b")
    given["tags"].append("c")
    info = await session.info()
    assert info is not None
    info.metadata["tags"].append("d")
    (listed,) = await session.store.list_sessions()
    listed.metadata["tags"].append("e")
    assert await session.update_metadata() == {"tags": ["a"]}


async def test_metadata_of_eight_kibibytes_fits_and_a_byte_more_does_not(
    session: Session,
) -> None:
    frame = len('{"v":""}')
    await session.update_metadata(v="x" * (8192 - frame))
    with pytest.raises(InvalidMetadataError, match="session telegram:12345: metadata of 8,193"):
        await session.update_metadata(v="x" * (8193 - frame))
    assert await session.update_metadata(v=None, ok=1) == {"ok": 1}


async def test_metadata_counts_with_what_is_there_already(session: Session) -> None:
    await session.update_metadata(a="x" * 5000)
    with pytest.raises(InvalidMetadataError, match="over its limit of 8,192"):
        await session.update_metadata(b="x" * 5000)
    assert list(await session.update_metadata()) == ["a"]


async def test_a_bound_window_ends_with_its_message(session: Session) -> None:
    first = await session.receive("one")
    second = await session.receive("two")
    await answer(second, "TWO")
    assert [message["content"] for message in await first.get_history()] == ["one"]
    assert [message["content"] for message in await second.get_history()] == ["one", "two"]


async def test_a_bound_window_reaches_back_to_its_message_however_far(session: Session) -> None:
    early = await session.receive("early")
    await session.extend([{"role": "user", "content": "later"}] * 300)
    assert [message["content"] for message in await early.get_history(5)] == ["early"]


async def test_a_window_is_the_callers_own_copy(session: Session) -> None:
    await session.append("user", [{"type": "text", "text": "Hi"}])
    window = await session.get_history()
    window[0]["content"][0]["text"] = "changed"
    assert (await session.get_history())[0]["content"] == [{"type": "text", "text": "Hi"}]


async def test_a_handle_says_what_it_is(store: SessionStore) -> None:
    session = store.session("telegram:7")
    assert session.store is store
    assert repr(session) == "<Session telegram:7>"
    assert repr(await session.receive("Hi")) == "<Session telegram:7, turn 1>"
    assert repr(store).startswith("<SessionStore ")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of turns of each read at the desk."""
    counts: list[int] = []
    real = Desk.read

    async def counted(self: Desk, key: SessionKey, **selection: Any) -> Snapshot:
        found = await real(self, key, **selection)
        counts.append(len(found.turns))
        return found

    monkeypatch.setattr(Desk, "read", counted)
    return counts


async def test_the_turns_of_a_short_epoch_behind_a_long_one_do_not_read_that_one(
    session: Session, read: list[int]
) -> None:
    for _ in range(20):
        await session.extend([{"role": "user", "content": "before"}] * 1000)
    await session.clear()
    await session.extend([{"role": "user", "content": "now"}] * 3)
    assert [turn.text async for turn in session.turns()] == ["now"] * 3
    assert sum(read) < 2000
    assert len(read) < 12
    read.clear()
    assert len([turn async for turn in session.turns(epoch=1)]) == 20_000
    assert sum(read) == 20_003
    assert await anext(session.turns(epoch=9), None) is None


@pytest.mark.parametrize("seed", range(10))
async def test_the_turns_of_each_epoch_are_found_whatever_its_length_and_what_was_deleted(
    session: Session, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(reading, "PAGE_TURNS", 3)
    random, expected = Random(seed), dict[int, list[str]]()
    for _ in range(6):
        count = random.choice((0, 1, 2, 5, 20))
        for number in range(count):
            turn = await session.append("user", f"{number}")
            if random.random() < 0.3:
                await session.delete(turn)
            else:
                expected.setdefault(turn.epoch, []).append(turn.text)
        await session.clear()
    for epoch in range(1, 9):
        found = [turn.text async for turn in session.turns(epoch=epoch)]
        assert found == expected.get(epoch, [])


async def test_a_window_of_one_of_many_waiting_messages_arranges_no_more_than_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arranged = 0
    real = Arrangement.extend

    def counting(self: Arrangement, turns: Iterable[Turn]) -> None:
        nonlocal arranged
        given = [*turns]
        arranged += len(given)
        real(self, given)

    monkeypatch.setattr(Arrangement, "extend", counting)
    async with SessionStore("memory:") as store:
        session = store.session("test:1")
        waiting = [await session.receive(f"{number}") for number in range(600)]
        for number, message in enumerate(waiting):
            async with message.reply() as reply:
                window = await reply.get_history(max_messages=20)
                assert window[-1]["content"] == f"{number}"
                assert [one["content"] for one in window[-3:-1]] in (
                    [],  # a step of the cut
                    [f"{number - 1}", f"to {number - 1}"],
                )
                reply.add_text(f"to {number}")
        assert arranged < 20 * len(waiting)  # it was half of 600 for each


async def test_a_session_that_has_nothing_to_show_is_read_whole_once(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = store.session("test:1")
    for number in range(30):
        await session.extend([{"role": "system", "content": f"note {number}"}] * 2)
    assert await session.get_history(max_messages=2) == []
    limits: list[Any] = []
    real = Desk.read

    async def read(desk: Desk, key: SessionKey, **selection: Any) -> Snapshot:
        limits.append(selection["limit"])
        return await real(desk, key, **selection)

    with monkeypatch.context() as patched:
        patched.setattr(Desk, "read", read)
        assert await session.get_history(max_messages=2) == []
    assert len(limits) == 1
    await session.append("user", "Hi")
    assert [one["content"] for one in await session.get_history(max_messages=2)] == ["Hi"]


async def test_a_window_behind_much_that_is_not_shown_is_that_of_a_store_that_knows_nothing() -> (
    None
):
    random, storage = Random(19), MemoryStorage(shared=True)
    key = SessionKey("test", "1")
    async with SessionStore(storage) as store:
        session = store.session(key)
        for _ in range(400):
            match random.randrange(9):
                case 0:
                    await session.append("user", f"said {random.random()}")
                case 1:
                    await session.append("assistant", "an answer")
                case 2 if (info := await session.info()) is not None and info.last_id:
                    change = Change(hidden=random.random() < 0.8)
                    await storage.edit(key, random.randint(1, info.last_id), change)
                case 3 if random.random() < 0.1:
                    await session.clear()
                case 4:
                    for turn in [one async for one in session.turns() if one.role == "user"]:
                        await storage.edit(key, turn.id, Change(hidden=True))
                case _:
                    await session.extend([{"role": "system", "content": "note"}] * 9)
            mine = await session.get_history(max_messages=3)
            async with SessionStore(storage) as other:
                assert mine == await other.session(key).get_history(max_messages=3)


@pytest.mark.parametrize("before", ["nothing", "a question", "an answered question"])
async def test_a_bot_that_speaks_by_itself_is_read_whole_once(
    store: SessionStore, read: list[int], before: str
) -> None:
    session = store.session("test:1")
    if before != "nothing":
        await session.append("user", "Hi")
    for _ in range(20):
        await session.extend([{"role": "assistant", "content": "news"}] * 50)
    if before == "an answered question":
        await answer(await session.receive("And now?"), "Nothing.")
        await session.extend([{"role": "assistant", "content": "news"}] * 1000)
    first = await session.get_history(max_messages=5)
    read.clear()
    assert await session.get_history(max_messages=5) == first
    for _ in range(3):
        await session.extend([{"role": "assistant", "content": "more"}] * 30)
        assert (await session.get_history(max_messages=5))[-1]["content"] == "more"
    bound = await session.receive("What is new?")
    assert (await bound.get_history(max_messages=5))[-1]["content"] == "What is new?"
    async with bound.reply() as reply:
        assert (await reply.get_history(max_messages=5))[-1]["content"] == "What is new?"
        reply.add_text("All of that.")
    assert sum(read) < 600


async def test_a_window_of_a_bot_that_speaks_by_itself_is_that_of_a_store_that_knows_nothing() -> (
    None
):
    random, storage = Random(12), MemoryStorage(shared=True)
    some_options: list[HistoryOptions] = [{}, {"max_tokens": 60}, {"slack": 0.2}, {"merge": True}]
    key = SessionKey("test", "1")
    async with SessionStore(storage) as store:
        session = store.session(key)
        for number in range(500):
            info = await session.info()
            last = info.last_id if info is not None else 0
            match random.randrange(24):
                case 0 | 1:
                    await session.append("user", f"said {number}")
                case 2:
                    await answer(await session.receive(f"asked {number}"), f"to {number}")
                case 3 if last:
                    await storage.edit(key, random.randint(1, last), Change(hidden=True))
                case 4 if last:
                    change = Change(content=f"edited {number}")
                    await storage.edit(key, random.randint(max(1, last - 9), last), change)
                case 5 if last:
                    await session.delete(random.randint(max(1, last - 300), last))
                case 6 if random.random() < 0.2:
                    await session.clear()
                case 7:
                    call = {"id": f"c{number}", "function": {"name": "f", "arguments": "{}"}}
                    await session.append("assistant", None, tool_calls=[call])
                case 8:
                    await session.append("tool", "found", tool_call_id=f"c{number - 1}")
                case 9 if random.random() < 0.2:
                    await session.consolidate(summary, keep=2)
                case 10 if random.random() < 0.2:
                    linked = store.session(f"test:{number}")
                    await linked.extend([{"role": "assistant", "content": "before"}] * 20)
                    await store.link(linked.key, key)
                case _:
                    count = random.choice((1, 3, 40))
                    await session.extend(
                        [{"role": "assistant", "content": f"{number}, {at}"} for at in range(count)]
                    )
            options = random.choice(some_options)
            bound = random.choice((2, 5))
            mine = await session.get_history(bound, **options)
            async with SessionStore(storage) as other:
                assert mine == await other.session(key).get_history(bound, **options)


async def summary(_: object) -> str:
    return "They talked."


@pytest.mark.parametrize("news", [100, 400])
@pytest.mark.parametrize("options", [{"max_tokens": 3000}, {"max_tokens": 9000}, {}])
async def test_a_longer_window_than_the_last_one_shows_what_was_said_before_a_bots_own_words(
    news: int, options: HistoryOptions
) -> None:
    storage, key = MemoryStorage(shared=True), SessionKey("test", "1")
    async with SessionStore(storage) as store:
        session = store.session(key)
        for number in range(800):
            await session.extend(
                [{"role": "user", "content": f"{number}"}, {"role": "assistant", "content": "yes"}]
            )
        await session.extend([{"role": "assistant", "content": "news"}] * news)
        for bound in (5, 3, 5000):
            mine = await session.get_history(bound, **options)
            async with SessionStore(storage) as other:
                assert mine == await other.session(key).get_history(bound, **options)
            mine = await session.get_history(5)
            await session.append("assistant", "more")


async def test_a_turn_that_is_no_longer_hidden_is_shown_however_much_stands_behind_it(
    store: SessionStore,
) -> None:
    session = store.session("test:1")
    await session.append("user", "first")
    async with store.desk.use(session.key, write=True) as storage:
        await storage.edit(session.key, 1, Change(hidden=True))
        await session.extend([{"role": "system", "content": "note"}] * 100)
        await session.append("user", "second")
        assert [one["content"] for one in await session.get_history(3)] == ["second"]
        await session.append("user", "third")
        await storage.edit(session.key, 1, Change(hidden=False))
    assert [one["content"] for one in await session.get_history(3)] == ["first", "second", "third"]
