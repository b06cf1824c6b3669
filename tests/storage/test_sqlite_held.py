"""The ends of sessions that SQLite's storage keeps in memory: as long as their windows are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from turnkeep import SessionStore
from turnkeep.storage.sqlite._held import KEEP
from turnkeep.storage.sqlite._turn_rows import TurnRows

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("bound", [KEEP, 500, 3 * KEEP])
async def test_a_window_of_any_usual_length_is_read_from_the_tables_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: int
) -> None:
    reads = 0
    real = TurnRows.rows

    def rows(self: TurnRows, after: int, before: int, count: int, *, up: bool) -> Any:
        nonlocal reads
        reads += 1
        return real(self, after, before, count, up=up)

    async with SessionStore(f"sqlite:{tmp_path}/chats.db") as store:
        session = store.session("test:1")
        turns = [{"role": "user", "content": f"{number}"} for number in range(4 * KEEP)]
        await session.extend(turns)
        before = await session.get_history(bound, slack=0)
        assert [one["content"] for one in before] == [one["content"] for one in turns[-bound:]]
        monkeypatch.setattr(TurnRows, "rows", rows)
        for number in range(2 * bound):
            await session.append("user", f"more {number}")
            window = await session.get_history(bound, slack=0)
            assert window[-1]["content"] == f"more {number}"
            assert len(window) == bound
    assert reads <= 2  # the end was cut at twice that
