"""The estimate of tokens, as a share of what three real tokenizers count, and its time."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from turnkeep import estimate_tokens

from .rounds import bars
from .rounds import table as table_of

COUNTED = Path(__file__).parents[1] / "texts" / "counted.json"
TOKENIZERS = ("cl100k", "o200k", "anthropic")
COLUMNS = {
    "to_cl100k": "to cl100k_base",
    "to_o200k": "to o200k_base",
    "to_anthropic": "to Anthropic's",
    "to_most": "to the most",
    "us": "µs per 1,000 characters",
}


def run(*, short: bool) -> list[dict[str, Any]]:
    """Return a row for each text of counted.json, which `texts/count.py` has made."""
    return [
        _measured(text, rounds=3 if short else 2000)
        for text in json.loads(COUNTED.read_text(encoding="utf-8"))
    ]


def _measured(counted: dict[str, Any], *, rounds: int) -> dict[str, Any]:
    text = counted["text"]
    estimate = estimate_tokens(text)
    start = time.process_time()
    for _ in range(rounds):
        estimate_tokens(text)
    took = (time.process_time() - start) / rounds
    shares = {f"to_{name}": round(estimate / counted[name], 2) for name in TOKENIZERS}
    return {
        "who": f"turnkeep, {counted['name']}",
        **shares,
        "to_most": min(shares.values()),
        "us": round(took * 1e9 / len(text), 2),
    }


def table(results: list[dict[str, Any]]) -> str:
    return table_of(results, COLUMNS, "to_most")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    bars(results, "to_most", "estimate, as a share of the largest count", file)
