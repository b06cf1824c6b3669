"""The benchmarks run, and every figure is there; how large one is, is not for a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = Path(__file__).parents[2] / "benchmarks" / "run.py"
FIGURES = ("calls", "shared", "bill_per_token", "bill_per_call", "tokens", "messages", "empty")


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("results")
    ran = subprocess.run(
        [sys.executable, str(RUN), "window", "--short", "--here", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    report: dict[str, Any] = json.loads((out / "window.json").read_text())
    return report | {"printed": ran.stdout}


def test_each_window_is_measured_on_each_conversation(window: dict[str, Any]) -> None:
    results = window["results"]
    assert {one["conversation"] for one in results} == {"chat", "agent", "group"}
    for one in results:
        if one["who"].startswith(("turnkeep", "the seed")):
            assert all(isinstance(one[figure], int | float) for figure in FIGURES)
            assert 0 <= one["shared"] <= 1
            assert 0.1 <= one["bill_per_token"] <= 1
    assert sum(one["who"].startswith("turnkeep") for one in results) == 9


def test_a_peer_that_is_not_installed_is_named(window: dict[str, Any]) -> None:
    for one in window["results"]:
        assert one["calls"] > 0 if "calls" in one else "not installed" in one["missing"]
        assert one["who"] in window["printed"]


def test_the_report_says_on_what_it_was_made(window: dict[str, Any]) -> None:
    assert window["short"] is True
    assert window["machine"]["cores"] >= 1
    assert set(window["machine"]["packages"]) >= {"turnkeep", "openai-agents", "langchain-core"}


def test_a_workload_that_there_is_not_is_refused() -> None:
    ran = subprocess.run(
        [sys.executable, str(RUN), "x", "--here"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "there is no workload x: use window" in ran.stderr
