"""What one person wrote goes, with what answers it and what others repeat of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from turnkeep import Media, Session, SessionStore, Turn
from turnkeep.storage.jsonl import JsonlStorage

from .tools import said

pytestmark = pytest.mark.anyio

GONE = "[reply to a deleted message]"


def quoting(source_id: str | None, sender: str | None) -> dict[str, Any]:
    return {"reply_to": {"source_id": source_id, "sender": sender}}


async def test_an_answer_to_several_people_goes_with_each_of_them(session: Session) -> None:
    ada = (await session.receive("Ada's", sender="42")).turn
    bob = await session.receive("Bob's", sender="43")
    assert ada is not None
    async with bob.bind(bob.turn, joined=[ada]).reply() as reply:  # type: ignore[arg-type]
        reply.add_text("to both")
    assert await session.forget_sender(42) == 2
    assert await said(session) == ["Bob's"]


@pytest.mark.parametrize(
    "extra", [quoting("7:1", None), quoting(None, "42"), quoting("7:1", "42") | {"more": 1}]
)
async def test_a_line_that_repeats_what_is_forgotten_is_replaced(
    session: Session, extra: dict[str, Any]
) -> None:
    await session.append("user", "secret", sender=42, source_id="7:1")
    await session.append("user", "[reply to Ada: secret]\nwhat?\nwhy?", sender=43, extra=extra)
    photo = ["[quote: secret]\nthis", Media("photo")]
    await session.append("user", photo, sender=43, extra=extra)
    assert await session.forget_sender(42) == 3
    turns = [turn async for turn in session.turns()]
    assert turns[0].content == f"{GONE}\nwhat?\nwhy?"
    assert turns[1].text == f"{GONE}\nthis"
    assert [medium.kind for medium in turns[1].media] == ["photo"]
    assert [turn.extra for turn in turns] == [{k: v for k, v in extra.items() if k == "more"}] * 2
    assert await session.forget_sender(42) == 0


@pytest.mark.parametrize(
    ("content", "extra"),
    [
        ("[reply to Ada: secret]\nwhat?", {}),
        ("[reply to Ada: secret]\nwhat?", quoting("7:2", "43")),
        ("[reply to Ada: secret]\nwhat?", {"reply_to": "7:1"}),
        ("[reply to Ada: secret]\nwhat?", {"reply_to": {"source_id": ["7:1"], "sender": None}}),
        ("no such line", quoting("7:1", "42")),
        ([Media("photo")], quoting("7:1", "42")),
    ],
)
async def test_what_repeats_nothing_of_it_stays(
    session: Session, content: object, extra: dict[str, Any]
) -> None:
    await session.append("user", "secret", sender=42, source_id="7:1")
    await session.append("user", content, sender=43, extra=extra)
    before = (await said(session))[1:]
    await session.forget_sender(42)
    assert await said(session) == before


async def test_a_person_is_forgotten_in_every_session_and_the_report_says_where(
    store: SessionStore,
) -> None:
    for key in ("telegram:1", "telegram:2"):
        await store.session(key).append("user", "secret", sender=42, source_id=f"{key}:1")
    await store.session("telegram:3").append(
        "user", "[reply to Ada: secret]", sender=43, extra=quoting("telegram:1:1", "42")
    )
    await store.session("discord:1").append("user", "another one's", sender=42)
    report = await store.forget_sender(42, prefix="telegram:")
    assert report == {"telegram:1": 1, "telegram:2": 1, "telegram:3": 1}
    assert await said(store.session("telegram:3")) == [GONE]
    assert await said(store.session("discord:1")) == ["another one's"]


async def test_what_is_forgotten_of_a_session_and_its_quotes_go_in_one_rewrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrites: list[int] = []
    real = JsonlStorage.change

    async def change(
        self: JsonlStorage, key: Any, changes: Mapping[int, Any], **options: Any
    ) -> list[Turn]:
        rewrites.append(len(changes))
        return await real(self, key, changes, **options)

    monkeypatch.setattr(JsonlStorage, "change", change)
    async with SessionStore(tmp_path) as store:
        session = store.session("test:1")
        for number in range(50):
            await session.append("user", f"secret {number}", sender=42, source_id=f"7:{number}")
            extra = quoting(f"7:{number}", "42")
            await session.append("user", "[reply to Ada: secret]\nwhy?", sender=43, extra=extra)
        assert await session.forget_sender(42) == 100
        assert rewrites == [100]
        assert {text.split("\n")[0] for text in await said(session)} == {GONE}
