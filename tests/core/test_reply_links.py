"""Links: as which of the platform's messages an answer was sent."""

from __future__ import annotations

from typing import Any

import pytest

from turnkeep import InvalidTurnError, Session

from .tools import answer, said, stored

pytestmark = pytest.mark.anyio


async def test_a_platform_id_links_to_the_reply_before_its_block_ends(asked: Session) -> None:
    async with asked.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
        await reply.link("m2", 3)
        reply.add_text("A cat.")
        await reply.link("m4")
    assert [turn.source_ids for turn in await stored(asked)] == [("m1",), (), (), ("m2", "3", "m4")]


async def test_a_platform_id_links_to_the_reply_after_its_block(asked: Session) -> None:
    async with asked.reply() as reply:
        reply.add_text("A cat.")
    await reply.link("m2", None)
    await reply.link("m3", "m2")
    assert (await stored(asked))[-1].source_ids == ("m2", "m3")
    assert reply.turns == (await stored(asked))[1:]


async def test_a_link_goes_to_the_same_turn_before_and_after_the_block(asked: Session) -> None:
    async with asked.reply() as reply:
        await reply.link("m2")
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "a cat")
    await reply.link("m3")
    assert [turn.source_ids for turn in await stored(asked)] == [("m1",), ("m2", "m3"), ()]


async def test_a_link_finds_the_answer_for_an_edit_and_a_deletion(asked: Session) -> None:
    async with asked.reply() as reply:
        reply.add_text("A cat.")
        await reply.link("m2")
    assert await asked.edit("m2", "A dog.") is not None
    assert await said(asked) == ["What is there?", "A dog."]
    assert await asked.delete("m2") is not None
    assert await said(asked) == ["What is there?"]


async def test_a_link_to_a_reply_that_stored_nothing_is_passed_over(asked: Session) -> None:
    async with asked.reply() as reply:
        reply.add_text("A cat.")
        await asked.clear()
    await reply.link("m2")
    assert (await stored(asked))[-1].source_ids == ("m1",)


async def test_a_link_to_an_answer_that_was_deleted_meanwhile_is_passed_over(
    asked: Session,
) -> None:
    (turn,) = await answer(asked)
    async with asked.reply() as reply:
        reply.add_text("A cat.")
    await asked.delete(reply.turns[0])
    await reply.link("m2")
    assert await stored(asked) == [asked.turn, turn]


@pytest.mark.parametrize("bad", ["", True, 1.5])
async def test_a_bad_link_is_refused_and_the_reply_goes_on(asked: Session, bad: Any) -> None:
    async with asked.reply() as reply:
        reply.add_text("A cat.")
        with pytest.raises(InvalidTurnError, match="source_id"):
            await reply.link(bad)
    assert await said(asked) == ["What is there?", "A cat."]


async def test_a_reply_linked_to_a_message_that_is_known_is_stored_still(asked: Session) -> None:
    async with asked.reply() as reply:
        reply.add_text("A cat.")
        await reply.link("m1")
    assert await said(asked) == ["What is there?", "A cat."]
