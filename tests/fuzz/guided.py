"""Targets under atheris, which follows the coverage: `python -m fuzz.guided TARGET … -- FOLDER …`.

Of several targets the first byte of an input chooses one.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

atheris: Any = import_module("atheris")  # it has no types

with atheris.instrument_imports(
    include=["turnkeep._records", "turnkeep._window", "turnkeep.adapter", "turnkeep.storage.jsonl"]
):
    from fuzz.corpus import fuzz_one


def main() -> None:
    at = sys.argv.index("--")
    names, sys.argv[1:] = sys.argv[1:at], sys.argv[at + 1 :]

    def one(data: bytes) -> None:
        if len(names) == 1:
            fuzz_one(names[0], data)
        elif data:
            fuzz_one(names[data[0] % len(names)], data[1:])

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
