"""Claims are in one small file, survive their process, and leave nothing behind."""

from __future__ import annotations

import json
import math
import os
import signal
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import pytest

from storage.tools import KEY, OTHER, files, grep, opened, path_of, put, run, spawn
from turnkeep import ReadOnlyError, SessionKey, StorageError
from turnkeep._errors import LostAcknowledgementError
from turnkeep.storage.base import Claim
from turnkeep.storage.jsonl import JsonlStorage, _claims
from turnkeep.storage.rules import lasting_until

pytestmark = pytest.mark.anyio

SECRET = "a secret word"


def claims_file(folder: Path) -> Path:
    return folder / ".turnkeep" / "claims"


def written(folder: Path) -> list[dict[str, Any]]:
    """The lines of the file, but for what was blanked out."""
    return [
        json.loads(line) for line in claims_file(folder).read_text().split("\n") if line.strip()
    ]


async def take(
    storage: JsonlStorage, name: str = "work", key: SessionKey = KEY, **options: Any
) -> Claim:
    claim = await storage.claim(key, name, **{"owner": "me", "ttl": 60, **options})
    assert claim is not None
    return claim


async def test_all_claims_are_in_one_file_and_none_is_left_when_they_are_released(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as storage:
        held = [await take(storage, f"{n}", SessionKey("test", n % 7)) for n in range(50)]
        assert {(line["key"], line["name"]) for line in written(tmp_path)} == {
            (claim.key.text, claim.name) for claim in held
        }
        assert {path.name for path in files(tmp_path)} == {"lock", "owner", "claims"}
        for claim in held:
            await storage.release(claim)
        assert written(tmp_path) == []
    assert claims_file(tmp_path).read_bytes() == b""


KILLED = """
async def claim():
    async with opened(folder, durability=sys.argv[2]) as storage:
        await put(storage, "a question")
        for name, ttl in (("answer", 0), ("work", 1000)):
            await storage.claim(KEY, name, owner="dead", ttl=ttl, payload={"text": name})
        renewed = (await storage.claims(key=KEY, expired=False))[0]
        await storage.renew(renewed, ttl=2000)
        os.kill(os.getpid(), 9)
main(claim)
"""


@pytest.mark.parametrize("durability", ["os", "disk"])
async def test_the_claims_of_a_process_that_died_are_found_at_the_next_open(
    tmp_path: Path, durability: str
) -> None:
    with spawn(KILLED, tmp_path, durability) as process:
        assert process.wait(30) == -signal.SIGKILL
    async with opened(tmp_path) as storage:
        (expired,) = await storage.claims(expired=True)
        assert (expired.key, expired.name, expired.owner) == (KEY, "answer", "dead")
        assert expired.payload == {"text": "answer"}
        (lasting,) = await storage.claims(expired=False)
        assert lasting.expires_at > datetime.now(timezone.utc) + timedelta(seconds=1500)
        assert await storage.claim(KEY, "work", owner="me", ttl=1) is None
        taken = await take(storage, "answer")
        assert (taken.taken_over, taken.payload) == (True, {"text": "answer"})


async def test_at_every_point_a_torn_file_gives_the_claims_that_are_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        for n in range(3):
            await take(storage, f"{n}", payload={"n": n})
        data = claims_file(tmp_path).read_bytes()
    for cut in range(0, len(data) + 1, 7):
        claims_file(tmp_path).write_bytes(data[:cut])
        async with opened(tmp_path) as storage:
            whole = data[:cut].count(b"\n")
            assert [claim.name for claim in await storage.claims()][:whole] == [
                f"{n}" for n in range(whole)
            ]
            await take(storage, "after")
        async with opened(tmp_path) as storage:
            assert "after" in [claim.name for claim in await storage.claims()]


@pytest.mark.parametrize(
    "garbage",
    [
        b"#",
        b"\0" * 100,
        b"[]",
        b"{}",
        b'{"expires_at":"2026-01-01T00:00:00","key":"test:1","name":"n","owner":"o"}',
        b'{"expires_at":"2026-01-01T00:00:00Z","key":"../../x","name":"n","owner":"o"}',
        b'{"expires_at":"2026-01-01T00:00:00Z","key":"test:1","name":"n","owner":"o","payload":'
        + b"[" * 100_000,
    ],
)
async def test_garbage_among_the_claims_costs_nothing_but_itself(
    tmp_path: Path, garbage: bytes
) -> None:
    async with opened(tmp_path) as storage:
        await take(storage, "one")
        await take(storage, "two", OTHER)
        one, two, _ = claims_file(tmp_path).read_bytes().split(b"\n")
    claims_file(tmp_path).write_bytes(one + b"\n" + garbage + b"\n" + two + b"\n")
    async with opened(tmp_path) as storage:
        assert [claim.name for claim in await storage.claims()] == ["one", "two"]
        assert [line["name"] for line in written(tmp_path)] == ["one", "two"]


@pytest.mark.parametrize("way", ["release", "forget", "another payload", "rename and forget"])
async def test_a_payload_that_was_erased_is_in_no_file(tmp_path: Path, way: str) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "hello")
        claim = await take(storage, payload={"text": SECRET})
        assert grep(tmp_path, SECRET) == [claims_file(tmp_path)]
        match way:
            case "release":
                await storage.release(claim)
            case "forget":
                await storage.forget(KEY)
            case "another payload":
                await take(storage, payload={"text": "x"})
            case _:
                await storage.rename(KEY, OTHER)
                await storage.forget(OTHER)
        assert grep(tmp_path, SECRET) == []


async def test_what_forget_erases_of_the_claims_is_synced_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    real = os.fdatasync

    def fdatasync(fd: int) -> None:
        real(fd)
        if Path(f"/proc/self/fd/{fd}").readlink().name == "claims":
            synced.append(os.pread(fd, 10_000, 0))

    async with opened(tmp_path) as storage:
        claim = await take(storage, payload={"text": SECRET})
        await storage.release(claim)
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        await storage.forget(KEY)
        assert len(synced) == 1
        assert SECRET.encode() not in synced[0]


async def test_the_file_is_compacted_and_keeps_what_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_claims, "SPARE_BYTES", 5000)
    async with opened(tmp_path) as storage:
        kept = await take(storage, "kept", payload={"a": 1})
        for n in range(200):
            claim = await take(storage, f"{n}")
            assert claims_file(tmp_path).stat().st_size < 6000
            await storage.release(claim)
        assert await storage.renew(kept, ttl=5000)
        (now,) = await storage.claims()
        assert written(tmp_path)[0]["expires_at"] == now.expires_at.isoformat(
            timespec="microseconds"
        )
    async with opened(tmp_path) as storage:
        assert await storage.claims() == [now]


async def test_a_read_only_store_sees_the_claims_of_the_owner_and_takes_none(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as storage, opened(tmp_path, read_only=True) as reader:
        assert await reader.claims() == []
        claim = await take(storage, payload={"a": 1})
        assert await reader.claims() == await reader.claims(key=KEY) == [claim]
        for change in (
            reader.claim(KEY, "x", owner="me", ttl=1),
            reader.renew(claim, ttl=1),
            reader.release(claim),
            reader.unlink(KEY),
        ):
            with pytest.raises(ReadOnlyError):
                await change
        await storage.release(claim)
        assert await reader.claims() == []


async def test_a_claim_that_was_not_written_was_not_taken_and_the_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with opened(tmp_path) as storage:
        await put(storage, "hello")
        first = await take(storage, "first", payload={"a": 1})
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            for change in (
                storage.claim(KEY, "second", owner="me", ttl=9),
                storage.renew(first, ttl=5000),
                storage.release(first),
            ):
                with pytest.raises(StorageError, match="nothing was stored"):
                    await change
        assert await storage.claims() == [first]
        await take(storage, "third")
        assert {claim.name for claim in await storage.claims()} == {"first", "third"}
    async with opened(tmp_path) as storage:
        assert {claim.name for claim in await storage.claims()} == {"first", "third"}


async def test_a_rename_whose_claims_were_not_written_is_done_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with opened(tmp_path) as storage:
        await put(storage, "hello")
        await take(storage)
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            with pytest.raises(LostAcknowledgementError):
                await storage.rename(KEY, OTHER)
        await storage.rename(KEY, OTHER)
        assert [claim.key for claim in await storage.claims()] == [OTHER]
        assert await storage.claim(KEY, "work", owner="you", ttl=1) is None
    async with opened(tmp_path) as storage:
        assert [claim.key for claim in await storage.claims()] == [OTHER]


async def test_claims_of_a_session_whose_rename_was_cut_short_are_under_its_new_name(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as storage:
        await take(storage, "both", OTHER, owner="new")
        await take(storage, "both", KEY, owner="old")
        await take(storage, "one", KEY)
        data = claims_file(tmp_path).read_bytes()
        await storage.rename(KEY, OTHER)
    claims_file(tmp_path).write_bytes(data)  # as a crash between the two leaves it
    async with opened(tmp_path) as storage:
        claims = {claim.name: claim for claim in await storage.claims()}
        assert {claim.key for claim in claims.values()} == {OTHER}
        assert claims["both"].owner == "new"
        await storage.unlink(KEY)
    async with opened(tmp_path) as storage:
        assert {claim.key for claim in await storage.claims()} == {OTHER}


async def test_many_tasks_share_the_writes_of_their_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    async with opened(tmp_path) as storage:
        real = storage._writer._appender.write

        def write(batch: Any) -> None:
            batches.append(len(batch.claims))
            real(batch)

        keys = [SessionKey("test", n) for n in range(64)]
        for key in keys:
            await put(storage, "x", key=key)
        monkeypatch.setattr(storage._writer._appender, "write", write)

        async def work(key: SessionKey) -> None:
            for _ in range(10):
                await storage.release(await take(storage, key=key))

        async with anyio.create_task_group() as tasks:
            for key in keys:
                tasks.start_soon(work, key)
    assert sum(batches) >= 1280
    assert len(batches) < 200


async def test_a_claim_is_the_callers_own(tmp_path: Path) -> None:
    payload = {"a": [1]}
    async with opened(tmp_path) as storage:
        claim = await take(storage, payload=payload)
        payload["a"].append(2)
        claim.payload["a"].append(3)
        (listed,) = await storage.claims()
        assert listed.payload == {"a": [1]}


def test_a_claim_costs_no_file_of_the_session(tmp_path: Path) -> None:
    run(
        """
async def claim():
    async with opened(folder) as storage:
        await storage.claim(KEY, "work", owner="me", ttl=9)
        print(await storage.sessions())
main(claim)
""",
        tmp_path,
    )
    assert not path_of(tmp_path).exists()


@pytest.mark.parametrize("year", [1, 2026, 9899, 9999])
@pytest.mark.parametrize("ttl", [0, 60, 1e10, 1e300, math.inf])
def test_the_end_of_a_lease_is_a_time_whatever_the_clock_says(year: int, ttl: float) -> None:
    now = datetime(year, 11, 27, tzinfo=timezone.utc)
    assert lasting_until(now, ttl) >= now + timedelta(seconds=min(ttl, 60))
