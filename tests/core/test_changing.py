"""Changing what is stored: edit, delete, undo, clear; and that what goes is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from turnkeep import InvalidTurnError, Session, SessionStore

from .conftest import Place
from .tools import answer, said, stored

pytestmark = pytest.mark.anyio

HOWS = ["turn", "id", "source id"]


async def named(session: Session, how: str) -> Any:
    """The second of three turns, as `how` names it."""
    turns = [await session.append("user", text, source_id=f"m-{text}") for text in "abc"]
    return {"turn": turns[1], "id": turns[1].id, "source id": "m-b"}[how]


@pytest.mark.parametrize("how", HOWS)
async def test_a_turn_is_edited_by_itself_its_id_or_a_source_id(session: Session, how: str) -> None:
    edited = await session.edit(await named(session, how), "B")
    assert edited is not None
    assert (edited.id, edited.content, edited.source_ids) == (2, "B", ("m-b",))
    assert await said(session) == ["a", "B", "c"]


@pytest.mark.parametrize("how", HOWS)
async def test_a_turn_is_deleted_by_itself_its_id_or_a_source_id(
    session: Session, how: str
) -> None:
    deleted = await session.delete(await named(session, how))
    assert deleted is not None
    assert deleted.content == "b"
    assert await said(session) == ["a", "c"]


@pytest.mark.parametrize("missing", [99, 0, -1, "m-x", ""])
async def test_to_change_a_turn_that_is_not_there_changes_nothing(
    session: Session, missing: int | str
) -> None:
    await session.append("user", "a")
    assert await session.edit(missing, "x") is None
    assert await session.delete(missing) is None
    assert await said(session) == ["a"]


@pytest.mark.parametrize("bad", [None, True, False, 1.5, ["m1"]])
async def test_what_names_no_turn_is_refused(session: Session, bad: Any) -> None:
    await session.append("user", "a", source_id="True")
    with pytest.raises(InvalidTurnError, match="a turn is named by"):
        await session.edit(bad, "x")
    with pytest.raises(InvalidTurnError, match="a turn is named by"):
        await session.delete(bad)
    assert await said(session) == ["a"]


async def test_a_turn_is_found_by_a_source_id_that_was_cleaned(session: Session) -> None:
    await session.append("user", "a", source_id="m\ud800\0")
    assert await session.edit("m\ud800\0", "b") is not None
    assert await session.store.delete("m\ud800\0") == 1


async def test_an_edit_keeps_all_but_the_content(session: Session) -> None:
    turn = await session.append("user", "a", source_id="m1", sender="42", extra={"k": 1})
    edited = await session.edit(turn, [{"type": "text", "text": "b"}])
    assert edited is not None
    assert edited.content == [{"type": "text", "text": "b"}]
    assert (edited.time, edited.sender, edited.extra) == (turn.time, turn.sender, {"k": 1})


@pytest.mark.parametrize("extra", [{"k": 2}, {}])
async def test_an_edit_replaces_extra_if_it_is_given(
    session: Session, extra: dict[str, Any]
) -> None:
    turn = await session.append("user", "a", extra={"k": 1, "l": 1})
    edited = await session.edit(turn, "a", extra=extra)
    assert edited is not None
    assert edited.extra == extra


async def test_an_edit_survives_a_restart(place: Place) -> None:
    async with place() as store:
        await store.session("t:1").append("user", "a", source_id="m1")
        await store.session("t:1").edit("m1", "b")
    async with place() as store:
        assert await said(store.session("t:1")) == ["b"]


async def test_an_edit_to_the_same_content_changes_nothing(session: Session) -> None:
    turn = await session.append("user", "a")
    before = await session.store.list_sessions()
    assert await session.edit(turn, "a") == turn
    assert await session.store.list_sessions() == before


async def test_an_edit_that_is_refused_leaves_the_turn(session: Session) -> None:
    turn = await session.append("user", "a")
    with pytest.raises(InvalidTurnError):
        await session.edit(turn, {"not": "content"})
    assert await said(session) == ["a"]


async def test_a_turn_far_back_is_edited_and_deleted(session: Session) -> None:
    await session.append("user", "first", source_id="m0")
    await session.append("user", "second", source_id="m00")
    await session.extend([{"role": "user", "content": "x"}] * 2000)
    assert await session.edit("m0", "edited") is not None
    assert await session.delete("m00") is not None
    assert (await said(session))[:2] == ["edited", "x"]


async def test_a_deleted_message_may_be_appended_again(session: Session) -> None:
    turn = await session.append("user", "a", source_id="m1")
    await session.delete(turn)
    assert (await session.append("user", "a", source_id="m1")).id == 2


async def test_undo_takes_the_latest_exchange_away_and_returns_it(session: Session) -> None:
    await session.append("user", "one")
    await answer(session, "ONE")
    await session.append("user", "two", source_id="m2")
    async with session.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        reply.add_text("TWO")
    undone = await session.undo()
    assert [turn.content for turn in undone] == ["two", None, "a cat", "TWO"]
    assert await said(session) == ["one", "ONE"]


async def test_undo_takes_one_exchange_after_the_other(session: Session) -> None:
    for text in ("one", "two"):
        await session.append("user", text)
        await answer(session, text.upper())
    assert [turn.content for turn in await session.undo()] == ["two", "TWO"]
    assert [turn.content for turn in await session.undo()] == ["one", "ONE"]
    assert await session.undo() == []


async def test_what_was_undone_may_be_appended_anew(session: Session) -> None:
    await session.append("user", "Hi", source_id="m1")
    await answer(session)
    undone = await session.undo()
    (again,) = await session.extend(undone[:1])
    assert (again.content, again.source_ids) == ("Hi", ("m1",))
    assert again.id > undone[-1].id


async def test_undo_leaves_an_answer_to_someone_else_that_came_later(session: Session) -> None:
    ada = await session.receive("I am Ada.")
    ben = await session.receive("I am Ben.")
    await answer(ben, "Hello Ben!")
    await answer(ada, "Hello Ada!")
    undone = await session.undo()
    assert [turn.content for turn in undone] == ["I am Ben.", "Hello Ben!"]
    assert await said(session) == ["I am Ada.", "Hello Ada!"]


async def test_undo_takes_what_follows_without_naming_a_question(session: Session) -> None:
    await session.append("user", "Hi")
    await session.append("assistant", "Hello!")
    await session.append("assistant", "Are you there?")
    assert [turn.content for turn in await session.undo()] == ["Hi", "Hello!", "Are you there?"]


async def test_undo_takes_a_blank_message_as_an_exchange_of_its_own(session: Session) -> None:
    await session.append("user", "Hi")
    await session.append("assistant", "Hello!")
    await session.append("user", " ")
    assert [turn.content for turn in await session.undo()] == [" "]


async def test_undo_leaves_hidden_turns(session: Session) -> None:
    await session.append("user", "Hi")
    await session.append("user", "/undo", hidden=True, source_id="m2")
    assert [turn.content for turn in await session.undo()] == ["Hi"]
    assert await said(session) == ["/undo"]


async def test_undo_of_the_answers_leaves_the_question(session: Session) -> None:
    await session.append("user", "Hi")
    await answer(session)
    assert [turn.content for turn in await session.undo(answers_only=True)] == ["Hello!"]
    assert await session.undo(answers_only=True) == []
    assert await said(session) == ["Hi"]


async def test_undo_leaves_the_epochs_before(session: Session) -> None:
    await session.append("user", "old")
    await session.clear()
    assert await session.undo() == []
    assert await said(session) == ["old"]


async def test_clear_begins_an_empty_window_and_keeps_the_old_turns(session: Session) -> None:
    await session.append("user", "old")
    await session.update_metadata(lang="de")
    await session.clear()
    assert await session.get_history() == []
    assert await said(session) == ["old"]
    info = await session.info()
    assert info is not None
    assert (info.epoch, info.turns, info.metadata) == (2, 1, {"lang": "de"})


async def test_clear_with_erase_takes_the_old_turns_away(session: Session) -> None:
    await session.append("user", "old", source_id="m1")
    await session.clear(erase=True)
    assert await said(session) == []
    assert (await session.append("user", "new", source_id="m1")).id == 2


async def test_clearing_a_session_that_never_began_begins_none(session: Session) -> None:
    await session.clear()
    await session.clear(erase=True)
    assert await session.info() is None


@pytest.mark.parametrize("how", ["edit", "delete", "undo", "clear", "forget", "store.delete"])
async def test_what_is_taken_away_is_in_none_of_the_files(tmp_path: Path, how: str) -> None:
    async with SessionStore(tmp_path / "sessions") as store:
        session = store.session("telegram:1")
        await session.append("user", "an innocent turn")
        await session.append("user", "xyzzy-the-secret", source_id="m1", sender="42")
        match how:
            case "edit":
                await session.edit("m1", "nothing to see")
            case "delete":
                await session.delete("m1")
            case "undo":
                await session.undo()
            case "clear":
                await session.clear(erase=True)
            case "forget":
                assert await store.forget(session.key)
            case _:
                assert await store.delete("m1", prefix="telegram:") == 1
    files = [file for file in (tmp_path / "sessions").rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if b"xyzzy" in file.read_bytes()]
    kept = any(b"innocent" in file.read_bytes() for file in files)
    assert kept == (how not in ("clear", "forget"))


async def test_a_change_is_in_the_next_window(session: Session) -> None:
    await session.append("user", "a", source_id="m1")
    await answer(session, "A")
    await session.edit("m1", "b")
    assert [message["content"] for message in await session.get_history()] == ["b", "A"]
    await session.delete("m1")
    assert await session.get_history() == []
    assert [turn.content for turn in await stored(session)] == ["A"]
