"""What the tests of the frameworks share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["memory", "jsonl", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place that the test opens, twice if it likes."""
    where = {"memory": "memory:", "jsonl": f"jsonl:{tmp_path}", "sqlite": f"sqlite:{tmp_path}/a.db"}
    return where[request.param]
