"""Answers that grow, on each platform: `await chat_session.answer(stream)`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from adapters.platforms import Handler, Platform, echo
from turnkeep.adapter import ChatSession

pytestmark = pytest.mark.asyncio


def saying(says: Callable[[], AsyncIterator[str]], *, pace: float = 0) -> Handler:
    """A handler that answers so; the pace is 0 here, so that each piece is shown at once."""

    async def handle(chat_session: ChatSession, text: str) -> None:
        assert chat_session.outlet is not None
        chat_session.outlet.pace = pace
        await chat_session.answer(says())

    return handle


async def test_it_grows_by_edits_and_is_stored_once_as_the_final_text(platform: Platform) -> None:
    here, shown = platform.private(platform.ada), list[list[str]]()

    async def says() -> AsyncIterator[str]:
        for word in ("one ", "two ", "three"):
            yield word
            shown.append(platform.sent(here))

    await platform.start(saying(says))
    await platform.say(platform.ada, "count")
    await platform.shows("one two three", at=here)
    await platform.stop()
    assert [[text.rstrip() for text in texts] for texts in shown] == [
        ["one"],
        ["one two"],
        ["one two three"],
    ]
    turns = await platform.turns(here)
    assert [(turn.role, turn.text) for turn in turns] == [
        ("user", "count"),
        ("assistant", "one two three"),
    ]
    assert turns[1].source_ids == platform.source_ids(here)
    assert platform.bytes().count(b"three") == 1, "no half of it was ever stored"


async def test_it_is_not_edited_faster_than_the_platform_likes(platform: Platform) -> None:
    async def says() -> AsyncIterator[str]:
        for number in range(100):
            yield f" {number}"

    await platform.start(saying(says, pace=3600))
    await platform.say(platform.ada, "count")
    here = platform.private(platform.ada)
    whole = " ".join(str(number) for number in range(100))
    await platform.wait(lambda: platform.sent(here) and platform.sent(here)[0].endswith(whole))
    assert [text.strip() for text in platform.texts()] == ["0", whole], "the first, and the end"


async def test_it_is_split_at_the_platforms_limit_without_breaking_a_code_block(
    platform: Platform,
) -> None:
    here = platform.group
    code = "".join(f"print('line {number}')\n" for number in range(platform.limit // 8))
    whole = f"See:\n\n```python\n{code}```\nThat is all of it."

    async def says() -> AsyncIterator[str]:
        for at in range(0, len(whole), 331):
            yield whole[at : at + 331]

    await platform.start(saying(says))
    await platform.say(platform.ada, "show me", at=here)
    await platform.wait(lambda: platform.sent(here) and platform.sent(here)[-1].endswith("of it."))
    await platform.stop()
    sent = platform.sent(here)
    assert len(sent) == len(code) // platform.limit + 1
    for text in sent:
        assert len(text) <= platform.limit
        assert text.count("```") == 2, "opened and closed"
    for text in sent[1:]:
        assert text.startswith("```python\n")
    lines = [line for text in sent for line in text.splitlines() if line.startswith("print")]
    assert "".join(f"{line}\n" for line in lines) == code, "no line is lost or broken"
    (turn,) = [turn for turn in await platform.turns(here) if turn.role == "assistant"]
    assert turn.text == whole
    assert turn.source_ids == platform.source_ids(here)


async def test_a_pair_of_surrogates_that_the_stream_cuts_in_two_is_never_shown_broken(
    platform: Platform,
) -> None:
    here = platform.private(platform.ada)
    whole = "😀" * (platform.limit + 50)
    high, low = "\ud83d", "\ude00"

    async def says() -> AsyncIterator[str]:
        yield high
        yield low + "😀" * platform.limit + high
        for _ in range(48):
            yield low + high
        yield low

    await platform.start(saying(says))
    await platform.say(platform.ada, "smile")
    await platform.wait(lambda: "".join(platform.sent(here)) == whole, "all of it")
    await platform.stop()
    assert len(platform.sent(here)) == 2
    for text in platform.texts():
        assert set(text) == {"😀"}
    (_, turn) = await platform.turns(here)
    assert turn.text == whole


async def test_told_to_wait_it_waits_and_says_all(platform: Platform) -> None:
    here = platform.private(platform.ada)
    await platform.start(echo)
    platform.slow_down(edits=False)
    await platform.say(platform.ada, "hello")
    await platform.shows("to hello", at=here)
    await platform.stop()
    asked, waited = platform.waits(edits=False)
    assert waited >= asked
    assert await platform.said(here) == ["user: hello", "assistant: to hello"]


@pytest.mark.parametrize("edits", [False, True], ids=["send", "edit"])
async def test_refused_in_the_middle_of_a_stream_it_ends_with_the_final_text(
    platform: Platform, edits: bool
) -> None:
    here = platform.private(platform.ada)

    async def says() -> AsyncIterator[str]:
        for word in ("one ", "two ", "three"):
            yield word

    await platform.start(saying(says))
    platform.slow_down(edits=edits)
    await platform.say(platform.ada, "count")
    await platform.shows("one two three", at=here)
    await platform.stop()
    assert platform.waits(edits=edits), "it was refused"
    assert await platform.said(here) == ["user: count", "assistant: one two three"]


@pytest.mark.parametrize("keep", [False, True], ids=["nothing", "kept"])
async def test_a_stream_that_fails_is_raised_and_stores_nothing_or_what_there_was(
    platform: Platform, caplog: pytest.LogCaptureFixture, keep: bool
) -> None:
    here = platform.private(platform.ada)

    async def says() -> AsyncIterator[str]:
        yield "half"
        raise LookupError("no model")

    async def handle(chat_session: ChatSession, text: str) -> None:
        await chat_session.answer(says(), keep_interrupted=keep)

    await platform.start(handle)
    await platform.say(platform.ada, "hello")
    await platform.hears("hello")
    await platform.ended()
    await platform.stop()
    assert "no model" in caplog.text, "as the framework tells of it"
    assert platform.sent(here) == ["half\n\n…"], "it does not look whole"
    turns = await platform.turns(here)
    kept = [("half", True)] if keep else []
    assert [(turn.text, turn.interrupted) for turn in turns] == [("hello", False), *kept]


async def test_where_the_model_says_nothing_that_is_said_and_not_stored(
    platform: Platform,
) -> None:
    here = platform.private(platform.ada)

    async def says() -> AsyncIterator[str]:
        yield ""
        yield " \n"

    await platform.start(saying(says))
    await platform.say(platform.ada, "hello")
    await platform.shows("(no answer)", at=here)
    await platform.stop()
    assert await platform.said(here) == ["user: hello"]


@pytest.mark.parametrize("edits", [False, True], ids=["send", "edit"])
async def test_told_to_wait_in_the_middle_of_a_stream_its_end_waits_too(
    platform: Platform, edits: bool
) -> None:
    async def says() -> AsyncIterator[str]:
        for word in ("one ", "two ", "three"):
            yield word

    await platform.start(saying(says))
    platform.slow_down(edits=edits)
    await platform.say(platform.ada, "count")
    await platform.shows("one two three", at=platform.private(platform.ada))
    asked, waited = platform.waits(edits=edits)
    assert waited >= asked
