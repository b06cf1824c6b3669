"""What a turn is made of, whatever it is handed in as."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from enum import Enum
from typing import Any

import pytest

from turnkeep import InvalidTurnError, Sender, Session, Turn

from .conftest import Place
from .tools import answer, stored

pytestmark = pytest.mark.anyio

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}


class Dumped:
    """A client's message object, as those of the `openai` package are."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def model_dump(self, **_: bool) -> dict[str, Any]:
        return {name: value for name, value in self.fields.items() if value is not None}


async def test_every_field_is_stored_and_comes_back_after_a_restart(place: Place) -> None:
    when = datetime(2024, 5, 6, 7, 8, 9, 123456, timezone.utc)
    async with place() as store:
        await store.session("t:1").append(
            "assistant",
            [{"type": "text", "text": "Wait …"}],
            source_id=["m1", "m2"],
            sender=Sender("7", "Bot"),
            name="bot",
            tool_calls=[CALL],
            time=when,
            extra={"deep": {"list": [1, 2.5, None, True]}},
            hidden=True,
        )
    async with place() as store:
        (turn,) = await stored(store.session("t:1"))
        assert [turn] == [
            Turn(
                id=1,
                role="assistant",
                generation=turn.generation,
                content=[{"type": "text", "text": "Wait …"}],
                source_ids=("m1", "m2"),
                sender=Sender("7", "Bot"),
                name="bot",
                tool_calls=[CALL],
                time=when,
                extra={"deep": {"list": [1, 2.5, None, True]}},
                hidden=True,
            )
        ]


async def test_a_turn_is_immutable(session: Session) -> None:
    turn = await session.append("user", "Hi")
    with pytest.raises(AttributeError):
        turn.content = "Bye"  # type: ignore[misc]


async def test_a_turn_shares_nothing_with_what_it_was_made_of(session: Session) -> None:
    part = {"type": "text", "text": "Hi"}
    call = {**CALL, "function": {"name": "look", "arguments": "{}"}}
    tags = ["a"]
    content, calls, extra = [part], [call], {"tags": tags}
    turn = await session.append("assistant", content, tool_calls=calls, extra=extra)
    part["text"] = "changed"
    call["id"] = "changed"
    tags.append("changed")
    content.clear()
    calls.clear()
    extra.clear()
    assert turn.content == [{"type": "text", "text": "Hi"}]
    assert turn.tool_calls is not None
    assert (turn.tool_calls[0]["id"], turn.extra) == ("c1", {"tags": ["a"]})
    assert await stored(session) == [turn]


async def test_a_time_in_any_zone_is_stored_in_utc(session: Session) -> None:
    there = datetime(2024, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    turn = await session.append("user", "Hi", time=there)
    assert turn.time == there
    assert turn.time.tzinfo is timezone.utc
    assert turn.time.day == 31


async def test_a_time_of_a_library_is_stored_as_a_plain_one(session: Session) -> None:
    class Timestamp(datetime):
        pass

    turn = await session.append("user", "Hi", time=Timestamp(2024, 1, 1, tzinfo=timezone.utc))
    assert type(turn.time) is datetime
    assert turn.time == datetime(2024, 1, 1, tzinfo=timezone.utc)


class Nowhere(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> None:
        return None


@pytest.mark.parametrize(
    "time",
    [
        datetime(2024, 1, 1),  # noqa: DTZ001
        datetime(2024, 1, 1, tzinfo=Nowhere()),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-2))),
        1704067200,
        "2024-01-01T00:00:00Z",
    ],
)
async def test_a_time_that_names_no_moment_is_refused(session: Session, time: Any) -> None:
    with pytest.raises(InvalidTurnError, match=r"session telegram:12345: time"):
        await session.append("user", "Hi", time=time)
    assert await stored(session) == []


@pytest.mark.parametrize(
    ("given", "sender"),
    [
        (None, None),
        ("42", Sender("42")),
        (42, Sender("42")),
        (0, Sender("0")),
        (Sender("42", "Ada"), Sender("42", "Ada")),
        (Sender(42, "Ada"), Sender("42", "Ada")),  # type: ignore[arg-type]
    ],
)
async def test_a_sender_is_itself_or_a_bare_id(
    session: Session, given: Any, sender: Sender | None
) -> None:
    assert (await session.append("user", "Hi", sender=given)).sender == sender


@pytest.mark.parametrize("sender", ["", True, 1.5, {"id": "42"}, Sender(""), Sender(None)])  # type: ignore[arg-type]
async def test_a_sender_without_an_id_is_refused(session: Session, sender: Any) -> None:
    with pytest.raises(InvalidTurnError, match="sender"):
        await session.append("user", "Hi", sender=sender)


@pytest.mark.parametrize("source_id", ["", True, 1.5, ["m1", ""], [None], {"m1"}, object()])
async def test_a_source_id_that_names_nothing_is_refused(session: Session, source_id: Any) -> None:
    with pytest.raises(InvalidTurnError, match="source_id"):
        await session.append("user", "Hi", source_id=source_id)


async def test_a_text_of_another_class_is_stored_as_plain_text(session: Session) -> None:
    class Markup(str):
        __slots__ = ()

    class Name(str, Enum):  # noqa: UP042 - the kind whose str() is its name
        ADA = "ada"

    turn = await session.append(
        "user", Markup("<b>Hi</b>"), name=Name.ADA, source_id=Name.ADA, extra={"by": Name.ADA}
    )
    assert (turn.content, turn.name, turn.source_id) == ("<b>Hi</b>", "ada", "ada")
    assert {type(turn.content), type(turn.name), type(turn.extra["by"])} == {str}


async def test_a_message_dict_keeps_its_unknown_fields_in_extra(session: Session) -> None:
    (turn,) = await session.extend(
        [{"role": "user", "content": "Hi", "name": "ada", "refusal": None, "extra": {"a": 1}}]
    )
    assert (turn.content, turn.name) == ("Hi", "ada")
    assert turn.extra == {"a": 1, "refusal": None}


async def test_a_message_dict_is_left_as_it_was(session: Session) -> None:
    message = {"role": "user", "content": "Hi", "source_id": "m1", "k": 1, "extra": {"a": 1}}
    before = {**message, "extra": {"a": 1}}
    await session.extend([message])
    assert message == before


async def test_a_whole_tool_exchange_of_dicts_is_stored(session: Session) -> None:
    turns = await session.extend(
        [
            {"role": "user", "content": "What is there?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "a cat", "tool_call_id": "c1"},
        ]
    )
    assert [turn.role for turn in turns] == ["user", "assistant", "tool"]
    assert turns[1].tool_calls == [CALL]
    assert turns[2].tool_call_id == "c1"


async def test_a_clients_message_object_is_stored(session: Session) -> None:
    call = Dumped(id="c1", type="function", function={"name": "look", "arguments": "{}"})
    message = Dumped(role="assistant", content=None, tool_calls=[call], refusal=None)
    (turn,) = await session.extend([message])
    assert turn.tool_calls is not None
    assert turn.tool_calls[0]["function"] == {"name": "look", "arguments": "{}"}
    assert turn.extra == {}


async def test_calls_with_parsed_arguments_are_stored_as_text(session: Session) -> None:
    calls = [
        {"id": "c1", "function": {"name": "look", "arguments": {"at": 1}}},
        {"id": "c2", "function": {"name": "look"}},
        {"id": "c3", "function": {"name": "look", "arguments": None}},
    ]
    turn = await session.append("assistant", tool_calls=calls)
    assert turn.tool_calls is not None
    texts = [call["function"]["arguments"] for call in turn.tool_calls]
    assert texts == ['{"at":1}', "{}", "{}"]
    assert {call["type"] for call in turn.tool_calls} == {"function"}


async def test_a_stored_turn_is_appended_anew_with_an_id_and_epoch_of_its_own(
    session: Session,
) -> None:
    old = await session.append("user", "Hi", source_id="m1", sender=Sender("42", "Ada"))
    await session.clear()
    await session.delete(old)
    (new,) = await session.extend([old])
    assert (new.id, new.epoch) == (2, 2)
    assert (new.content, new.source_ids, new.sender, new.time) == (
        "Hi",
        ("m1",),
        Sender("42", "Ada"),
        old.time,
    )


async def test_an_answer_that_is_appended_elsewhere_answers_nothing_there(
    session: Session,
) -> None:
    await session.append("user", "Hi")
    other = session.store.session("telegram:2")
    (turn,) = await other.extend(await answer(session))
    assert turn.answers is None


@pytest.mark.parametrize(
    "message",
    [
        "Hi",
        None,
        7,
        ["user", "Hi"],
        {"content": "Hi"},
        {"role": None, "content": "Hi"},
        {"role": "user"},
        {"role": "user", "content": "Hi", "extra": [1]},
        {"role": "user", "content": "Hi", 7: "no text"},
        {"role": "user", "content": "Hi", "tool_calls": [CALL]},
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "content": None, "tool_calls": CALL},
        {"role": "assistant", "content": None, "tool_calls": "c1"},
        {"role": "assistant", "content": None, "tool_calls": ["c1"]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}]},
        {"role": "user", "content": "Hi", "name": 7},
        {"role": "user", "content": [7]},
        {"role": "user", "content": [["Hi"]]},
        {"role": "user", "content": [{"text": "Hi"}]},
    ],
)
async def test_a_message_that_could_never_go_to_a_model_is_refused(
    session: Session, message: Any
) -> None:
    with pytest.raises(InvalidTurnError, match="session telegram:12345: number 1 of the turns"):
        await session.extend([message])
    assert await session.info() is None


async def test_the_text_of_a_turn_is_that_of_its_parts(session: Session) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
    parts = [{"type": "text", "text": "Look:"}, picture, {"type": "text", "text": "a cat"}]
    assert (await session.append("user", parts)).text == "Look:\na cat"
    assert (await session.append("assistant", tool_calls=[CALL])).text == ""
