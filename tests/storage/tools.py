"""What these tests look at a folder of sessions with: from outside, never through the API."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from turnkeep import SessionKey, Turn
from turnkeep._records.making import new_turn
from turnkeep.storage.base import Appended, SessionInfo
from turnkeep.storage.jsonl import JsonlStorage

KEY = SessionKey("test", "1")
OTHER = SessionKey("test", "2")


def user(text: str, *, token: str = "", **fields: Any) -> Turn:
    return msgspec.structs.replace(new_turn("user", text, **fields), token=token)


def full_at(name: str, number: int) -> Callable[..., Any]:
    """Return the function of `os` whose call of this number, from 1, finds the disk full."""
    real, left = getattr(os, name), number

    def failing(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    return failing


def watched(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[tuple[str, str]]:
    """The calls of `os` and the files that they are made for, in order."""
    calls: list[tuple[str, str]] = []

    def watching(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *given: Any, **options: Any) -> Any:
            fd = isinstance(target, int)
            path = Path(f"/proc/self/fd/{target}").readlink() if fd else Path(target)
            result = real(target, *given, **options)
            calls.append((name, path.name))
            return result

        return call

    for name in names:
        monkeypatch.setattr(os, name, watching(name, getattr(os, name)))
    return calls


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncGenerator[JsonlStorage]:
    storage = JsonlStorage(folder, **options)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.aclose()


async def put(storage: JsonlStorage, *texts: str, key: SessionKey = KEY) -> Appended:
    """Appends the texts one by one, since a torn append takes all of its turns with it."""
    stored = Appended([], [])
    for text in texts:
        appended = await storage.append(key, [user(text)])
        assert appended is not None
        stored.turns.extend(appended.turns)
        stored.new.extend(appended.new)
    return stored


async def contents(storage: JsonlStorage, key: SessionKey = KEY, **selection: Any) -> list[Any]:
    return [turn.content for turn in (await storage.read(key, **selection)).turns]


async def listed(storage: JsonlStorage, **options: Any) -> list[SessionInfo]:
    """The sessions of a page."""
    return (await storage.sessions(**options)).sessions


async def damaged(storage: JsonlStorage, key: SessionKey = KEY) -> int:
    info = (await storage.read(key, limit=0)).info
    assert info is not None
    return info.damaged


def path_of(folder: Path, key: SessionKey = KEY) -> Path:
    """The file of a session with a plain name."""
    return folder / key.channel / f"{key.chat_id}.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    """Every line of a file, each of which must be whole JSON."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data[:-1].split(b"\n")]


def messages(path: Path) -> list[Any]:
    """The texts that are in a file."""
    return [line["content"] for line in lines(path) if "_type" not in line]


def as_nanobot(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A file as nanobot's reader has it: the last metadata line, and the rows."""
    metadata: dict[str, Any] = {}
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        data = json.loads(line)
        if data.get("_type") == "metadata":
            metadata = data
        elif "_type" not in data:
            rows.append(data)
    return metadata, rows


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def grep(folder: Path, text: str) -> list[Path]:
    """The files anywhere under a folder that hold this text."""
    return [path for path in files(folder) if text.encode() in path.read_bytes()]


def fingerprint(folder: Path) -> dict[str, tuple[str, int, int]]:
    """All that a writer could change: names, bytes, times and modes."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        stat = path.stat()
        data = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (hashlib.sha256(data).hexdigest(), stat.st_mtime_ns, stat.st_mode)
    return found


def spawn(code: str, *arguments: object, under: Sequence[str] = ()) -> subprocess.Popen[str]:
    """This code in a process of its own, under a command such as strace."""
    path = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [*under, sys.executable, "-c", PRELUDE + code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )


def run(code: str, *arguments: object, under: Sequence[str] = ()) -> str:
    """What this code prints, in a process of its own."""
    with spawn(code, *arguments, under=under) as process:
        out, error = process.communicate()
    assert process.returncode == 0, error
    return out


PRELUDE = """
import anyio, json, os, sys
from pathlib import Path
from storage.tools import *
from turnkeep import StorageError
folder = Path(sys.argv[1])
def main(function):
    anyio.run(function)
"""
