"""What bad input gets: a clear error or a replacement, nothing half-written, and a session
that goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import Any

import pytest

from turnkeep import (
    InvalidKeyError,
    InvalidMetadataError,
    InvalidTurnError,
    Session,
    SessionStore,
    StorageError,
    TurnTooLargeError,
    UnknownStorageError,
    WindowError,
)

from .conftest import Place
from .tools import said

pytestmark = pytest.mark.anyio

TEN_MB = 10_000_000


@pytest.fixture
async def going_on(place: Place, anyio_backend: str) -> AsyncIterator[Session]:
    """A session with one turn; after the test it has that one still, also on disk, and more
    can be appended."""
    async with place() as store:
        session = store.session("telegram:12345")
        await session.append("user", "before", source_id="m1")
        await session.update_metadata(lang="de")
        yield session
        info = await session.info()
        assert info is not None
        assert (info.turns, info.last_id, info.metadata) == (1, 1, {"lang": "de"})
        await session.append("user", "after")
        assert await said(session) == ["before", "after"]
    async with place() as store:
        assert await said(store.session("telegram:12345")) == ["before", "after"]


@pytest.mark.parametrize("key", ["", "telegram", "telegram:", ":5", "t:50%", "t:\0", None, 7])
async def test_a_malformed_key(going_on: Session, key: Any) -> None:
    store = going_on.store
    with pytest.raises(InvalidKeyError, match="session key"):
        store.session(key)
    with pytest.raises(InvalidKeyError, match="session key"):
        await store.forget(key)
    with pytest.raises(InvalidKeyError, match="session key"):
        await store.rename(going_on.key, key)


@pytest.mark.parametrize("role", ["", "User", "developer", "function", None, 7, ["user"]])
async def test_an_unknown_role(going_on: Session, role: Any) -> None:
    with pytest.raises(InvalidTurnError, match=r"a role is one of assistant, system.*, not "):
        await going_on.append(role, "Hi")


async def test_a_role_in_the_wrong_place_is_told_without_what_was_said(going_on: Session) -> None:
    swapped: Any = ("my secret", "user")
    with pytest.raises(InvalidTurnError, match="the role comes first, as in append") as caught:
        await going_on.append(*swapped)
    assert "secret" not in str(caught.value)
    whole: Any = {"role": "user", "content": "my secret"}
    with pytest.raises(InvalidTurnError, match=r"store dicts with extend") as caught:
        await going_on.append(whole)
    assert "secret" not in str(caught.value)


class Odd:
    """Something that is not JSON."""


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "content",
    [
        Odd(),
        b"Hi",
        7,
        True,
        {"type": "text", "text": "Hi"},
        [Odd()],
        [{"type": "text", "text": Odd()}],
        [{"type": "blob", "data": b"Hi"}],
        [{"type": "set", "data": {1, 2}}],
        [{"type": "number", "data": Decimal(1)}],
        [{"type": "number", "data": float("nan")}],
        [{"type": "number", "data": float("inf")}],
        [{"type": "number", "data": 2**64}],
        [{"type": "time", "data": datetime(2024, 1, 1, tzinfo=timezone.utc)}],
        [{"type": "map", "data": {1: "one"}}],
        [{"type": "loop", "data": LOOP}],
    ],
    ids=lambda content: repr(content)[:30],
)
async def test_content_that_is_not_json_serialisable(going_on: Session, content: Any) -> None:
    with pytest.raises(InvalidTurnError, match=r"^session telegram:12345: .*content"):
        await going_on.append("user", content)
    with pytest.raises(InvalidTurnError, match=r"^session telegram:12345: number 2 .*content"):
        await going_on.extend([{"role": "user", "content": each} for each in ("fine", content)])
    with pytest.raises(InvalidTurnError, match=r"^session telegram:12345: .*content"):
        await going_on.edit(1, content)


@pytest.mark.parametrize("result", [Odd(), b"Hi", [Odd()], {"a": Odd()}, {(1,): 2}, LOOP])
async def test_a_tool_result_that_is_not_json(going_on: Session, result: Any) -> None:
    async with going_on.reply() as reply:
        with pytest.raises(InvalidTurnError, match=r"^session telegram:12345: .*content"):
            reply.add_tool_result("c1", result)


@pytest.mark.parametrize("extra", [{"k": Odd()}, {1: "one"}, {"k": LOOP}, [("k", 1)], "k"])
async def test_extra_that_is_not_json_serialisable(going_on: Session, extra: Any) -> None:
    with pytest.raises(InvalidTurnError, match=r"^session telegram:12345: extra"):
        await going_on.append("user", "Hi", extra=extra)
    with pytest.raises(InvalidTurnError, match=r"^session telegram:12345: extra"):
        await going_on.edit(1, "Hi", extra=extra)


@pytest.mark.parametrize("call", [Odd(), {"id": "c1", "function": {"name": "f", "x": Odd()}}])
async def test_a_call_that_is_not_json_serialisable(going_on: Session, call: Any) -> None:
    with pytest.raises(InvalidTurnError, match=r"^session telegram:12345: a tool call"):
        await going_on.append("assistant", tool_calls=[call])


@pytest.mark.parametrize("bad", ["\ud800", "\0"], ids=ascii)
async def test_a_lone_surrogate_and_a_nul(session: Session, bad: str) -> None:
    turn = await session.append("user", f"a{bad}b", source_id=f"m{bad}")
    assert turn.content == "a\ufffdb"
    assert await session.append("user", "again", source_id=f"m{bad}") == turn
    assert [message["content"] for message in await session.get_history()] == ["a\ufffdb"]
    await session.append("user", "after")
    assert await said(session) == ["a\ufffdb", "after"]


async def test_a_message_of_ten_megabytes(going_on: Session) -> None:
    with pytest.raises(TurnTooLargeError, match=r"turn of 10,000,\d+ bytes .* shorten it"):
        await going_on.append("user", "x" * TEN_MB)
    with pytest.raises(TurnTooLargeError, match="shorten it"):
        await going_on.edit(1, "x" * TEN_MB)
    with pytest.raises(TurnTooLargeError, match="shorten it"):
        async with going_on.reply() as reply:
            reply.add_text("x" * TEN_MB)


async def test_a_tool_result_of_ten_megabytes(session: Session) -> None:
    await session.append("user", "before")
    async with session.reply() as reply:
        reply.add_tool_call("c1", "look", "{}")
        reply.add_tool_result("c1", "x" * TEN_MB)
        reply.add_text("after")
    cut = reply.turns[1].text
    assert cut.endswith("of 10,000,000 characters left out]")
    assert 900_000 < len(cut) < 1024 * 1024
    assert await said(session) == ["before", None, cut, "after"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("max_messages", value) for value in (0, -1, 1.5, "5", True)),
        *(("max_tokens", value) for value in (0, -1, 1.5, "5", True)),
        *(("slack", value) for value in (-0.1, 1, float("nan"), "half", None)),
        ("system", "first"),
        ("unanswered", None),
        ("overflow", "ignore"),
    ],
)
async def test_a_bound_or_an_option_that_no_window_has(
    going_on: Session, option: str, value: Any
) -> None:
    bad: dict[str, Any] = {option: value}
    with pytest.raises(WindowError, match=f"^session telegram:12345: {option} is .* not {value!r}"):
        await going_on.get_history(**bad)
    async with going_on.reply() as reply:
        with pytest.raises(WindowError, match=f"^session telegram:12345: {option} is"):
            await reply.get_history(**bad)


async def test_metadata_over_its_limit(going_on: Session) -> None:
    with pytest.raises(InvalidMetadataError, match=r"^session telegram:12345: .* keep large"):
        await going_on.update_metadata(blob="x" * 9000)


@pytest.mark.parametrize(
    "metadata",
    [{"k": Odd()}, {"k": b"x"}, {1: "one"}, {"k": float("nan")}, {"k": LOOP}, [("k", 1)], "k", 7],
)
async def test_metadata_that_is_not_json_serialisable(going_on: Session, metadata: Any) -> None:
    with pytest.raises(InvalidMetadataError, match=r"^session telegram:12345: the metadata"):
        await going_on.update_metadata(metadata)


async def test_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    store = SessionStore(tmp_path / "file" / "sessions")
    for _ in range(2):
        with pytest.raises(StorageError, match=r"file.sessions: .* A file is in the place of"):
            await store.session("t:1").append("user", "Hi")
        with pytest.raises(StorageError):
            async with store:
                pass
    (tmp_path / "file").unlink()
    async with store:
        await store.session("t:1").append("user", "Hi")
        assert await said(store.session("t:1")) == ["Hi"]


NOT_WRITABLE = """
    import os, sys
    import anyio
    from turnkeep import SessionStore, StorageError

    folder, elsewhere = sys.argv[1:]

    async def main():
        # All that is to be imported is: the interpreter itself may be out of reach soon.
        async with SessionStore(elsewhere) as store:
            await store.session("t:1").append("user", "Hi")
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        before = sorted(os.listdir(folder))
        store = SessionStore(folder + "/sessions")
        try:
            await store.session("t:1").append("user", "Hi")
        except StorageError as error:
            assert isinstance(error.__cause__, PermissionError), repr(error.__cause__)
            print(error)
        assert sorted(os.listdir(folder)) == before

    anyio.run(main)
"""


def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    with TemporaryDirectory() as closed:  # nobody else may look into `tmp_path`
        Path(closed).chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", dedent(NOT_WRITABLE), closed, str(tmp_path / "open")],
            capture_output=True,
            text=True,
            check=False,
            # A measurement could not write down what it saw.
            env={name: os.environ[name] for name in os.environ if not name.startswith("COV")},
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{closed}/sessions" in done.stdout
    assert "permissions" in done.stdout


async def test_a_session_file_that_is_not_writable_any_more(tmp_path: Path) -> None:
    async with SessionStore(tmp_path / "s") as store:
        await store.session("t:1").append("user", "before")
        await store.session("u:1").append("user", "before")
        file = tmp_path / "s" / "t" / "1.jsonl"
        file.rename(tmp_path / "kept")
        file.mkdir()
        with pytest.raises(StorageError, match=r"^session t:1: "):
            await store.session("t:1").append("user", "lost")
        file.rmdir()
        (tmp_path / "kept").rename(file)
        await store.session("t:1").append("user", "after")
        assert await said(store.session("t:1")) == ["before", "after"]
        assert await said(store.session("u:1")) == ["before"]


def test_a_url_with_an_unknown_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownStorageError, match="no storage 'mysql'"):
        SessionStore("mysql://localhost/bot")
    assert list(tmp_path.iterdir()) == []


WITHOUT = """
    import sys

    sys.modules[sys.argv[2]] = None  # an import fails now as if it were not installed
    from turnkeep import MissingExtraError, SessionStore
    try:
        __import__(sys.argv[1])
    except MissingExtraError as error:
        print(error)
    import anyio

    async def main():
        async with SessionStore("memory:") as store:
            await store.session("t:1").append("user", "Hi")

    anyio.run(main)
"""


@pytest.mark.parametrize(
    ("adapter", "module", "package"),
    [
        ("turnkeep_aiogram", "aiogram", "aiogram"),
        ("turnkeep_discord", "discord", "discord.py"),
        ("turnkeep_discord.extension", "discord", "discord.py"),
    ],
)
def test_a_missing_extra(adapter: str, module: str, package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", dedent(WITHOUT), adapter, module],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"needs the package {package!r}" in done.stdout
    assert f"pip install 'turnkeep[{module}]'" in done.stdout
