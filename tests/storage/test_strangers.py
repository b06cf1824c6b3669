"""Sessions that other users of the machine may change are opened with a warning."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faults.kinds import KINDS, at
from storage.tools import KEY, user

pytestmark = pytest.mark.anyio


async def made(kind: str, folder: Path) -> Path:
    """Return what a storage has put there: its folder, or its file."""
    async with at(kind, folder) as storage:
        await storage.append(KEY, [user("a")])
    return folder / "sessions.db" if kind == "sqlite" else folder


@pytest.mark.parametrize("kind", KINDS)
async def test_what_everybody_may_write_to_is_opened_with_a_warning_that_says_what_to_do(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = await made(kind, tmp_path / "in")
    assert caplog.text == ""
    place.chmod(0o777)
    async with at(kind, tmp_path / "in") as storage:
        assert len((await storage.read(KEY)).turns) == 1
    assert f"{place} has the mode 777" in caplog.text
    assert "chmod o-w" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
async def test_what_somebody_else_owns_is_opened_with_a_warning(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await made(kind, tmp_path / "in")
    owner = os.geteuid() + 1000
    if os.geteuid() == 0:
        os.chown(place, owner, -1)
    else:  # nobody else can give a file away; the bot then is somebody else
        owner = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    async with at(kind, tmp_path / "in") as storage:
        assert len((await storage.read(KEY)).turns) == 1
    if owner:
        assert f"{place} belongs to the user {owner}" in caplog.text
