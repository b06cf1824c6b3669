"""Sessions are copied between any two storages as they are."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from moving.places import PLACES, fill, place
from patience import PATIENCE
from turnkeep import CopyError, SessionStore, Turn
from turnkeep.__main__ import main
from turnkeep.moving import CopyProgress, copy_sessions
from turnkeep.storage.base import SessionInfo
from turnkeep.storage.memory import MemoryStorage

pytestmark = pytest.mark.anyio

ALIASES = {"cli:x": "discord:3", "telegram:2": "discord:3"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def seen(store: SessionStore) -> tuple[Any, ...]:
    """Return all that a store's storage has."""
    async with store.desk.use() as storage:
        infos = (await storage.sessions(order="key")).sessions
        sessions = [await storage.read(info.key) for info in infos]
        aliases = await storage.aliases()
        claims = [(c.key, c.name, c.owner, c.payload) for c in await storage.claims()]
    return (
        [(one.info.without_counts(), list(one.turns)) for one in sessions if one.info],
        {str(alias): str(key) for alias, key in aliases.items()},
        claims,
    )


@pytest.mark.parametrize("second", PLACES)
@pytest.mark.parametrize("first", PLACES)
async def test_a_copy_is_as_the_original_and_a_second_run_copies_nothing(
    first: str, second: str, tmp_path: Path
) -> None:
    source = SessionStore(place(first, tmp_path / "source"))  # type: ignore[arg-type]
    target = SessionStore(place(second, tmp_path / "target"))  # type: ignore[arg-type]
    async with source, target:
        await fill(source)
        await target.session("own:1").append("user", "stays")
        async with source.desk.use(write=True) as storage:
            key = source.session("telegram:1").key
            await storage.claim(key, "work", owner="me", ttl=0, payload={"a": "é"})
        before = await seen(source)
        steps: list[CopyProgress] = []
        report = await copy_sessions(source, target, progress=steps.append)
        assert {*report.digests} == {"discord:3", "discord:empty", "telegram:1"}
        assert (report.aliases, report.claims) == (2, 1)
        assert sum(report.turns.values()) == 435
        assert [step.key for step in steps if step.verified] == [*report.digests]
        assert await seen(source) == before
        sessions, aliases, claims = await seen(target)
        assert (sessions[:2] + sessions[3:], aliases, claims) == before
        assert aliases == ALIASES
        again = await copy_sessions(source, target)
        assert (again.turns, again.aliases, again.claims) == ({}, 0, 0)
        assert again.digests == report.digests
        # What is new is added, and the copy goes on like the original.
        await source.session("telegram:1").append("user", "new")
        assert (await copy_sessions(source, target)).turns == {"telegram:1": 1}
        turn = await target.session("telegram:2").append("user", "in the copy")
        assert turn.id == 3


class Breaks(MemoryStorage):
    """Breaks at the n-th call of `restore`."""

    left = 10**9

    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return await super().restore(info, turns)


async def test_a_copy_that_broke_at_any_step_goes_on_where_it_ended() -> None:
    async with SessionStore("memory:") as source:
        await fill(source)
        steps = 0
        for steps in range(100):
            storage = Breaks()
            async with SessionStore(storage) as target:
                storage.left = steps
                try:
                    await copy_sessions(source, target)
                    break
                except KeyboardInterrupt:
                    there = sum(len(turns) for _, turns in (await seen(target))[0])
                storage.left = 10**9
                report = await copy_sessions(source, target)
                assert sum(report.turns.values()) == 435 - there
                assert await seen(target) == await seen(source)
        assert steps == 5


@pytest.mark.once
@pytest.mark.parametrize("kind", ["jsonl", "sqlite", "redis", "postgresql"])
async def test_a_copy_that_is_killed_goes_on_where_it_ended(kind: str, tmp_path: Path) -> None:
    where, target = tmp_path / "source", place(kind, tmp_path / "target")
    async with SessionStore(where) as source:
        for number in range(60):
            texts = [{"role": "user", "content": f"{number} {n} {'x' * 300}"} for n in range(400)]
            await source.session(f"chat:{number}").extend(texts)
        expected = await seen(source)
    command = [sys.executable, "-m", "turnkeep", "copy", str(where), str(target)]
    done = 0
    for _ in range(3):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for line in process.stderr:
            done += "verified" in line
            if done % 9 == 8:
                done += 1
                break
        process.kill()
        process.wait(PATIENCE)
        process.stderr.close()
    finished = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("60 sessions are the same on both sides; ")
    copied = int(finished.stdout.split("; ")[1].split()[0])
    assert copied < 24_000
    async with SessionStore(target) as store:  # type: ignore[arg-type]
        assert await seen(store) == expected


async def test_what_was_changed_since_is_kept_and_named_or_replaced() -> None:
    async with SessionStore("memory:") as source, SessionStore("memory:") as target:
        await fill(source)
        await copy_sessions(source, target)
        await source.session("telegram:1").edit(7, "edited since")
        await target.session("discord:3").append("user", "said in the copy")
        theirs = await seen(target)
        with pytest.raises(CopyError, match="telegram:1: it was changed since") as caught:
            await copy_sessions(source, target)
        assert {*caught.value.sessions} == {"telegram:1", "discord:3"}
        assert (await seen(target))[0][0] == theirs[0][0]
        report = await copy_sessions(source, target, replace=True)
        assert {*report.digests} >= {"telegram:1", "discord:3"}
        assert await seen(target) == await seen(source)


class Loses(MemoryStorage):
    """Stores another text than it is given."""

    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        changed = [structs.replace(turn, content="other") for turn in turns]
        return await super().restore(info, changed)


async def test_a_copy_that_is_not_like_the_original_is_named() -> None:
    async with SessionStore("memory:") as source, SessionStore(Loses()) as target:
        await source.session("chat:1").append("user", "a")
        await source.session("chat:2").update_metadata({"a": 1})
        with pytest.raises(CopyError, match="chat:1") as caught:
            await copy_sessions(source, target)
        assert {*caught.value.sessions} == {"chat:1"}
        assert {*caught.value.report.digests} == {"chat:2"}  # type: ignore[attr-defined]


async def test_a_session_or_another_alias_in_the_place_of_an_alias_is_not_touched() -> None:
    async with SessionStore("memory:") as source, SessionStore("memory:") as target:
        await fill(source)
        await target.session("cli:x").append("user", "own")
        await target.rename("telegram:2", "own:5")
        before = await seen(target)
        with pytest.raises(CopyError) as caught:
            await copy_sessions(source, target)
        assert {*caught.value.sessions} == {"cli:x", "telegram:2"}
        after = await seen(target)
        assert [one for one in after[0] if one in before[0]] == before[0]
        assert after[1] == before[1]


async def test_a_session_that_cannot_be_read_is_named_and_the_others_are_copied(
    tmp_path: Path,
) -> None:
    async with SessionStore(tmp_path) as source, SessionStore("memory:") as target:
        await source.session("chat:1").append("user", "a")
        (tmp_path / "chat" / "2.jsonl").mkdir()
        with pytest.raises(CopyError, match=r"chat:2") as caught:
            await copy_sessions(source, target)
        assert {*caught.value.report.digests} == {"chat:1"}  # type: ignore[attr-defined]


async def test_a_prefix_chooses_the_sessions_and_their_aliases() -> None:
    async with SessionStore("memory:") as source, SessionStore("memory:") as target:
        await fill(source)
        await copy_sessions(source, target, prefix="telegram:")
        sessions, aliases, _ = await seen(target)
        assert [str(info.key) for info, _ in sessions] == ["telegram:1"]
        assert aliases == {}
        with pytest.raises(ValueError, match="source itself"):
            await copy_sessions(source, source)


async def test_a_command_that_is_interrupted_says_how_to_go_on(tmp_path: Path) -> None:
    async with SessionStore(f"sqlite:{tmp_path}/a.db") as store:
        for number in range(60):
            await store.session(f"web:{number}").extend(
                [{"role": "user", "content": f"{n}"} for n in range(400)]
            )
    command = [sys.executable, "-m", "turnkeep", "copy", f"sqlite:{tmp_path}/a.db", "b"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and hand that on to what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as copying:
        assert copying.stderr is not None
        copying.stderr.readline()
        copying.send_signal(signal.SIGINT)
        said = copying.stderr.read()
    assert copying.returncode == 130, said
    assert "Traceback" not in said
    assert said.endswith("stopped: the same command goes on where it ended\n")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "60 sessions are the same on both sides" in done.stdout


@pytest.mark.parametrize("target", ["{}/b", "jsonl:{}/b", "sqlite:{}/b.db"])
@pytest.mark.parametrize(
    "source",
    [
        *("{}/none", "jsonl:{}/none/deeper", "sqlite:{}/none.db", "{}/file", "{}/dangling"),
        *("redis://127.0.0.1:1", "postgresql://u@127.0.0.1:1/x"),
    ],
)
def test_nothing_is_made_where_the_source_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, target: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    assert main(["copy", source.format(tmp_path), target.format(tmp_path)]) == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert source.format(tmp_path).split(":", maxsplit=1)[-1] in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_no_place_to_copy_to_itself(tmp_path: Path) -> None:
    assert main(["copy", f"{tmp_path}/none", f"{tmp_path}/none"]) == 1
    assert not [*tmp_path.iterdir()]


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    command = [sys.executable, "-m", "turnkeep", "copy", str(tmp_path / "source"), "nosuch:x"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "no storage 'nosuch'" in finished.stderr
