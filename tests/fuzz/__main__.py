"""The long run: `cd tests && python -m fuzz --seconds 600 [TARGET …]`.

With `atheris` (`pip install atheris`, on Linux with Python 3.11 to 3.13) each target is guided by
coverage and begins with its kept inputs; without it, Hypothesis's generator draws the inputs. What
is found is raised with its input.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from fuzz.corpus import fuzz_one, kept


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--engine", choices=["atheris", "hypothesis"], help="the one that is there")
    parser.add_argument("--into", type=Path, help="the folder in which new inputs are kept")
    parser.add_argument("--together", action="store_true", help="all targets in these seconds")
    parser.add_argument("targets", nargs="*")
    options = parser.parse_args()
    engine = options.engine or (
        "atheris" if importlib.util.find_spec("atheris") is not None else "hypothesis"
    )
    from fuzz.targets import TARGETS

    names = options.targets or [*TARGETS]
    seconds = options.seconds / (len(names) if options.together else 1)
    if engine == "atheris":
        runs = [names] if options.together else [[name] for name in names]
        failed = [" ".join(run) for run in runs if not _guided(run, options.seconds, options.into)]
    else:
        failed = []
        for name in names:
            print(f"{name}: {_drawn(name, seconds):,} inputs", flush=True)
    print("failed: " + ", ".join(failed) if failed else "nothing found")
    return int(bool(failed))


def _drawn(name: str, seconds: float) -> int:
    dice, count, end = Random(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        fuzz_one(name, dice.randbytes(dice.randrange(2_000)))
        count += 1
    return count


def _guided(names: list[str], seconds: float, into: Path | None) -> bool:
    """Return True if nothing was found; of several targets each input has one."""
    with TemporaryDirectory() as place:
        # libFuzzer writes to the first folder, and what is kept stays as it is.
        new, known = Path(place, "new"), Path(place, "known")
        new.mkdir()
        known.mkdir()
        for at, name in enumerate(names):
            first = b"" if len(names) == 1 else bytes([at])
            for path in kept(name):
                (known / f"{name}-{path.name}").write_bytes(first + path.read_bytes())
        if into is not None:
            into.mkdir(parents=True, exist_ok=True)
        folders = [str(into or new), str(known)]
        bounds = [f"-max_total_time={seconds:.0f}", "-rss_limit_mb=0", "-timeout=300", "-seed=1"]
        found = [f"-artifact_prefix={place}/"]  # an error tells its input
        run = [sys.executable, "-m", "fuzz.guided", *names, "--", *folders, *bounds, *found]
        return subprocess.run(run, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
