"""A message that the bot sends beside its replies is stored once, as it was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from turnkeep import Session, SessionStore
from turnkeep.adapter import edit_as_sent, is_as_sent, is_part_of, record_as_sent

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def session() -> AsyncIterator[Session]:
    async with SessionStore("memory:") as store:
        yield store.session("telegram:7")


async def stored(session: Session) -> list[tuple[object, tuple[str, ...]]]:
    return [(turn.content, turn.source_ids) async for turn in session.turns()]


async def test_a_message_without_a_reply_becomes_a_turn_that_follows_its_edits(
    session: Session,
) -> None:
    turn = await record_as_sent(session, "one moment", source_id="7:1")
    assert turn is not None
    assert is_as_sent(turn)
    await edit_as_sent(session, "7:1", "here it is")
    assert await stored(session) == [("here it is", ("7:1",))]


async def test_a_message_that_is_part_of_a_reply_is_linked_to_it(session: Session) -> None:
    async with session.reply() as reply:
        reply.add_text("**here** it is")
        assert await record_as_sent(session, "here it is", source_id="7:1", reply=reply) is None
    assert await stored(session) == [("**here** it is", ("7:1",))]


async def test_what_a_model_said_stays_as_it_is_when_its_message_is_edited(
    session: Session,
) -> None:
    await session.append("assistant", "**here**", source_id="7:1")
    await edit_as_sent(session, "7:1", "here (edited)")
    assert await stored(session) == [("**here**", ("7:1",))]


async def test_a_message_with_nothing_in_it_is_no_turn(session: Session) -> None:
    assert await record_as_sent(session, "", source_id="7:1") is None
    await edit_as_sent(session, "7:1", "something")
    assert await stored(session) == []


@pytest.mark.parametrize(
    ("sent", "part"), [("👍", True), (" 👍\n", True), ("👎", False), ("…", False), (" ", False)]
)
async def test_a_message_without_words_is_part_of_the_same_signs_alone(
    sent: str, part: bool
) -> None:
    assert is_part_of(sent, "👍") is part
