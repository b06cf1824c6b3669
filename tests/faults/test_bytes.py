"""Every byte of a session's file, flipped, cut away or replaced: the other lines are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.conftest import Tally
from faults.story import STEPS
from storage.tools import KEY, opened, path_of, user
from turnkeep import SessionKey
from turnkeep.storage.base import Change

pytestmark = pytest.mark.anyio

BLOWS = ("flip", "zero", "line feed", "cut", "doubled")


def struck(data: bytes, at: int, blow: str) -> bytes:
    match blow:
        case "flip":
            return data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
        case "zero":
            return data[:at] + b"\0" + data[at + 1 :]
        case "line feed":
            return data[:at] + b"\n" + data[at:]
        case "cut":
            return data[:at] + data[at + 1 :]
    return data[:at] + data[at:][:300] + data[at:]


def ids_of(data: bytes) -> set[int]:
    return {
        int(line[6:].split(b",")[0]) for line in data.split(b"\n") if line.startswith(b'{"id":')
    }


async def real_file(folder: Path) -> bytes:
    async with opened(folder) as storage:
        for name in ("begin", "append", "extend", "other", "edit", "link", "delete", "again"):
            await STEPS[name](storage)
        await storage.append(KEY, [user("é \u2028 \N{GRINNING FACE}", source_id="s7")])
    return path_of(folder).read_bytes()


async def test_a_blow_to_any_byte_costs_no_other_line_and_stops_no_verb(
    tmp_path: Path, tally: Tally
) -> None:
    data = await real_file(tmp_path / "real")
    cases: list[tuple[object, ...]] = [(at, blow) for at in range(len(data)) for blow in BLOWS]
    keys: dict[SessionKey, tuple[bytes, str]] = {}
    (tmp_path / "struck" / "test").mkdir(parents=True)
    for number, (at, blow) in enumerate(tally.some(cases, 300)):
        assert isinstance(at, int)
        key = SessionKey("test", f"c{number}")
        after = struck(data, at, str(blow))
        path_of(tmp_path / "struck", key).write_bytes(after)
        keys[key] = after, f"{blow} at {at}"
    async with opened(tmp_path / "struck") as storage:
        for key, (after, what) in keys.items():
            whole = {*data.split(b"\n")} & {*after.split(b"\n")}
            ids = ids_of(b"\n".join(whole))
            info, turns, _ = await storage.read(key)
            assert ids <= {turn.id for turn in turns}, what
            appended = await storage.append(key, [user("goes on", source_id="new")])
            assert appended is not None
            assert appended.turns[0].id > max((turn.id for turn in turns), default=0), what
            assert await storage.edit(key, appended.turns[0].id, Change(content="edited")), what
            assert await storage.find(key, "new"), what
            if info is not None and turns:
                await storage.delete(key, [turns[0].id])
            tally.count("bytes")
        assert len((await storage.sessions()).sessions) == len(keys)
    async with opened(tmp_path / "struck") as storage:
        for key, (_, what) in keys.items():
            assert (await storage.read(key, limit=1)).turns[0].content == "edited", what
