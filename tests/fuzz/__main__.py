"""The long run: `cd tests && python -m fuzz --seconds 600 [TARGET …]`.

With `atheris` (`pip install atheris`, Python 3.11 to 3.13) each target is guided by coverage and
begins with its corpus; without it, Hypothesis's generator draws the inputs. What is found is
raised with its input.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from fuzz.corpus import FOLDER, fuzz_one


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--engine", choices=["atheris", "hypothesis"], help="the one that is there")
    parser.add_argument("--into", type=Path, help="the folder in which new inputs are kept")
    parser.add_argument("targets", nargs="*")
    options = parser.parse_args()
    engine = options.engine or (
        "atheris" if importlib.util.find_spec("atheris") is not None else "hypothesis"
    )
    from fuzz.targets import TARGETS

    failed: list[str] = []
    for name in options.targets or TARGETS:
        if engine == "atheris":
            failed += [name] * _guided(name, options.seconds, options.into)
        else:
            print(f"{name}: {_drawn(name, options.seconds):,} inputs")
    print("failed: " + ", ".join(failed) if failed else "nothing found")
    return int(bool(failed))


def _drawn(name: str, seconds: float) -> int:
    dice, count, end = Random(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        fuzz_one(name, dice.randbytes(dice.randrange(2_000)))
        count += 1
    return count


def _guided(name: str, seconds: float, into: Path | None) -> int:
    kept = [str(folder / name) for folder in (into, FOLDER) if folder is not None]
    for folder in kept:
        Path(folder).mkdir(parents=True, exist_ok=True)
    # The first folder is the one that libFuzzer writes to.
    run = [sys.executable, "-m", "fuzz.guided", name, *kept, f"-max_total_time={seconds:.0f}"]
    written = [] if into is not None else ["-runs=-1"]
    done = subprocess.run([*run, *written, "-rss_limit_mb=0", "-timeout=300"], check=False)
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
