"""The benchmarks run, and every figure is there; how large one is, is not for a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = Path(__file__).parents[2] / "benchmarks" / "run.py"
WINDOW = ("calls", "shared", "bill_per_token", "bill_per_call", "tokens", "messages", "empty")
LATE = ("stall_ms", "late_p99_ms")
EXCHANGES = ("exchanges", "per_second", "p50_ms", "p99_ms", "stall_ms", "late_p99_ms", "disk_mb")
FIGURES = {
    "window": WINDOW,
    "tokens": ("to_cl100k", "to_o200k", "to_anthropic", "to_most", "us"),
    "chats": EXCHANGES,
    "single": EXCHANGES,
    "busy": EXCHANGES,
    "hot": ("hot_p50_ms", "others_p50_ms", "ratio", "hot_p99_ms", "others_p99_ms", *LATE),
    "open": ("p50_ms", "p99_ms", "cpu_us", "driver_us", "answered", *LATE),
    "loops": ("at_100",),
    "verbs": ("exponent", "largest_us"),
    "growing": ("at_100", "at_1000", *LATE),
    "cold": ("turns", "ms", "memory_mb", *LATE),
    "listing": ("sessions", "ms", "to_scan", *LATE),
    "million": ("sessions", "memory_mb", "most_mb", "per_second", *LATE),
    "imports": ("ms",),
    "adapters": ("cpu_64", "added_64", "cpu_1", "added_1", "us_64", "us_1"),
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), *arguments, "--here"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workload", FIGURES)
def test_a_workload_runs_and_each_figure_is_printed_and_saved(
    workload: str, tmp_path: Path
) -> None:
    ran = run(workload, "--short", "--out", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    report: dict[str, Any] = json.loads((tmp_path / f"{workload}.json").read_text())
    assert report["short"] is True
    assert set(report["machine"]["packages"]) >= {"turnkeep", "openai-agents", "langchain-core"}
    ours = [one for one in report["results"] if "turnkeep" in one["who"]]
    assert ours
    for one in ours:
        assert all(isinstance(one.get(name), int | float) for name in FIGURES[workload]), one
    for one in report["results"]:
        assert one["who"] in ran.stdout
        # A peer that is not here, or can't do this, is named with the reason.
        assert FIGURES[workload][-1] in one or one["missing"] in ran.stdout
        assert "failed" not in one.get("missing", "")


def test_a_window_is_measured_on_each_conversation_and_its_shares_are_shares(
    tmp_path: Path,
) -> None:
    run("window", "--short", "--out", str(tmp_path))
    results = json.loads((tmp_path / "window.json").read_text())["results"]
    assert {one["conversation"] for one in results} == {"chat", "agent", "group"}
    for one in results:
        if "missing" not in one:
            assert 0 <= one["shared"] <= 1
            assert 0.1 <= one["bill_per_token"] <= 1
    assert sum(one["who"].startswith("turnkeep") for one in results) == 9


def test_a_workload_that_there_is_not_is_refused() -> None:
    ran = run("x")
    assert ran.returncode == 2
    assert "there is no workload x: use window" in ran.stderr
