"""The contract *Limits*: how large a turn may be, and what is replaced in it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from turnkeep import Session, SessionStore, TurnTooLargeError
from turnkeep._records.clean import clean_text

from .conftest import Place
from .tools import said, stored

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
BAD = "a\0b\ud800c\udfffd"
GOOD = "a\ufffdb\ufffdc\ufffdd"


async def test_a_turn_of_almost_a_mebibyte_is_stored(session: Session) -> None:
    turn = await session.append("user", "x" * (MIB - 200))
    assert len(turn.text) == MIB - 200


async def test_a_turn_over_a_mebibyte_is_refused(session: Session) -> None:
    with pytest.raises(TurnTooLargeError, match=r"session telegram:12345: .*limit of 1,048,576"):
        await session.append("user", "x" * MIB)
    assert await said(session) == []


async def test_the_limit_counts_bytes_as_they_are_encoded(session: Session) -> None:
    with pytest.raises(TurnTooLargeError):
        await session.append("user", "é" * (MIB // 2))
    with pytest.raises(TurnTooLargeError):
        await session.append("user", "\n" * (MIB // 2))


@pytest.mark.parametrize(
    "large",
    [
        {"extra": {"blob": "x" * 2000}},
        {"name": "x" * 2000},
        {"sender": "x" * 2000},
        {"source_id": "x" * 2000},
    ],
)
async def test_the_limit_counts_every_field(place: Place, large: dict[str, Any]) -> None:
    async with place(max_turn_bytes=1000) as store:
        with pytest.raises(TurnTooLargeError, match="limit of 1,000"):
            await store.session("t:1").append("user", "Hi", **large)
        assert await store.session("t:1").info() is None


async def test_the_limit_may_be_raised(place: Place) -> None:
    async with place(max_turn_bytes=3 * MIB) as store:
        await store.session("t:1").append("user", "x" * 2 * MIB)
        assert len((await said(store.session("t:1")))[0]) == 2 * MIB


@pytest.mark.parametrize("char", ["x", "é", "\n", "\x01", "😀"])
async def test_a_tool_result_over_the_limit_is_cut_to_fit_with_a_mark(
    place: Place, char: str
) -> None:
    async with place(max_turn_bytes=2000) as store:
        session = store.session("t:1")
        turn = await session.append("tool", char * 5000, tool_call_id="c1")
        assert await stored(session) == [turn]
    kept, mark = turn.text.rsplit("\n", 1)
    assert set(kept) == {char}
    kept_length = len(turn.text) - len(mark) - 1
    assert mark == f"[cut: {5000 - kept_length:,} of 5,000 characters left out]"
    # As it is measured: without the place that a storage gives it.
    given = replace(turn, id=0, generation="")
    assert 1600 <= len(msgspec.json.encode(given)) <= 2000


async def test_a_tool_result_that_just_fits_is_left_whole(place: Place) -> None:
    frame = 200
    async with place(max_turn_bytes=2000) as store:
        turn = await store.session("t:1").append("tool", "x" * (2000 - frame), tool_call_id="c1")
    assert turn.text == "x" * (2000 - frame)


async def test_a_tool_result_of_parts_is_cut_to_its_text(place: Place) -> None:
    parts = [
        {"type": "text", "text": "x" * 5000},
        {"type": "image_url", "image_url": {"url": "data:" + "y" * 5000}},
    ]
    async with place(max_turn_bytes=2000) as store:
        turn = await store.session("t:1").append("tool", parts, tool_call_id="c1")
    assert isinstance(turn.content, str)
    assert turn.content.startswith("xxx")
    assert "of 5,000 characters left out]" in turn.content


async def test_a_tool_result_too_large_but_for_its_content_is_refused(place: Place) -> None:
    async with place(max_turn_bytes=1000) as store:
        with pytest.raises(TurnTooLargeError, match="even without its content"):
            await store.session("t:1").append(
                "tool", "a cat", tool_call_id="c1", extra={"blob": "x" * 2000}
            )
        assert await store.session("t:1").info() is None


async def test_an_answer_is_not_lost_for_a_tool_result_over_the_limit(place: Place) -> None:
    async with place(max_turn_bytes=2000) as store:
        session = await store.session("t:1").receive("What is there?")
        async with session.reply() as reply:
            reply.add_tool_call("c1", "look", "{}")
            reply.add_tool_result("c1", "cat " * 5000)
            reply.add_text("Cats.")
        assert [turn.role for turn in reply.turns] == ["assistant", "tool", "assistant"]
        assert reply.turns[1].text.endswith("left out]")


async def test_an_answer_over_the_limit_is_raised_and_stores_nothing(place: Place) -> None:
    async with place(max_turn_bytes=2000) as store:
        session = await store.session("t:1").receive("Hi")
        reply = session.reply()
        with pytest.raises(TurnTooLargeError):
            async with reply:
                reply.add_text("x" * 5000)
        assert await said(session) == ["Hi"]
        assert not session.already_answered


async def test_nuls_and_lone_surrogates_are_replaced_in_every_text(session: Session) -> None:
    call = {"id": BAD, "function": {"name": BAD, "arguments": {BAD: [BAD]}}}
    turn = await session.append(
        "assistant",
        [{"type": "text", "text": BAD, BAD: {BAD: [BAD]}}],
        tool_calls=[call],
        source_id=BAD,
        sender=BAD,
        name=BAD,
        extra={BAD: [{BAD: BAD}]},
    )
    assert turn.content == [{"type": "text", "text": GOOD, GOOD: {GOOD: [GOOD]}}]
    assert turn.tool_calls == [
        {
            "id": GOOD,
            "type": "function",
            "function": {
                "name": GOOD,
                "arguments": json.dumps({GOOD: [GOOD]}, ensure_ascii=False).replace(": ", ":"),
            },
        }
    ]
    assert (turn.source_ids, turn.name, turn.extra) == ((GOOD,), GOOD, {GOOD: [{GOOD: GOOD}]})
    assert turn.sender is not None
    assert turn.sender.id == GOOD
    assert await stored(session) == [turn]


async def test_nuls_and_lone_surrogates_are_replaced_in_a_tool_result(session: Session) -> None:
    turn = await session.append("tool", BAD, tool_call_id=BAD)
    assert (turn.content, turn.tool_call_id) == (GOOD, GOOD)


async def test_nuls_and_lone_surrogates_are_replaced_in_a_reply(session: Session) -> None:
    async with session.reply() as reply:
        reply.add_text(BAD)
        reply.add_tool_call(BAD, BAD, BAD)
        reply.add_tool_result(BAD, BAD)
        reply.add_text(BAD)
        await reply.link(BAD)
    assert [turn.content for turn in reply.turns] == [GOOD, GOOD, GOOD]
    assert reply.turns[-1].source_ids == (GOOD,)
    await reply.link(f"late{BAD}")
    assert (await stored(session))[-1].source_ids == (GOOD, f"late{GOOD}")


async def test_nuls_and_lone_surrogates_are_replaced_by_an_edit(session: Session) -> None:
    turn = await session.append("user", "a")
    edited = await session.edit(turn, BAD, extra={BAD: BAD})
    assert edited is not None
    assert (edited.content, edited.extra) == (GOOD, {GOOD: GOOD})


async def test_nuls_and_lone_surrogates_are_replaced_in_metadata(session: Session) -> None:
    assert await session.update_metadata({BAD: [{BAD: BAD}]}) == {GOOD: [{GOOD: GOOD}]}


async def test_a_surrogate_split_over_two_pieces_is_one_character(session: Session) -> None:
    async with session.reply() as reply:
        reply.add_text("\ud83d")
        reply.add_text("\ude00")
    assert reply.turns[0].content == "😀"


@given(st.text(st.characters() | st.characters(categories=["Cs"])))
def test_only_nuls_and_lone_surrogates_are_replaced_and_each_by_one_character(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode()
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert len(cleaned) == len(joined)
    for char, was in zip(cleaned, joined, strict=True):
        assert char == ("\ufffd" if was == "\0" or "\ud800" <= was <= "\udfff" else was)


async def test_text_that_every_storage_can_hold_is_left_as_it_is(place: Place) -> None:
    text = 'é 😀 \u2028\u2029 \x01\x7f\x85\r\n\t \ufeff \ufffe 👨‍👩‍👧 a\u0301 \\ " </script>'
    async with place() as store:
        await store.session("t:1").append("user", text)
    async with place() as store:
        assert await said(store.session("t:1")) == [text]


async def test_one_store_limits_each_of_its_sessions() -> None:
    async with SessionStore("memory:", max_turn_bytes=200) as store:
        for chat in (1, 2):
            with pytest.raises(TurnTooLargeError, match=f"session t:{chat}: "):
                await store.session(f"t:{chat}").append("user", "x" * 300)
