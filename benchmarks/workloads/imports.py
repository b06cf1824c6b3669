"""What an import costs in a new process, above an empty interpreter."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .rounds import bars, medians
from .rounds import table as table_of

COLUMNS = {"ms": "ms"}
BARE = "anyio and msgspec"
IMPORTS = {
    "turnkeep, above anyio and msgspec": "import anyio, msgspec, turnkeep",
    "turnkeep": "import turnkeep",
    BARE: "import anyio, msgspec",
    "aiogram": "import aiogram",
    "OpenAI Agents": "import agents",
    "LangChain's histories": "import langchain_community.chat_message_histories",
    "LangGraph": "import langgraph.graph, langgraph.checkpoint.sqlite.aio",
    "Google ADK's sessions": "import google.adk.sessions",
    "nanobot's sessions": "import nanobot.session.manager",
}


def run(*, short: bool) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in IMPORTS}
    for _ in range(1 if short else 11):
        empty = _seconds("pass")
        bare = _seconds(IMPORTS[BARE])
        for name, code in IMPORTS.items():
            if found[name] and "missing" in found[name][-1]:
                continue
            try:
                took = _seconds(code)
            except ModuleNotFoundError as error:
                found[name].append({"missing": str(error)})
                continue
            above = bare if "above" in name else empty
            found[name].append({"ms": round((took - above) * 1000, 1)})
    return [{"who": name, **medians(measured)} for name, measured in found.items()]


def _seconds(code: str) -> float:
    """How long a new process takes that runs this and ends."""
    start = time.perf_counter()
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    took = time.perf_counter() - start
    if ran.returncode:
        raise ModuleNotFoundError(ran.stderr.strip().splitlines()[-1][:200])
    return took


def table(results: list[dict[str, Any]]) -> str:
    return table_of(results, COLUMNS, "ms")


def plot(results: list[dict[str, Any]], file: Path) -> None:
    bars(results, "ms", "ms to import", file)
