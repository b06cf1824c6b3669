"""Files and folders that this user may not read or write: they are named, and the others go on.

Root may do everything, so a child becomes nobody first.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest

from storage.tools import opened, put, user
from turnkeep import SessionKey, TurnkeepError
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage

NOBODY = 65534
MINE, NEXT = SessionKey("closed", 1), SessionKey("closed", 2)
THERE = SessionKey("open", 1)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that nobody can get to, unlike pytest's own: two channels, an alias and a claim."""

    async def fill(folder: Path) -> None:
        async with opened(folder) as storage:
            for key in (MINE, NEXT, THERE):
                await put(storage, "a", "b", key=key)
            await put(storage, "moved", key=SessionKey("closed", 3))
            await storage.rename(SessionKey("closed", 3), SessionKey("open", 3))
            await storage.claim(MINE, "work", owner="me", ttl=600)
        (folder / "closed" / "1.damaged").write_bytes(b"junk\n")

    with TemporaryDirectory() as place:
        Path(place).chmod(0o711)
        folder = Path(place, "sessions")
        anyio.run(fill, folder)
        yield folder


def as_nobody(folder: Path, use: Callable[[Path], Awaitable[Any]]) -> Any:
    """Return what it returns, and what was logged, in a child that is not root."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        logged: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
        logging.getLogger("turnkeep").addHandler(handler)
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            with os.fdopen(writes, "w") as out:
                out.write(json.dumps([anyio.run(use, folder), logged]))
        except BaseException:  # pytest must not go on here
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def give(folder: Path, name: str, mode: int, *, roots: bool) -> None:
    """Give everything to nobody, but this with its mode, and to root if there is one."""
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        if roots:
            os.chown(folder / name, 0, 0)
    (folder / name).chmod(mode)


async def verbs(folder: Path) -> dict[str, Any]:
    """What each verb gives: an answer, or the error of ours that it raises."""
    storage = JsonlStorage(folder, lock_timeout=0)
    done: dict[str, Any] = {}

    async def texts(key: SessionKey) -> list[str]:
        return [turn.text for turn in (await storage.read(key)).turns]

    async def listed() -> list[str]:
        return sorted(info.key.text for info in (await storage.sessions()).sessions)

    async def found() -> int:
        return len((await storage.find_all(["x"])).turns)

    async def append(key: SessionKey) -> int:
        appended = await storage.append(key, [user("c")])
        assert appended is not None
        return appended.turns[0].id

    async def aliases() -> list[str]:
        return [key.text for key in await storage.aliases()]

    async def claims() -> list[str]:
        return [claim.name for claim in await storage.claims()]

    async def edit(key: SessionKey) -> bool:
        return await storage.edit(key, 1, Change(content="A")) is not None

    async def attempt(name: str, verb: Awaitable[Any]) -> None:
        try:
            with anyio.fail_after(60):
                done[name] = await verb
        except TurnkeepError as error:
            done[name] = f"! {error}"

    await attempt("open", storage.open())
    if done["open"] is None:
        await attempt("read mine", texts(MINE))
        await attempt("read there", texts(THERE))
        await attempt("list", listed())
        await attempt("find", found())
        await attempt("aliases", aliases())
        await attempt("claims", claims())
        await attempt("append mine", append(MINE))
        await attempt("append there", append(THERE))
        await attempt("edit mine", edit(MINE))
        await attempt("edit there", edit(THERE))
        await attempt("read there again", texts(THERE))
        await attempt("close", storage.aclose())
    return done


@pytest.mark.parametrize("roots", [False, True], ids=["ours", "root's"])
@pytest.mark.parametrize("mode", [0o000, 0o100, 0o200, 0o400, 0o300, 0o500, 0o600])
@pytest.mark.parametrize("name", ["closed", "closed/1.jsonl", "closed/1.damaged", "closed/3.alias"])
def test_what_may_not_be_read_is_named_and_everything_else_goes_on(
    folder: Path, name: str, mode: int, roots: bool
) -> None:
    give(folder, name, mode, roots=roots)
    done, logged = as_nobody(folder, verbs)
    assert done["open"] is None
    assert done["read there"] == ["a", "b"]
    assert done["append there"] == 3
    assert done["edit there"] is True
    assert done["read there again"] == ["A", "b", "c"]
    assert done["claims"] == ["work"]
    assert {"open:1", "open:3"} <= {*done["list"]}
    assert done["find"] == 0
    assert isinstance(done["aliases"], list)
    assert done["close"] is None
    for verb in ("read mine", "append mine", "edit mine"):
        said = done[verb]
        assert not isinstance(said, str) or str(folder / "closed") in said, said
    if done["list"] != ["closed:1", "closed:2", "open:1", "open:3"]:
        assert any(str(folder / name) in line for line in logged), logged
    if name != "closed" and "1.jsonl" not in name:
        assert done["read mine"] == ["a", "b"]
        assert done["append mine"] == 3


@pytest.mark.parametrize("mode", [0o000, 0o100, 0o200, 0o400])
@pytest.mark.parametrize("name", [".", ".turnkeep", ".turnkeep/lock", ".turnkeep/claims"])
def test_a_folder_that_may_not_be_owned_says_which_file_it_is(
    folder: Path, name: str, mode: int
) -> None:
    give(folder, name, mode, roots=False)
    done, _ = as_nobody(folder, verbs)
    if done["open"] is not None:
        assert str(folder) in done["open"]
        assert "Permission denied" in done["open"]
        assert "permissions" in done["open"]
    else:  # claims that may be read, and not written
        assert (name, mode) == (".turnkeep/claims", 0o400)
        assert done["claims"] == ["work"]
        assert done["append mine"] == 3
