"""A policy does the same on every storage, and its archive may be any of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from storage.postgres_server import url_of
from storage.valkey import fresh_url
from turnkeep import SessionStore
from turnkeep.retention import RetentionPolicy, apply_retention

pytestmark = pytest.mark.anyio

OLD = datetime.now(timezone.utc) - timedelta(days=31)


def url(name: str, tmp_path: Path) -> str:
    if name == "redis":
        return fresh_url()
    if name == "postgresql":
        return url_of(tmp_path)
    return f"{name}:{tmp_path / name}"


@pytest.mark.parametrize("name", ["jsonl", "sqlite", "redis", "postgresql"])
async def test_what_goes_is_erased_and_archived_on_every_storage(tmp_path: Path, name: str) -> None:
    for folder in ("store", "archive"):
        (tmp_path / folder).mkdir()
    policy = RetentionPolicy(max_age=timedelta(days=30), idle=timedelta(days=30), max_turns=4)
    async with (
        SessionStore(url(name, tmp_path / "store")) as store,
        SessionStore(url(name, tmp_path / "archive")) as archive,
    ):
        for key, times in (("a:1", [OLD, OLD]), ("a:2", [OLD, *[None] * 4]), ("a:3", [None])):
            for number, time in enumerate(times):
                bound = await store.session(key).receive(f"secret {number}", time=time)
                await bound.append("assistant", f"answer {number}", time=time)
        dry = await apply_retention(store, policy)
        report = await apply_retention(store, policy, dry_run=False, archive=archive)
        assert report == dry
        assert (report.turns, report.forgotten) == ({"a:1": 4, "a:2": 6}, ["a:1"])
        left = [turn.text async for turn in store.session("a:2").turns()]
        assert left == ["secret 3", "answer 3", "secret 4", "answer 4"]
        copies = [turn async for turn in archive.session("a:2").turns()]
        assert [turn.text for turn in copies[::2]] == ["secret 0", "secret 1", "secret 2"]
        assert [turn.answers for turn in copies[1::2]] == [turn.id for turn in copies[::2]]
        assert {info.key.text for info in await store.list_sessions()} == {"a:2", "a:3"}
