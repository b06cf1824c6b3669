"""The storage of docs/own-storage.md is small, and certified by the test that stands behind it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "own-storage.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def block(marked: str) -> str:
    (found,) = [text for text in BLOCK.findall(DOCUMENT.read_text()) if marked in text]
    return str(found)


def test_the_storage_over_sqlite3_has_less_than_150_lines() -> None:
    assert len(block("class SqliteStorage(").splitlines()) < 150


def test_the_storage_over_sqlite3_is_certified_by_its_own_test(tmp_path: Path) -> None:
    storage, test = block("class SqliteStorage("), block("class TestSqlite(")
    faster = "    examples = 5\n"
    (tmp_path / "test_sqlite.py").write_text(f"{storage}\n\n{test}{faster}")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:asyncio", "-q", "-rs"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    skipped = set(re.findall(r"TestSqlite has no (.*)", done.stdout))
    hooks = {f"hook `{hook}`" for hook in ("failing", "losing", "set_clock", "damage", "block")}
    assert skipped == hooks | {"capability `search`"}


@pytest.mark.parametrize("hook", ["raw_bytes", "kill", "second", "failing", "losing", "set_clock"])
def test_the_document_names_each_hook(hook: str) -> None:
    assert f"| `{hook}` |" in DOCUMENT.read_text()
