"""A function that sees each turn before it is stored may change it or refuse it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from turnkeep import (
    InvalidTurnError,
    MissingExtraError,
    Sender,
    SessionKey,
    SessionStore,
    Turn,
    TurnRefusedError,
)
from turnkeep._urls import as_storage

pytestmark = pytest.mark.anyio

CARD = re.compile(r"\b\d{16}\b")


def without_cards(key: SessionKey, turn: Turn) -> Turn:
    return replace(turn, content=CARD.sub("[card]", turn.text))


async def test_a_turn_is_changed_before_it_is_stored(tmp_path: Path) -> None:
    async with SessionStore(tmp_path, redact=without_cards) as store:
        session = store.session("web:1")
        bound = await session.receive("my card is 1234567812345678", source_id="1", sender=42)
        async with bound.reply() as reply:
            reply.add_text("so it is 1234567812345678")
        await session.extend([{"role": "user", "content": "again 1234567812345678"}])
        assert bound.turn is not None
        await session.edit(bound.turn, "no: 8765432187654321")
        assert [message["content"] for message in await session.get_history()] == [
            "no: [card]",
            "so it is [card]",
            "again [card]",
        ]
    stored = (tmp_path / "web" / "1.jsonl").read_text()
    assert "1234567812345678" not in stored
    assert "8765432187654321" not in stored


async def test_a_refused_turn_is_not_stored_and_the_error_says_so() -> None:
    def refuse(key: SessionKey, turn: Turn) -> Turn | None:
        return None if "secret" in turn.text else turn

    async with SessionStore("memory:", redact=refuse) as store:
        session = store.session("web:1")
        await session.append("user", "hello", source_id="1")
        with pytest.raises(TurnRefusedError, match=r"session web:1: redact refused a user turn"):
            await session.append("user", "a secret")
        with pytest.raises(TurnRefusedError):
            await session.edit("1", "a secret")
        with pytest.raises(TurnRefusedError):
            async with session.reply() as reply:
                reply.add_text("your secret")
        assert [turn.content async for turn in session.turns()] == ["hello"]


async def test_what_identifies_a_turn_stays() -> None:
    def forge(key: SessionKey, turn: Turn) -> Turn:
        return replace(
            turn, role="system", source_ids=("9",), id=7, epoch=3, sender=Sender("1"), name="x"
        )

    async with SessionStore("memory:", redact=forge) as store:
        session = store.session("web:1")
        turn = await session.append("user", "hello", source_id="5", sender=42)
        assert (turn.id, turn.role, turn.source_ids, turn.epoch) == (1, "user", ("5",), 1)
        assert (turn.sender, turn.name) == (Sender("1"), "x")


@pytest.mark.parametrize("made", ["text", {"content": "x"}, 7])
async def test_what_is_no_turn_is_an_error_that_says_how_to_change_one(made: Any) -> None:
    async with SessionStore("memory:", redact=lambda key, turn: made) as store:
        with pytest.raises(InvalidTurnError, match=r"msgspec.structs.replace\(turn, content=…\)"):
            await store.session("web:1").append("user", "hello")
        assert await store.session("web:1").info() is None


async def test_a_content_that_can_not_be_stored_is_an_error() -> None:
    def bad(key: SessionKey, turn: Turn) -> Turn:
        return replace(turn, content=7)

    async with SessionStore("memory:", redact=bad) as store:
        with pytest.raises(InvalidTurnError):
            await store.session("web:1").append("user", "hello")


@pytest.mark.parametrize(
    "fields",
    [{"usage": ("x",)}, {"items": [1], "shape": "a"}, {"items": [{}], "shape": 5}, {"extra": {1}}],
)
async def test_fields_that_can_not_be_stored_are_an_error(fields: dict[str, Any]) -> None:
    async with SessionStore("memory:", redact=lambda key, turn: replace(turn, **fields)) as store:
        with pytest.raises(InvalidTurnError):
            await store.session("web:1").append("user", "hello")
        assert await store.session("web:1").info() is None


async def test_what_a_provider_said_beyond_a_redacted_text_is_not_stored(tmp_path: Path) -> None:
    item = {"item": {"type": "message", "text": "it is 1234567812345678"}}
    async with SessionStore(tmp_path, redact=without_cards) as store:
        session = store.session("web:1")
        for text in ("it is 1234567812345678", "it is fine"):
            await session.append("assistant", text, shape="openai-responses", items=[item])
        turns = [turn async for turn in session.turns()]
        assert [(turn.text, turn.items) for turn in turns] == [
            ("it is [card]", None),
            ("it is fine", [item]),
        ]


async def test_items_that_the_function_changed_too_are_stored() -> None:
    changed = [{"item": {"type": "message", "text": "[card]"}}]

    def both(key: SessionKey, turn: Turn) -> Turn:
        return replace(without_cards(key, turn), items=changed)

    async with SessionStore("memory:", redact=both) as store:
        session = store.session("web:1")
        item = {"item": {"type": "message", "text": "1234567812345678"}}
        turn = await session.append(
            "assistant", "1234567812345678", shape="openai-responses", items=[item]
        )
        assert (turn.text, turn.shape, turn.items) == ("[card]", "openai-responses", changed)


def test_redact_is_a_function() -> None:
    with pytest.raises(ValueError, match="redact is a function"):
        SessionStore("memory:", redact="cards")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("sqlite:./x.db", "apsw", "sqlite"),
        ("redis://localhost", "redis", "redis"),
        ("postgresql://localhost/db", "psycopg", "postgresql"),
    ],
)
def test_a_missing_package_is_an_error_that_names_the_extra(
    url: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"turnkeep.storage.{extra}"
    for module in [one for one in sys.modules if one.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    for module in [one for one in sys.modules if one == name or one.startswith(f"{name}.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'turnkeep\[{extra}\]'"):
        as_storage(url, {"durability": "os", "read_only": False, "lock_timeout": 1})
