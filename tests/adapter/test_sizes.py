"""What a platform allows is cut where it is too long for a turn, and never refused."""

from __future__ import annotations

import pytest

from turnkeep import Media, Sender, SessionKey, SessionStore
from turnkeep.adapter import Recorder, as_content, list_media

pytestmark = pytest.mark.asyncio

LONG = '\N{PILE OF POO}\\"\x00' * 3000
KEY = SessionKey("telegram", 7)


@pytest.mark.parametrize(
    "media",
    [
        Media("file", file_id="1", file_name=LONG + ".pdf"),
        Media("file", file_id="1", mime_type=LONG),
        Media("place", about=LONG),
        Media("sticker", file_id=LONG, about=LONG),
        Media("file", file_name=LONG, mime_type=LONG, about=LONG, url=LONG, file_id=LONG, size=5),
        list_media("poll", LONG, [LONG] * 10),
    ],
    ids=["name", "type", "venue", "id", "all", "poll"],
)
async def test_a_medium_with_long_names_is_stored(media: Media) -> None:
    async with SessionStore("memory:") as store:
        recorder = Recorder(store)
        received = await recorder.receive(
            recorder.session(KEY), as_content(["see"], [media]), source_id="1", sender=Sender("1")
        )
        assert received.turn is not None
        assert isinstance(received.turn.content, list)
        kept = received.turn.content[1]
    assert kept["kind"] == media.kind
    if media.file_name is not None and media.file_name.endswith(".pdf"):
        assert kept["file_name"].endswith(".pdf")


async def test_a_short_medium_is_stored_as_it_is() -> None:
    media = Media(
        "file", file_id="1", file_name="a.pdf", size=5, mime_type="application/pdf", about="x"
    )
    assert as_content([], [media]) == [media]


@pytest.mark.parametrize("said", ["word " * 3000, ["word " * 3000, Media("photo", file_id="1")]])
async def test_a_message_over_the_stores_limit_is_cut(said: object) -> None:
    async with SessionStore("memory:", max_turn_bytes=2000) as store:
        recorder = Recorder(store)
        session = recorder.session(KEY)
        received = await recorder.receive(session, said, source_id="1", sender=Sender("1"))
        assert received.turn is not None
        assert received.turn.text.startswith("word word")
        await recorder.edit("1", "other " * 3000, KEY)
        edited = await session.find("1")
    assert edited is not None
    assert edited.text.startswith("other other")


@pytest.mark.parametrize("half", [chr(0xD83D), chr(0xDE00)], ids=["high", "low"])
async def test_halves_of_characters_are_stored_as_a_mark_wherever_they_stand(half: str) -> None:
    async with SessionStore("memory:", max_turn_bytes=20_000) as store:
        recorder = Recorder(store)
        media = Media("file", file_id="1", file_name=f"{half}.pdf", about=half * 3_000)
        for source, said in (("1", half * 30_000), ("2", as_content([f"see {half}"], [media]))):
            received = await recorder.receive(
                recorder.session(KEY), said, source_id=source, sender=Sender("1", half)
            )
            assert received.turn is not None
            assert "\N{REPLACEMENT CHARACTER}" in received.turn.text
