"""What people wrote is sealed before it is stored, and opens in its own place alone."""

from __future__ import annotations

import itertools
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from storage.valkey import fresh_url, values
from turnkeep import (
    InvalidMetadataError,
    SessionKey,
    SessionStore,
    StorageError,
    Usage,
)
from turnkeep._records.making import new_turn
from turnkeep.encryption import EncryptedStorage, KeyRing, encrypted, rotate
from turnkeep.moving import copy_sessions
from turnkeep.storage.base import Appended, Claim, Page, Snapshot
from turnkeep.storage.memory import MemoryStorage

pytestmark = pytest.mark.anyio

KEY = KeyRing.new_key()
WHERE: dict[str, Callable[[Path], str]] = {
    "jsonl": lambda path: str(path / "chats"),
    "sqlite": lambda path: f"sqlite:{path}/chats.db",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=WHERE)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return WHERE[request.param](tmp_path)


def store_at(where: Any, *keys: str) -> SessionStore:
    return SessionStore(encrypted(where, KeyRing(*keys or (KEY,))))


async def summarize(messages: list[dict[str, Any]]) -> str:
    return "Secret summary."


async def fill(store: SessionStore) -> None:
    """Write a secret into every field that has what people wrote."""
    session = store.session("telegram:1")
    message = await session.receive(
        "Secret question.",
        source_id="Secret source",
        sender="Secret sender",
        name="Secret_name",
        extra={"Secret extra": ["Secret value"]},
    )
    async with message.reply() as reply:
        reply.add_tool_call("Secret call", "Secret_tool", {"a": "Secret argument"})
        reply.add_tool_result("Secret call", "Secret result")
        reply.add_text("Secret answer.")
    items = [{"type": "thinking", "thinking": "Secret thought"}]
    usage = [Usage(model="Secret model", input=1, output=2)]
    await session.append("assistant", "Secret", shape="anthropic", items=items, usage=usage)
    await session.append("user", [{"type": "text", "text": "Secret part"}])
    await session.update_metadata({"Secret name": {"a": "Secret metadata"}})
    await session.append("user", "Secret last.")
    await session.consolidate(summarize, keep=1)
    await session.edit(1, "Secret edit.")
    async with store.desk.use(write=True) as storage:
        payload = {"Secret": "Secret payload"}
        await storage.claim(session.key, "Secret work", owner="me", ttl=60, payload=payload)
    await store.session("telegram:2").append("user", "Secret other.", source_id="2")
    await store.rename("telegram:2", "telegram:1")


async def seen(store: SessionStore) -> list[Any]:
    async with store.desk.use() as storage:
        infos = (await storage.sessions(order="key")).sessions
        read = [await storage.read(info.key) for info in infos]
        return [read, await storage.claims()]


async def test_no_plaintext_is_in_the_files_and_all_of_it_comes_back(
    where: str, tmp_path: Path
) -> None:
    async with store_at(where) as store:
        await fill(store)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert files
        assert all(b"ecret" not in path.read_bytes() for path in files)
        before = await seen(store)
    assert all(b"ecret" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    async with store_at(where) as store, SessionStore("memory:") as plain:
        assert await seen(store) == before
        await fill(plain)
        session, same = store.session("telegram:1"), plain.session("telegram:1")
        assert await session.get_history() == await same.get_history()
        info, other = await session.info(), await same.info()
        assert info is not None
        assert other is not None
        assert (info.summary, info.metadata) == (other.summary, other.metadata)
        assert msgspec.json.encode(before, enc_hook=str).count(b"Secret") > 20
        again = await session.receive("again", source_id="Secret source")
        assert again.already_answered


async def test_a_wrong_key_is_an_error_that_changes_nothing(where: str, tmp_path: Path) -> None:
    async with store_at(where) as store:
        await fill(store)
        before = await seen(store)
    wrong = store_at(where, KeyRing.new_key())
    for verb in (
        wrong.session("telegram:1").append("user", "x"),
        wrong.forget("telegram:1"),
        wrong.list_sessions(),
    ):
        with pytest.raises(StorageError, match="give the right key"):
            await verb
    async with store_at(where) as store:
        assert await seen(store) == before


async def test_what_is_not_encrypted_is_refused_and_can_be_copied(
    where: str, tmp_path: Path
) -> None:
    async with SessionStore(where) as plain:
        await plain.session("telegram:1").append("user", "Hello.")
    with pytest.raises(StorageError, match="copy_sessions"):
        async with store_at(where):
            pass
    async with SessionStore(where) as plain, store_at(tmp_path / "new") as store:
        report = await copy_sessions(plain, store)
        assert {*report.digests} == {"telegram:1"}
        assert [turn.text async for turn in store.session("telegram:1").turns()] == ["Hello."]


@pytest.mark.parametrize("move", ["bodies", "places"])
async def test_rows_that_were_swapped_are_left_out_and_said(
    move: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = f"sqlite:{tmp_path}/chats.db"
    async with store_at(where) as store:
        for text in "abcd":
            await store.session("telegram:1").append("user", text)
    with closing(sqlite3.connect(tmp_path / "chats.db")) as db, db:
        low = db.execute("SELECT min(place) FROM turns").fetchone()[0]
        if move == "bodies":
            rows = db.execute("SELECT place, body FROM turns ORDER BY place").fetchall()
            for (place, _), (_, body) in zip(rows[:2], rows[1::-1], strict=True):
                db.execute("UPDATE turns SET body = ? WHERE place = ?", (body, place))
        else:
            db.execute("UPDATE turns SET place = place + 1000 WHERE place < ?", (low + 2,))
    async with store_at(where) as store:
        with caplog.at_level(logging.ERROR, logger="turnkeep"):
            texts = [turn.text async for turn in store.session("telegram:1").turns()]
        assert texts == ["c", "d"]
        assert "moved there from another place" in caplog.text
        info = await store.session("telegram:1").info()
        assert info is not None
        assert info.damaged == 2


def seal_without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda turn: turn["content"][0].pop(name)


def seal_with(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda turn: turn["content"][0].update(fields)


PLANTED = {"type": "text", "text": "planted"}
TAMPERED: dict[str, Callable[[dict[str, Any]], object]] = {
    "cut off": lambda turn: seal_with(data=turn["content"][0]["data"][:20])(turn),
    "empty": seal_with(data=""),
    "no base64": seal_with(data="***"),
    "no text": seal_with(data=None),
    "no data": seal_without("data"),
    "no key": seal_without("key"),
    "another id": seal_with(id=9),
    "another life": seal_with(generation="x"),
    "another role": lambda turn: turn.update(role="system"),
    "plain text": lambda turn: turn.update(content="planted"),
    "plain parts": lambda turn: turn.update(content=[PLANTED]),
    "a part more": lambda turn: turn["content"].append(PLANTED),
}


@pytest.mark.parametrize("place", [2, 3])
@pytest.mark.parametrize("how", TAMPERED)
async def test_a_turn_that_was_changed_outside_is_left_out_and_its_session_goes_on(
    how: str, place: int, tmp_path: Path
) -> None:
    where = f"sqlite:{tmp_path}/chats.db?search=none"
    async with store_at(where) as store:
        for text in "abc":
            await store.session("telegram:1").append("user", text, source_id=text)
    with closing(sqlite3.connect(tmp_path / "chats.db")) as db, db:
        row = "SELECT place, body FROM turns ORDER BY place LIMIT 1 OFFSET ?"
        at, body = db.execute(row, (place - 1,)).fetchone()
        turn = msgspec.json.decode(body)
        TAMPERED[how](turn)
        db.execute("UPDATE turns SET body = ? WHERE place = ?", (msgspec.json.encode(turn), at))
    left = ["a", "c"] if place == 2 else ["a", "b"]
    async with store_at(where) as store:
        session = store.session("telegram:1")
        assert [turn.text async for turn in session.turns()] == left
        assert len(await session.get_history()) == 2
        assert (info := await session.info())
        assert info.damaged == 1
        await session.append("user", "d", source_id="d")
        assert [turn.text async for turn in session.turns()] == [*left, "d"]
        assert (await rotate(store)).turns == {}
        await session.delete(place)
        assert await store.forget("telegram:1")
        assert await store.list_sessions() == []


async def test_turns_of_another_session_are_not_taken_for_its_own(tmp_path: Path) -> None:
    async with store_at(tmp_path) as store:
        await store.session("telegram:1").append("user", "mine")
        await store.session("telegram:2").append("user", "theirs")
    one, two = (tmp_path / "telegram" / f"{name}.jsonl" for name in "12")
    lines = one.read_bytes().splitlines(keepends=True)
    one.write_bytes(lines[0] + two.read_bytes().splitlines(keepends=True)[1])
    async with store_at(tmp_path) as store:
        assert [turn.text async for turn in store.session("telegram:1").turns()] == []
        assert [turn.text async for turn in store.session("telegram:2").turns()] == ["theirs"]


async def test_a_key_is_changed_while_the_bot_goes_on(where: str, tmp_path: Path) -> None:
    new = KeyRing.new_key()
    async with store_at(where) as store:
        await fill(store)
        for number in range(450):
            await store.session("telegram:long").append("user", f"{number}", source_id=number)
        before = await seen(store)
    async with store_at(where, new, KEY) as store:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rotate, store)
            for number in range(20):
                await store.session("telegram:long").append("user", f"meanwhile {number}")
        assert (await rotate(store)).turns == {}
    async with store_at(where, new) as store:
        texts = [turn.text async for turn in store.session("telegram:long").turns()]
        expected = [f"{n}" for n in range(450)] + [f"meanwhile {n}" for n in range(20)]
        assert texts == expected
        again = await store.session("telegram:long").append("user", "again", source_id=3)
        assert again.id == 4
        read, claims = await seen(store)
        assert [one.turns for one in read[:1]] == [one.turns for one in before[0][:1]]
        assert read[0].info.summary == before[0][0].info.summary
        assert read[0].info.metadata == before[0][0].info.metadata
        assert [claim.payload for claim in claims] == [claim.payload for claim in before[1]]
    with pytest.raises(StorageError, match="give the right key"):
        async with store_at(where, KEY):
            pass


async def test_a_message_that_is_being_answered_is_named_nowhere_in_the_clear(
    where: str, tmp_path: Path
) -> None:
    url = fresh_url()
    async with store_at(where) as local, store_at(url) as remote:
        for store in (local, remote):
            message = await store.session("telegram:1").receive("Hello.", source_id="Secret 77")
            async with message.reply() as reply:
                async with store.desk.use(write=True) as storage:
                    work = await storage.claim(
                        message.key, "answer:Secret 78", owner="me", ttl=0, payload={"n": 1}
                    )
                    claims = await storage.claims(key=message.key)
                assert work in claims
                files = [path for path in tmp_path.rglob("*") if path.is_file()]
                seen = b"".join(path.read_bytes() for path in files) + values(url)
                assert b"ecret" not in seen
                assert b"answer:" not in seen
                reply.add_text("Good day.")


async def test_processes_with_different_rings_of_a_rotation_know_each_others_leases() -> None:
    place, new = MemoryStorage(shared=True), KeyRing.new_key()
    rings = [(KEY,), (KEY, new), (new, KEY), (new,)]
    key = SessionKey("telegram", "1")
    for number, (mine, theirs) in enumerate(itertools.pairwise(rings)):
        if theirs == (new,):
            await rotate(store_at(place, *mine))
        async with (
            store_at(place, *mine) as one,
            store_at(place, *theirs) as two,
            one.desk.use(write=True) as first,
            two.desk.use(write=True) as second,
        ):
            name, payload = f"answer:{number}", {"n": number}
            claim = await first.claim(key, name, owner="one", ttl=60, payload=payload)
            assert claim is not None
            assert await second.claim(key, name, owner="two", ttl=60) is None
            assert claim in await second.claims(key=key)
            assert await first.renew(claim, ttl=0)
            taken = await second.claim(key, name, owner="two", ttl=60)
            assert taken is not None
            assert (taken.payload, taken.taken_over) == (payload, True)
            assert not await first.release(claim)
            assert await second.release(taken)
            assert await second.claims() == []


async def test_several_processes_that_take_the_first_lease_at_once_hide_it_alike() -> None:
    place, key = MemoryStorage(shared=True), SessionKey("telegram", "1")
    storages = [EncryptedStorage(place, KeyRing(KEY)) for _ in range(8)]
    taken: list[Claim | None] = []

    async def take(number: int) -> None:
        taken.append(await storages[number].claim(key, "work", owner=f"{number}", ttl=60))

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(take, number)
    assert len([claim for claim in taken if claim]) == 1
    assert [claim.name for claim in await storages[0].claims()] == ["work"]


async def test_a_key_of_names_that_was_changed_is_an_error_with_the_remedy() -> None:
    place, key = MemoryStorage(shared=True), SessionKey("telegram", "1")
    storage = EncryptedStorage(place, KeyRing(KEY))
    await storage.claim(key, "work", owner="me", ttl=60)
    (held,) = await place.claims(prefix="turnkeep:")
    sealed = {**held.payload["sealed"], "data": "AAAA"}
    await place.claim(held.key, held.name, owner=held.owner, ttl=60, payload={"sealed": sealed})
    other = EncryptedStorage(place, KeyRing(KEY))
    assert await other.claims() == []
    with pytest.raises(StorageError, match=r"call forget\('turnkeep:names'\)"):
        await other.claim(key, "work", owner="me", ttl=60)
    await place.forget(held.key)
    assert await other.claim(key, "work", owner="me", ttl=60)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_an_opening_that_is_cancelled_closes_the_storage_inside() -> None:
    class Slow(MemoryStorage):
        is_open = False

        async def open(self) -> None:
            self.is_open = True

        async def aclose(self) -> None:
            await anyio.sleep(0)
            self.is_open = False

        async def sessions(self, **_selection: Any) -> Page:
            scope.cancel()
            await anyio.sleep_forever()
            raise AssertionError

    inner = Slow()
    with anyio.CancelScope() as scope:
        await EncryptedStorage(inner, KeyRing(KEY)).open()
    assert scope.cancelled_caught
    assert not inner.is_open


async def test_an_old_duplicate_beside_a_new_turn_is_known(where: str) -> None:
    async with store_at(where) as store:
        session = store.session("telegram:1")
        await session.extend([{"role": "user", "content": f"{n}"} for n in range(3)])
        await session.append("user", "old", source_id="old")
        await session.extend([{"role": "user", "content": f"{n}"} for n in range(900)])
        both = [
            {"role": "user", "content": text, "source_id": text} for text in ("old", "new", "old")
        ]
        assert [turn.id for turn in await session.extend(both)] == [4, 905, 4]


async def test_an_append_after_another_one_takes_one_step() -> None:
    steps: list[str] = []

    class Counting(MemoryStorage):
        async def read(self, *arguments: Any, **options: Any) -> Snapshot:
            steps.append("read")
            return await super().read(*arguments, **options)

        async def append(self, *arguments: Any, **options: Any) -> Appended | None:
            steps.append("append")
            return await super().append(*arguments, **options)

    place, key = Counting(shared=True), SessionKey("telegram", "1")
    one, two = (EncryptedStorage(place, KeyRing(KEY)) for _ in range(2))
    await one.append(key, [new_turn("user", "first")])
    steps.clear()
    await one.append(key, [new_turn("user", "second")])
    assert steps == ["append"]
    await two.append(key, [new_turn("user", "from another process")])
    steps.clear()
    await one.append(key, [new_turn("user", "third")])
    assert steps == ["append", "read", "append"]
    texts = [turn.text for turn in (await two.read(key)).turns]
    assert texts == ["first", "second", "from another process", "third"]


async def test_a_session_that_was_merged_very_often_still_opens() -> None:
    async with store_at(MemoryStorage()) as store:
        for number in range(80):
            await store.session(f"telegram:{number}").append("user", f"{number}")
            await store.rename(f"telegram:{number}", "telegram:main")
            await store.session("telegram:main").append("user", f"main {number}")
        texts = [turn.text async for turn in store.session("telegram:main").turns(epoch="all")]
        assert len(texts) == 160


async def test_metadata_stay_with_a_session_that_had_no_turns() -> None:
    async with store_at(MemoryStorage()) as store:
        await store.session("telegram:1").update_metadata({"a": 1, "b": 1})
        await store.session("telegram:2").append("user", "x")
        await store.session("telegram:2").update_metadata({"b": 2})
        await store.rename("telegram:1", "telegram:2")
        info = await store.session("telegram:2").info()
        assert info is not None
        assert info.metadata == {"a": 1, "b": 2}


async def test_the_limit_of_metadata_is_the_same() -> None:
    for where in (store_at(MemoryStorage()), SessionStore("memory:")):
        async with where as store:
            session = store.session("telegram:1")
            await session.update_metadata({str(n): n for n in range(300)})
            await session.update_metadata({"x": "y" * 3000})
            with pytest.raises(InvalidMetadataError):
                await session.update_metadata({"z": "y" * 8000})


@pytest.mark.parametrize("key", ["", "short", b"x" * 31, "x" * 43 + "\N{SNOWMAN}", 7])
def test_a_key_that_is_none_is_refused(key: Any) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        KeyRing(key)


async def test_a_ring_shows_no_secret_and_a_plain_store_has_no_rotation() -> None:
    ring = KeyRing(KEY)
    assert KEY[:10] not in repr(ring)
    assert repr(EncryptedStorage(MemoryStorage(), ring))
    async with SessionStore("memory:") as store:
        with pytest.raises(ValueError, match="not encrypted"):
            await rotate(store)


async def test_an_old_append_that_is_tried_again_stores_its_deleted_turns_alone() -> None:
    key = SessionKey("test", "1")
    given = [msgspec.structs.replace(new_turn("user", name), token=name) for name in "ab"]
    place = MemoryStorage()
    storage = EncryptedStorage(place, KeyRing(KEY))
    await storage.append(key, given)
    await storage.append(key, [new_turn("user", "later") for _ in range(5000)])
    await storage.delete(key, [1])
    with anyio.fail_after(60):
        again = await EncryptedStorage(place, KeyRing(KEY)).append(key, given)
    assert again is not None
    assert [(turn.id, turn.content) for turn in again.turns] == [(5003, "a"), (2, "b")]
    assert again.new == [True, True]
