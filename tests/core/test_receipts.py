"""`forget` and `forget_sender` say what went, where it was looked for, and what remains."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turnkeep import Receipt, SessionStore, StorageError

pytestmark = pytest.mark.anyio

WHERE: dict[str, Callable[[Path], str]] = {
    "jsonl": lambda path: str(path / "chats"),
    "sqlite": lambda path: f"sqlite:{path}/chats.db",
}
SECRET = 'My PIN is "1234" \N{SPOUTING WHALE}.'


@pytest.fixture(params=WHERE)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return WHERE[request.param](tmp_path)


async def fill(store: SessionStore) -> None:
    session = store.session("telegram:1")
    message = await session.receive(SECRET, sender="42")
    async with message.reply() as reply:
        reply.add_text("I will remember your PIN.")
    await session.receive("Nobody asked me.", sender="43")
    await store.session("telegram:2").append("user", "Another chat.", sender="43")


def copies(receipt: Receipt) -> list[str]:
    return [one.where for one in receipt.remains if one.kind == "copy"]


async def test_nothing_of_what_was_forgotten_is_in_the_files(where: str, tmp_path: Path) -> None:
    async with SessionStore(where) as store:
        await fill(store)
        receipt = await store.forget_sender(42, prefix="telegram:")
        assert receipt.erased == {"telegram:1": 2}
        assert receipt.searched_for == 2
        assert len(receipt.looked_in) > 1
        assert receipt.remains == []
        receipt = await store.forget("telegram:1")
        assert receipt.erased == {"telegram:1": 1}
        assert receipt.remains == []
    assert all(b"1234" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


async def test_a_session_that_cannot_be_read_is_forgotten_and_the_receipt_says_so(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SessionStore(where) as store:
        await fill(store)

        async def unreadable(*args: Any, **options: Any) -> Any:
            raise StorageError("session telegram:1 can't be read")

        async with store.desk.use() as storage:
            kind = type(storage)
        with monkeypatch.context() as patch:
            patch.setattr(kind, "read", unreadable)
            receipt = await store.forget("telegram:1")
        assert [*receipt] == ["telegram:1"]
        assert [(one.kind, one.where) for one in receipt.remains] == [("damaged", "telegram:1")]
        assert await store.session("telegram:1").info() is None


@pytest.mark.parametrize("form", ["copy", "text", "json"])
@pytest.mark.parametrize("verb", ["forget", "forget_sender"])
async def test_a_planted_copy_is_reported(where: str, form: str, verb: str, tmp_path: Path) -> None:
    async with SessionStore(where) as store:
        await fill(store)
        place = tmp_path / "chats" if (tmp_path / "chats").is_dir() else tmp_path
        planted = place / "chats backup.damaged"
        if form == "copy":
            path = tmp_path / "chats.db"
            path = path if path.exists() else place / "telegram" / "1.jsonl"
            log = Path(f"{path}-wal")
            shutil.copy(log if log.exists() else path, planted)
        else:
            planted.write_text(SECRET if form == "text" else json.dumps({"t": SECRET}))
        receipt = await (
            store.forget_sender("42") if verb == "forget_sender" else store.forget("telegram:1")
        )
        assert copies(receipt) == [str(planted)]
        planted.unlink()


async def test_a_summary_that_was_made_of_erased_turns_is_named(where: str) -> None:
    async def summarize(messages: list[dict[str, Any]]) -> str:
        return "They spoke of a PIN."

    async with SessionStore(where) as store:
        await fill(store)
        await store.session("telegram:1").consolidate(summarize, keep=1)
        receipt = await store.forget_sender(42)
        assert [(one.kind, one.where) for one in receipt.remains] == [("summary", "telegram:1")]
        assert (await store.forget("telegram:1")).remains == []


async def test_a_receipt_is_a_mapping_and_false_for_nothing() -> None:
    async with SessionStore("memory:") as store:
        await fill(store)
        assert not await store.forget("telegram:9")
        assert not await store.forget_sender(99)
        receipt = await store.forget_sender(42)
        assert receipt
        assert receipt == {"telegram:1": 2}
        assert dict(receipt.items()) == {"telegram:1": receipt["telegram:1"]}
        assert ([*receipt], [*receipt.keys()], [*receipt.values()]) == (
            ["telegram:1"],
            ["telegram:1"],
            [2],
        )
        assert receipt != {"telegram:1": 3}
        assert receipt == Receipt(
            erased={"telegram:1": 2}, looked_in=receipt.looked_in, searched_for=2
        )
        assert receipt != 7


async def test_files_are_not_searched_on_request(where: str) -> None:
    async with SessionStore(where) as store:
        await fill(store)
        receipt = await store.forget_sender(42, search=False)
        assert (receipt.erased, receipt.searched_for) == ({"telegram:1": 2}, 0)
        assert len(receipt.looked_in) == 1
